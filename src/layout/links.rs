//! Shared inodes: small files of which thousands have the same content.
//!
//! ```text
//! .dredis/links/<stem>.<number>          mode 0444; the content is what the stem stands for
//! ```
//!
//! Example: `.dredis/links/string.1` holds `string`, and up to 1,000 `type` files are further names
//! of it. The stem `member` stands for no content: a member of a set. An inode is synced, and its
//! directory too, before its first link: a cut that keeps a link keeps the content. A used-up one
//! loses its name here; what is left of an earlier run is removed at the start. A link may be
//! refused for any reason: the caller then writes a plain file.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::disk::{Disk, Wait, is_full, is_out_of_descriptors};
use crate::layout::files::is_name_refusal;
use crate::layout::op::Type;
use crate::layout::paths;

/// Names that one inode gets: far below every file system's limit, so that copying tools that
/// keep links do not meet it either.
const LINKS_PER_INODE_MAX: u32 = 1000;

/// What many files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shared {
    /// The name of a type.
    Type(Type),
    /// Nothing: a member of a set, or of a group that is a directory.
    Member,
}

impl Shared {
    const ALL: [Shared; 5] = [
        Shared::Type(Type::String),
        Shared::Type(Type::Hash),
        Shared::Type(Type::Set),
        Shared::Type(Type::Zset),
        Shared::Member,
    ];

    /// The content of these files.
    pub(super) fn content(self) -> &'static [u8] {
        match self {
            Shared::Type(kind) => kind.name().as_bytes(),
            Shared::Member => b"",
        }
    }

    fn stem(self) -> &'static str {
        match self {
            Shared::Type(kind) => kind.name(),
            Shared::Member => "member",
        }
    }
}

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
    current: HashMap<Shared, Inode>,
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

    /// Makes `path` a name of the inode for `shared`. An error is one of syncing a new inode, and
    /// the disk is not to be trusted; or descriptors have run out; or `NotFound` or
    /// `NotADirectory`: there is no directory for `path`.
    pub(super) fn link(&mut self, shared: Shared, path: &str) -> io::Result<Linked> {
        if self.unsupported || !self.provide(&[shared])? {
            return Ok(Linked::Refused);
        }
        let Some(inode) = self.current.get_mut(&shared) else { return Ok(Linked::Refused) };
        match self.disk.link(&inode.path, path) {
            Ok(()) => {
                inode.links += 1;
                if inode.links == LINKS_PER_INODE_MAX {
                    self.retire(shared);
                }
                Ok(Linked::Done)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Linked::Exists),
            Err(error) if is_out_of_descriptors(&error) => Err(error),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(error),
            Err(error) if is_name_refusal(&error) => Ok(Linked::Refused),
            Err(error) => {
                let missing = error.kind() == io::ErrorKind::NotFound;
                if missing && self.disk.stat(&inode.path, Wait::Yes).is_ok() {
                    return Err(error);
                }
                self.unsupported = inode.links == 0 && !missing && !is_full(&error);
                self.retire(shared);
                Ok(Linked::Refused)
            }
        }
    }

    /// Makes the inodes that the first keys need, whose replies wait for their files.
    pub(super) fn provide_all(&mut self) -> io::Result<bool> {
        self.provide(&Shared::ALL)
    }

    /// Makes the inodes for `all` where there are none. Answers false where one cannot be made.
    fn provide(&mut self, all: &[Shared]) -> io::Result<bool> {
        let mut made = Vec::new();
        let mut whole = true;
        for &shared in all {
            if self.current.contains_key(&shared) {
                continue;
            }
            match self.create(shared)? {
                Some(path) => made.push((shared, Inode { path, links: 0 })),
                None => whole = false,
            }
        }
        if !made.is_empty() {
            self.disk.sync_dir(paths::LINKS)?;
            self.current.extend(made);
        }
        Ok(whole)
    }

    /// Makes an inode, and syncs it but for its name.
    fn create(&mut self, shared: Shared) -> io::Result<Option<String>> {
        loop {
            let path = paths::shared(shared.stem(), self.next);
            self.next += 1;
            match self.disk.create_shared(&path, shared.content()) {
                Ok(()) => return self.disk.sync_file(&path).map(|()| Some(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => {
                    // It may be there with part of its content.
                    let _ = self.disk.remove_file(&path);
                    return Ok(None);
                }
            }
        }
    }

    /// Forgets an inode. Where its name stays, the next start removes it.
    fn retire(&mut self, shared: Shared) {
        if let Some(inode) = self.current.remove(&shared) {
            let _ = self.disk.remove_file(&inode.path);
        }
    }
}
