//! How many keys each database has: kept up to date by creations and removals, once it is known.

use crate::layout::op::{DATABASES, Db};

/// Numbers of keys.
#[derive(Debug, Default)]
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
