//! The directories of the simulated disk: which name leads to which inode.
//!
//! One [`Names`] is what programs see, another what is durable; the same [`Change`]s bring the
//! second after the first, in their order. Knows nothing of the content of files, of errors or of
//! room: a change has been checked before it is made.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of an inode; never used twice.
pub(super) type Inode = u64;

/// The inode of ROOT_DIR.
pub(super) const ROOT: Inode = 1;

/// One name in a directory.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) inode: Inode,
    pub(super) is_dir: bool,
}

/// A directory: its entries by position, which is a hash of the name, as on ext4.
#[derive(Clone, Default)]
pub(super) struct Dir {
    pub(super) entries: BTreeMap<u64, Entry>,
    /// Time of the last change, in microseconds.
    pub(super) changed: u64,
}

/// A place for a name.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) dir: Inode,
    pub(super) name: Arc<str>,
}

/// One metadata operation: it survives a cut whole or not at all.
#[derive(Clone)]
pub(super) enum Change {
    /// A new file or directory, or another name of a file.
    Enter(Place, Inode, bool),
    /// unlink or rmdir.
    Leave(Place),
    /// What is at the first place goes to the second, over what is there.
    Rename(Place, Place),
    /// Two names change places.
    Exchange(Place, Place),
}

/// A tree of directories.
#[derive(Clone)]
pub(super) struct Names {
    dirs: BTreeMap<Inode, Arc<Dir>>,
}

impl Names {
    /// An empty ROOT_DIR.
    pub(super) fn new() -> Names {
        Names { dirs: BTreeMap::from([(ROOT, Arc::default())]) }
    }

    pub(super) fn dir(&self, inode: Inode) -> Option<&Arc<Dir>> {
        self.dirs.get(&inode)
    }

    pub(super) fn dirs(&self) -> impl Iterator<Item = &Arc<Dir>> {
        self.dirs.values()
    }

    pub(super) fn get(&self, place: &Place) -> Option<&Entry> {
        self.dirs.get(&place.dir)?.get(&place.name)
    }

    /// Makes a change, at this time.
    pub(super) fn apply(&mut self, change: &Change, now: u64) {
        match change {
            Change::Enter(place, inode, is_dir) => {
                let entry = Entry { name: place.name.clone(), inode: *inode, is_dir: *is_dir };
                if *is_dir {
                    let dir = Dir { entries: BTreeMap::new(), changed: now };
                    self.dirs.insert(*inode, Arc::new(dir));
                }
                self.put(place, entry, now);
            }
            Change::Leave(place) => self.leave(place, now),
            Change::Rename(from, to) => {
                self.leave(to, now);
                if let Some(entry) = self.take(from, now) {
                    self.put(to, entry, now);
                }
            }
            Change::Exchange(a, b) => {
                if let Some((first, second)) = self.take(a, now).zip(self.take(b, now)) {
                    self.put(a, second, now);
                    self.put(b, first, now);
                }
            }
        }
    }

    fn leave(&mut self, place: &Place, now: u64) {
        if let Some(entry) = self.take(place, now)
            && entry.is_dir
        {
            self.dirs.remove(&entry.inode);
        }
    }

    fn put(&mut self, place: &Place, entry: Entry, now: u64) {
        let entry = Entry { name: place.name.clone(), ..entry };
        if let Some(dir) = self.dirs.get_mut(&place.dir) {
            let dir = Arc::make_mut(dir);
            dir.entries.insert(position(&place.name), entry);
            dir.changed = now;
        }
    }

    fn take(&mut self, place: &Place, now: u64) -> Option<Entry> {
        let dir = Arc::make_mut(self.dirs.get_mut(&place.dir)?);
        dir.changed = now;
        dir.entries.remove(&position(&place.name))
    }
}

impl Dir {
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(&position(name)).filter(|entry| &*entry.name == name)
    }

    /// Whether another name has the position of this one: the directory cannot take it.
    pub(super) fn refuses(&self, name: &str) -> bool {
        self.entries.get(&position(name)).is_some_and(|entry| &*entry.name != name)
    }
}

/// Where a name stands in a listing: 1 to 2^62.
pub(super) fn position(name: &str) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    (super::mix(name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv)) >> 2) + 1
}
