//! The trash: what was removed from the tree but not yet freed.
//!
//! A removal that would take long is one rename to a number in `.dredis/trash`; the sweeper frees
//! what lies there, on any thread and a little at a time. A crash leaves it for the next start.
//! Knows directories and files, not keys. What has a name that is not UTF-8 was never this
//! server's and cannot be named through `disk`: it stays, and with it the directories around it.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, Kind, Wait, is_full};
use crate::layout::paths;
use crate::layout::reader::is_absent;

/// Entries that one listing holds.
const BATCH_ENTRIES_MAX: usize = 1024;

/// Takes things out of the tree. One of them exists a ROOT_DIR.
pub(super) struct Trash {
    disk: Arc<dyn Disk>,
    next: u64,
}

impl Trash {
    /// The trash, with numbers above those in use.
    pub(super) fn open(disk: Arc<dyn Disk>) -> io::Result<Trash> {
        let mut next = 1;
        disk.list(paths::TRASH, 0, &mut |entry| {
            let number = std::str::from_utf8(entry.name).ok().and_then(|name| name.parse().ok());
            next = next.max(number.map_or(0, |number: u64| number.saturating_add(1)));
            true
        })?;
        Ok(Trash { disk, next })
    }

    /// Takes what is at `path` out of the tree; it is not an error if nothing is. Where it cannot
    /// be renamed it is freed here and now.
    pub(super) fn discard(&mut self, path: &str) -> io::Result<()> {
        loop {
            let place = paths::trash(self.next);
            self.next += 1;
            let error = match self.disk.rename(path, &place) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let taken = matches!(
                error.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
            );
            if taken {
                continue;
            }
            if !is_absent(&error) && !is_full(&error) && !is_across(&error) {
                return Err(error);
            }
            return match self.disk.stat(path, Wait::Yes) {
                Ok(stat) => {
                    let mut budget = usize::MAX;
                    free(&*self.disk, path, stat.kind, &mut budget).map(|_| ())
                }
                Err(error) if is_absent(&error) => Ok(()),
                Err(error) => Err(error),
            };
        }
    }
}

/// Frees what lies in the trash, on any thread.
#[derive(Clone)]
pub struct Sweeper {
    disk: Arc<dyn Disk>,
}

impl Sweeper {
    /// A sweeper of this disk's trash.
    pub fn new(disk: Arc<dyn Disk>) -> Sweeper {
        Sweeper { disk }
    }

    /// Frees up to `budget` files and directories. Answers of how many things that were discarded
    /// something is left, as far as it has looked; 0 where there is nothing more to do.
    pub fn sweep(&self, budget: usize) -> io::Result<usize> {
        let (mut left, mut things) = (budget, 0);
        for (path, kind) in entries(&*self.disk, paths::TRASH, budget)? {
            let gone = left > 0 && free(&*self.disk, &path, kind, &mut left)?;
            things += usize::from(!gone);
        }
        Ok(if left == 0 { things.max(1) } else { 0 })
    }
}

/// Frees what is at `path` while the budget lasts. Answers whether it is gone.
fn free(disk: &dyn Disk, path: &str, kind: Kind, left: &mut usize) -> io::Result<bool> {
    if kind != Kind::Dir {
        *left = left.saturating_sub(1);
        return gone(disk.remove_file(path));
    }
    while *left > 0 {
        let below = entries(disk, path, (*left).min(BATCH_ENTRIES_MAX))?;
        if below.is_empty() {
            *left = left.saturating_sub(1);
            return gone(disk.remove_dir(path));
        }
        let mut progress = false;
        for (path, kind) in below {
            progress |= *left > 0 && free(disk, &path, kind, left)?;
        }
        if !progress {
            return Ok(false);
        }
    }
    Ok(false)
}

/// Whether something is gone after it was removed; a directory that is not empty is still there.
fn gone(removed: io::Result<()>) -> io::Result<bool> {
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(error),
    }
}

/// The paths of up to `limit` entries of a directory; none where it is missing.
pub(super) fn entries(disk: &dyn Disk, dir: &str, limit: usize) -> io::Result<Vec<(String, Kind)>> {
    entries_but(disk, dir, limit, |_| false)
}

/// The same without those whose names are to be left out.
pub(super) fn entries_but(
    disk: &dyn Disk,
    dir: &str,
    limit: usize,
    mut is_left_out: impl FnMut(&str) -> bool,
) -> io::Result<Vec<(String, Kind)>> {
    let mut found = Vec::new();
    let listed = disk.list(dir, 0, &mut |entry| {
        match std::str::from_utf8(entry.name) {
            Ok(name) if !is_left_out(name) => found.push((paths::within(dir, name), entry.kind)),
            _ => {}
        }
        found.len() < limit
    });
    match listed {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(found),
    }
}

/// Whether a rename failed because it would lead to another file system, or another layer of one.
pub(super) fn is_across(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::CrossesDevices
}
