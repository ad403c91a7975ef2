//! When keys expire.
//!
//! The truth is `expires` in the tree, and expiry on access is always right. For keys that nobody
//! asks for there are hints: names filed by the minute of their deadline, on disk (the layout's
//! `hints`), and the near ones here, in the order of their deadlines, at most [`NEAR_MAX`]. A hint
//! only says "look at this key": its deadline may have moved since.

use crate::layout::op::{Db, Key, swapped};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// How many near deadlines are kept in memory; the others wait for their minute's file.
pub const NEAR_MAX: usize = 100_000;
/// What counts as near.
const NEAR_MS: u64 = 120_000;

/// The minute in which a deadline lies: the name of its hints' file.
pub fn minute(ms: u64) -> u64 {
    ms / 60_000
}

/// The minutes of the deadlines that are kept in memory: this one and the next.
pub fn near_minutes(now_ms: u64) -> RangeInclusive<u64> {
    minute(now_ms)..=minute(now_ms.saturating_add(NEAR_MS))
}

/// Whether a deadline is past: as in Redis, a key is there in the millisecond of its deadline.
pub fn is_past(deadline_ms: u64, now_ms: u64) -> bool {
    deadline_ms < now_ms
}

/// Near deadlines.
#[derive(Debug, Default)]
pub struct Expiry {
    near: BTreeSet<(u64, Db, Key)>,
}

impl Expiry {
    /// Notes a deadline if it is near and there is room.
    pub fn file(&mut self, ms: u64, db: Db, key: Key, now_ms: u64) {
        if ms < now_ms.saturating_add(NEAR_MS) && self.near.len() < NEAR_MAX {
            self.near.insert((ms, db, key));
        }
    }

    /// Takes out the next name whose time has come.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<(Db, Key)> {
        let (ms, _, _) = self.near.first()?;
        if !is_past(*ms, now_ms) {
            return None;
        }
        self.near.pop_first().map(|(_, db, key)| (db, key))
    }

    /// Two databases have changed places.
    pub fn swap(&mut self, one: Db, other: Db) {
        let near = std::mem::take(&mut self.near).into_iter();
        self.near = near.map(|(ms, db, key)| (ms, swapped(db, one, other), key)).collect();
    }

    /// The next deadline that is known here.
    pub fn next_ms(&self) -> Option<u64> {
        self.near.first().map(|(ms, _, _)| *ms)
    }

    /// Names of a database whose time has come and that were not taken out yet.
    pub fn due(&self, db: Db, now_ms: u64) -> impl Iterator<Item = &Key> {
        self.near
            .iter()
            .take_while(move |(ms, _, _)| is_past(*ms, now_ms))
            .filter(move |(_, of, _)| *of == db)
            .map(|(_, _, key)| key)
    }
}
