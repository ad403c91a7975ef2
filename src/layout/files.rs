//! What the tree writer does with single files and small directories, whatever is there before.
//!
//! Each of these is brought about as often as it is asked for: a file gets a content, a patch, or
//! becomes a name of a shared inode; a directory goes with everything below it. Here it is decided
//! what is overwritten in place, what is replaced by a rename, and what goes by way of the trash.
//! Nothing here knows of keys, types or groups.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use crate::base::variant::{Step, step};
use crate::disk::{self, Disk, Kind, Wait};
use crate::layout::links::{Linked, Links, Shared};
use crate::layout::names::{self, Entry};
use crate::layout::op::Content;
use crate::layout::reader::is_absent;
use crate::layout::trash::{self, Trash};
use crate::layout::{paths, sizes};

/// New content up to this size goes in place of what is not longer.
const IN_PLACE_BYTES_MAX: usize = 4096;
/// A directory with as many entries as this goes by a rename.
pub(super) const REMOVE_ENTRIES_MAX: usize = 100;
/// With this much room left, "no space" is the answer of a directory that takes no more names.
const ROOM_BYTES_MIN: u64 = 8 << 20;
const ROOM_INODES_MIN: u64 = 1024;

/// What was there before of what is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// Nothing.
    New,
    /// Perhaps something.
    There,
    /// The file system does not take this name here: nothing was made.
    Refused,
}

/// The files of the tree, as its writer changes them.
pub(super) struct Files {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) trash: Trash,
    links: Links,
    tmp_next: u64,
}

impl Files {
    /// Empties `tmp` and `links` of what an interrupted run left there, and makes the shared
    /// inodes.
    pub(super) fn open(disk: Arc<dyn Disk>) -> io::Result<Files> {
        let mut trash = Trash::open(disk.clone())?;
        for (path, kind) in trash::entries(&*disk, paths::TMP, usize::MAX)? {
            match kind {
                Kind::Dir => trash.discard(&path)?,
                _ => absent(disk.remove_file(&path))?,
            }
        }
        let mut links = Links::open(disk.clone())?;
        links.provide_all()?;
        Ok(Files { disk, trash, links, tmp_next: 1 })
    }

    /// Gives a file this content, whatever is there.
    pub(super) fn put(&mut self, path: &str, content: &[u8], made: Made) -> io::Result<()> {
        if made == Made::New {
            match self.disk.create(path, content) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done,
            }
        }
        let stat = match self.disk.stat(path, Wait::Yes) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.disk.create(path, content);
            }
            stat => stat?,
        };
        let in_place = stat.kind == Kind::File
            && stat.links == 1
            && stat.len <= content.len() as u64
            && content.len() <= IN_PLACE_BYTES_MAX;
        if in_place {
            match self.disk.write_at(path, 0, content) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                done => return done,
            }
        }
        self.replace(path, |files, tmp| files.disk.create(tmp, content)).map(|_| ())
    }

    /// Changes parts of a file; one that is missing begins as empty.
    pub(super) fn patch(&mut self, path: &str, patches: &[(u64, Content)]) -> io::Result<()> {
        let stat = match self.disk.stat(path, Wait::Yes) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.disk.create(path, &patched(&[], patches));
            }
            stat => stat?,
        };
        if stat.kind == Kind::File && stat.links == 1 {
            let mut all = patches.iter();
            match all.try_for_each(|(offset, data)| self.disk.write_at(path, *offset, data)) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                done => return done,
            }
        }
        let content = patched(&self.disk.read(path, Wait::Yes)?, patches);
        self.replace(path, |files, tmp| {
            files.disk.create(tmp, &content)?;
            // It holds old content that no replay could bring back.
            files.disk.sync_file(tmp)
        })
        .map(|_| ())
    }

    /// Makes a file whose content thousands share: a link where that works, a plain file otherwise.
    /// What is there is replaced, because a cut may have torn it.
    pub(super) fn share(&mut self, path: &str, shared: Shared) -> io::Result<()> {
        match self.links.link(shared, path)? {
            Linked::Done => return Ok(()),
            Linked::Refused => return self.put(path, shared.content(), Made::There),
            Linked::Exists => {}
        }
        if !step(Step::ReplayRewrites) {
            return Ok(());
        }
        let tmp = self.replace(path, |files, tmp| match files.links.link(shared, tmp)? {
            Linked::Done => Ok(()),
            Linked::Exists | Linked::Refused => files.disk.create(tmp, shared.content()),
        })?;
        // rename(2) between two names of one inode does nothing (RELIABILITY, 31).
        absent(self.disk.remove_file(&tmp))
    }

    /// Makes a file whose content does not matter: any file that is there will do.
    pub(super) fn share_empty(&mut self, path: &str) -> io::Result<()> {
        match self.links.link(Shared::Member, path)? {
            Linked::Done => Ok(()),
            Linked::Refused => match self.disk.create(path, b"") {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.keep_file(path),
                done => done,
            },
            Linked::Exists => self.keep_file(path),
        }
    }

    fn keep_file(&mut self, path: &str) -> io::Result<()> {
        match self.disk.stat(path, Wait::Yes)?.kind {
            Kind::File => Ok(()),
            Kind::Dir | Kind::Other => self.share(path, Shared::Member),
        }
    }

    /// Makes a temporary file and renames it to `path`, in place of a file or a directory. Answers
    /// its name.
    pub(super) fn replace(
        &mut self,
        path: &str,
        make: impl FnOnce(&mut Self, &str) -> io::Result<()>,
    ) -> io::Result<String> {
        let tmp = self.tmp();
        let mut done = make(self, &tmp).and_then(|()| self.disk.rename(&tmp, path));
        if matches!(&done, Err(error) if error.kind() == io::ErrorKind::IsADirectory) {
            done = self.trash.discard(path).and_then(|()| self.disk.rename(&tmp, path));
        }
        match done {
            Ok(()) => Ok(tmp),
            Err(error) => {
                let _ = self.disk.remove_file(&tmp); // A start empties `tmp`.
                Err(error)
            }
        }
    }

    /// Removes a file now, a directory by way of the trash. Answers whether anything was there.
    pub(super) fn remove(&mut self, path: &str) -> io::Result<bool> {
        match self.disk.remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                self.trash.discard(path).map(|()| true)
            }
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a directory with everything below it: a small one entry by entry, so that strangers
    /// stay, and it with them; a large one by a rename.
    pub(super) fn remove_tree(&mut self, dir: &str) -> io::Result<()> {
        self.empty(dir, &[])?;
        match self.disk.remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => absent(removed),
        }
    }

    /// Removes what is in a directory but the entries named in `keep`, and strangers. A directory
    /// of many entries of which none is kept goes as a whole.
    pub(super) fn empty(&mut self, dir: &str, keep: &[&str]) -> io::Result<()> {
        loop {
            let mut seen = 0;
            let entries = trash::entries_but(&*self.disk, dir, REMOVE_ENTRIES_MAX, |name| {
                seen += 1;
                keep.contains(&name) || matches!(names::classify(name.as_bytes()), Entry::Stranger)
            })?;
            if keep.is_empty() && seen >= REMOVE_ENTRIES_MAX {
                return self.discard(dir);
            }
            let more = entries.len() == REMOVE_ENTRIES_MAX;
            for (path, kind) in &entries {
                match kind {
                    Kind::Dir if more => self.discard(path)?,
                    Kind::Dir => self.remove_tree(path)?,
                    _ => absent(self.disk.remove_file(path))?,
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Takes a large directory out of the tree by a rename, and its recorded size with it.
    fn discard(&mut self, dir: &str) -> io::Result<()> {
        // A record of a directory that is gone is never trusted: it only takes room.
        let _ = sizes::forget_dir(&*self.disk, dir);
        self.trash.discard(dir)
    }

    /// Whether an error of making a name speaks of the name and not of the disk (RELIABILITY, 10).
    pub(super) fn is_refusal(&mut self, error: &io::Error) -> io::Result<bool> {
        if disk::is_full(error) {
            let space = self.disk.space()?;
            if space.bytes_free < ROOM_BYTES_MIN || space.inodes_free < ROOM_INODES_MIN {
                return Ok(false);
            }
            // A quota, or room in pieces too small, does not show in the numbers.
            let elsewhere = self.tmp();
            return match self.disk.create_dir(&elsewhere) {
                Err(error) if disk::is_full(&error) => Ok(false),
                made => made.and_then(|()| self.disk.remove_dir(&elsewhere)).map(|()| true),
            };
        }
        Ok(is_name_refusal(error))
    }

    /// A name in `tmp` that nothing has.
    pub(super) fn tmp(&mut self) -> String {
        self.tmp_next += 1;
        paths::tmp(self.tmp_next - 1)
    }
}

/// Whether an error speaks of a name that the file system does not take.
pub(super) fn is_name_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::OVERFLOW, Errno::NAMETOOLONG, Errno::INVAL, Errno::ILSEQ];
    let errno = disk::errno(error);
    refusals.iter().any(|refusal| errno == Some(refusal.raw_os_error()))
}

/// Content with patches applied in their order.
pub(super) fn patched(base: &[u8], patches: &[(u64, Content)]) -> Vec<u8> {
    let mut content = base.to_vec();
    for (offset, data) in patches {
        let start = usize::try_from(*offset).expect("a value fits the address space");
        let end = start + data.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(data);
    }
    content
}

/// Something that is there already is as good as made.
pub(super) fn there(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Something that is not there is as good as removed.
pub(super) fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if is_absent(&error) => Ok(()),
        removed => removed,
    }
}
