//! writer
use crate::disk::Disk;
use crate::layout::op::{Db, Key, KeyChange};
use crate::layout::reader::TreeReader;
use std::io;
use std::sync::Arc;

/// What a call of [`TreeWriter::apply`] did.
#[derive(Debug, Default)]
pub struct Applied {
    /// Keys that were brought up to date.
    pub keys: u64,
    /// Keys for which there was no room: apply their changes again once there is.
    pub failed: Vec<(Db, Key)>,
    /// The first error that said so.
    pub full: Option<io::Error>,
}

/// Writes.
pub struct TreeWriter {
    disk: Arc<dyn Disk>,
}

impl TreeWriter {
    /// Makes what is missing.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<TreeWriter> {
        Ok(TreeWriter { disk })
    }
    /// A reader that knows of the markers this writer makes.
    pub fn reader(&self) -> TreeReader {
        todo!()
    }
    /// Applies.
    pub fn apply(
        &mut self,
        _cleared_dbs: &[Db],
        _changes: &mut dyn Iterator<Item = (Db, &Key, &KeyChange)>,
    ) -> io::Result<Applied> {
        todo!()
    }
    /// syncfs.
    pub fn sync(&mut self) -> io::Result<()> {
        self.disk.sync_all()
    }
}

/// Frees what lies in the trash, on any thread.
#[derive(Clone)]
pub struct Sweeper {
    disk: Arc<dyn Disk>,
}

impl Sweeper {
    /// A sweeper.
    pub fn new(disk: Arc<dyn Disk>) -> Sweeper {
        Sweeper { disk }
    }
    /// Removes up to `budget` files and directories; answers whether more is there.
    pub fn sweep(&self, _budget: usize) -> io::Result<bool> {
        let _ = &self.disk;
        todo!()
    }
}
