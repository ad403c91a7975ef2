//! How many keys each database has, kept up to date by creations and removals once it is known; and
//! how many elements large collections have that are not in the cache.

use crate::layout::op::{DATABASES, Db, Key, Type};
use crate::value::{Count, Value};
use hashbrown::HashMap;

/// A collection of fewer elements is counted when it is needed.
const LARGE_MIN: u64 = 1_000;
/// So many numbers of elements are kept.
const COUNTS_MAX: usize = 100_000;

/// How many elements a large collection has, where that is known.
pub fn large_count(value: &Value) -> Option<u64> {
    match value.count() {
        Count::Exact(count) if count >= LARGE_MIN => Some(count),
        _ => None,
    }
}

/// Numbers of elements of large collections that were dropped from the cache. Nobody changes a
/// collection without taking it back there.
#[derive(Debug, Default)]
pub struct Counts(HashMap<(Db, Key), (Type, u64)>);

impl Counts {
    /// A collection is dropped from the cache.
    pub fn keep(&mut self, db: Db, key: Key, value: &Value) {
        if let Some(count) = large_count(value)
            && self.0.len() < COUNTS_MAX
        {
            self.0.insert((db, key), (value.kind(), count));
        }
    }

    /// A collection is taken back.
    pub fn take(&mut self, db: Db, key: &Key) -> Option<u64> {
        self.0.remove(&(db, key.clone())).map(|(_, count)| count)
    }

    /// A database is emptied, or becomes another.
    pub fn forget(&mut self, db: Db) {
        self.0.retain(|(of, _), _| *of != db);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Db, Key, Type, u64)> {
        self.0.iter().map(|((db, key), (kind, count))| (*db, key.clone(), *kind, *count))
    }
}

/// Numbers of keys.
#[derive(Clone, Debug, Default)]
pub struct Sizes {
    dbs: [Size; DATABASES as usize],
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// The number, or what to add to the one that a count under way will find.
    keys: i64,
    known: bool,
    /// A count is under way, and counts.
    counting: bool,
}

impl Sizes {
    /// The number of keys of a database, where it is known.
    pub fn known(&self, db: Db) -> Option<u64> {
        let size = self.dbs[usize::from(db)];
        size.known.then(|| u64::try_from(size.keys).unwrap_or(0))
    }

    /// The number of keys is this.
    pub fn set(&mut self, db: Db, keys: u64) {
        let keys = i64::try_from(keys).unwrap_or(i64::MAX);
        self.dbs[usize::from(db)] = Size { keys, known: true, counting: false };
    }

    /// So many keys came, or went.
    pub fn add(&mut self, db: Db, keys: i64) {
        self.dbs[usize::from(db)].keys += keys;
    }

    /// Two databases have changed places. A count under way of either counts for nothing.
    pub fn swap(&mut self, one: Db, other: Db) {
        for db in [one, other] {
            self.dbs[usize::from(db)].counting = false;
        }
        self.dbs.swap(usize::from(one), usize::from(other));
    }

    /// A count of the tree begins: what comes and goes from here on, and what memory knows to be
    /// there, is added to what it finds.
    pub fn begin_count(&mut self, db: Db, present: usize) {
        if !self.dbs[usize::from(db)].known {
            self.dbs[usize::from(db)].keys = i64::try_from(present).unwrap_or(i64::MAX);
            self.dbs[usize::from(db)].counting = true;
        }
    }

    /// A count found this number.
    pub fn end_count(&mut self, db: Db, keys: u64) {
        let size = &mut self.dbs[usize::from(db)];
        if std::mem::take(&mut size.counting) {
            size.keys += i64::try_from(keys).unwrap_or(i64::MAX);
            size.known = true;
        }
    }
}
