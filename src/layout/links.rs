//! Shared inodes: small files of which thousands have the same content.
//!
//! ```text
//! .dredis/links/<stem>.<number>          mode 0444; the content is what the stem stands for
//! ```
//!
//! Example: `.dredis/links/string.1` holds `string`, and up to 1,000 `type` files are further names
//! of it. It is synced, and its directory too, before its first link: a cut that keeps a link
//! keeps the content. A used-up one loses its name here; what is left of an earlier run is removed
//! at the start. A link may be refused for any reason: the caller then writes a plain file.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::disk::{Disk, is_full, is_out_of_descriptors};
use crate::layout::paths;

/// Names that one inode gets: far below every file system's limit, so that copying tools that
/// keep links do not meet it either.
const LINKS_PER_INODE_MAX: u32 = 1000;

/// What came of an attempt to link.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Linked {
    /// The name is there.
    Done,
    /// Something has that name already.
    Exists,
    /// Make a plain file.
    Refused,
}

/// The inodes that are being linked to.
pub(super) struct Links {
    disk: Arc<dyn Disk>,
    current: HashMap<&'static str, Inode>,
    next: u64,
    /// A new inode refused its first link: this file system has none.
    unsupported: bool,
}

struct Inode {
    path: String,
    links: u32,
}

impl Links {
    /// Removes the names that an earlier run left.
    pub(super) fn open(disk: Arc<dyn Disk>) -> io::Result<Links> {
        for (path, _) in super::trash::entries(&*disk, paths::LINKS, usize::MAX)? {
            match disk.remove_file(&path) {
                // What is not a file is not ours; numbers step over what stays.
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Links { disk, current: HashMap::new(), next: 1, unsupported: false })
    }

    /// Makes `path` a name of the inode for `stem`, which is also its content. An error is one of
    /// syncing a new inode, and the disk is not to be trusted; or descriptors have run out.
    pub(super) fn link(&mut self, stem: &'static str, path: &str) -> io::Result<Linked> {
        if self.unsupported || !self.provide(stem)? {
            return Ok(Linked::Refused);
        }
        let Some(inode) = self.current.get_mut(stem) else { return Ok(Linked::Refused) };
        match self.disk.link(&inode.path, path) {
            Ok(()) => {
                inode.links += 1;
                if inode.links == LINKS_PER_INODE_MAX {
                    self.retire(stem);
                }
                Ok(Linked::Done)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Linked::Exists),
            Err(error) if is_out_of_descriptors(&error) => Err(error),
            Err(error) => {
                let missing = error.kind() == io::ErrorKind::NotFound;
                self.unsupported = inode.links == 0 && !missing && !is_full(&error);
                self.retire(stem);
                Ok(Linked::Refused)
            }
        }
    }

    /// Makes the inode for `stem` where there is none. Answers false where it cannot be made.
    pub(super) fn provide(&mut self, stem: &'static str) -> io::Result<bool> {
        while !self.current.contains_key(stem) {
            let path = paths::shared(stem, self.next);
            self.next += 1;
            match self.disk.create_shared(&path, stem.as_bytes()) {
                Ok(()) => {
                    self.disk.sync_file(&path)?;
                    self.disk.sync_dir(paths::LINKS)?;
                    self.current.insert(stem, Inode { path, links: 0 });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => {
                    // It may be there with part of its content.
                    let _ = self.disk.remove_file(&path);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Forgets an inode. Where its name stays, the next start removes it.
    fn retire(&mut self, stem: &'static str) {
        if let Some(inode) = self.current.remove(stem) {
            let _ = self.disk.remove_file(&inode.path);
        }
    }
}
