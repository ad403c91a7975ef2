//! reader
use crate::disk::{Disk, Wait};
use crate::layout::op::{Content, Db, Key, Type};
use std::io;
use std::sync::Arc;

/// How much of a key to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its type and deadline.
    Meta,
    /// And the length of its value.
    Len,
    /// And its value.
    Value,
}

/// What the tree holds of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its type.
    pub kind: Type,
    /// Its deadline: Unix time in milliseconds.
    pub expires: Option<u64>,
    /// Its value, with [`What::Value`].
    pub value: Option<Content>,
    /// Bytes of its value; 0 with [`What::Meta`].
    pub len: u64,
}

/// Reads.
#[derive(Clone)]
pub struct TreeReader {
    disk: Arc<dyn Disk>,
}

impl TreeReader {
    /// A reader of a tree that no writer of this process changes; TreeWriter::reader otherwise.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<TreeReader> {
        Ok(TreeReader { disk })
    }
    /// The key; none where there is no such key.
    pub fn load(&self, _: Db, _: &[u8], _: What, _: Wait) -> io::Result<Option<Loaded>> {
        todo!()
    }
    /// Whether there is such a key.
    pub fn is_key(&self, _: Db, _: &[u8], _: Wait) -> io::Result<bool> {
        todo!()
    }
    /// Visits the names of a database from a position on, with the position behind each. `limit`
    /// entries are looked at, and as many more as a cursor needs to change (cursor::may_end).
    /// Answers where to go on; none at the end. `visit` ends the walk by false.
    pub fn keys(
        &self,
        _db: Db,
        _position: u64,
        _limit: Option<usize>,
        _visit: &mut dyn FnMut(&[u8], u64) -> bool,
    ) -> io::Result<Option<u64>> {
        let _ = &self.disk;
        todo!()
    }
    /// Counts names.
    pub fn count(&self, _db: Db) -> io::Result<u64> {
        todo!()
    }
    /// Up to `limit` names from a random place on.
    pub fn sample(&self, _db: Db, _seed: u64, _limit: usize) -> io::Result<Vec<Key>> {
        todo!()
    }
}
