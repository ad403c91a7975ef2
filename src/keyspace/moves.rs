//! Moves: RENAME of what is too large to be written anew, and SWAPDB.
//!
//! In memory a move is done at once; in the tree once everything older is there. Until then what
//! the tree has of the places it touches counts for nothing: whoever has to ask the tree for it
//! waits until the move is done.

use super::load::Want;
use super::{Keyspace, Need, SlotId, Stop, name_hash};
use crate::layout::op::{Db, Move, Op, Seq, swapped};
use crate::value::Value;

/// A collection of fewer elements than this, all in memory, is renamed by writing it anew.
pub const MOVED_MIN: usize = 1_000;

impl Keyspace {
    /// What of a key is wanted to rename it.
    pub fn wanted_to_rename(&self) -> Want<'static> {
        if self.in_transaction() { Want::Whole } else { Want::Few(self.moved_min) }
    }

    /// Whether a key that is opened for RENAME is renamed by a move; never in a transaction, whose
    /// commands may go on with it.
    pub fn is_moved(&self, id: SlotId) -> bool {
        let is_large = |value: &Value| {
            !value.is_complete() || value.count().at_least() >= self.moved_min as u64
        };
        !self.in_transaction() && self.value(id).is_some_and(is_large)
    }

    /// Makes `to` what `from` is, and removes `from`, by a move of its directory.
    pub fn move_key(&mut self, from: SlotId, to: SlotId) {
        let deadline = self.deadline(from);
        let (source, target) = (self.slot_key(from), self.slot_key(to));
        // An expired key in the way was removed; the move does that, and comes first.
        self.ops.retain(|op| !op.places().contains(&(to.db, Some(&target))));
        let places = Move::Key((from.db, source.clone()), (to.db, target.clone()));
        self.begin_move(places);
        self.forget_asked(from.db, &source);
        self.forget_asked(to.db, &target);
        self.sizes.add(from.db, -1);
        self.sizes.add(to.db, i64::from(self.kind(to).is_none()));
        self.filter.add(name_hash(to.db, &target));
        let value = self.change(from, |slot| {
            slot.deadline = None;
            slot.value.take()
        });
        let replaced = self.change(to, |slot| {
            slot.deadline = deadline;
            std::mem::replace(&mut slot.value, value)
        });
        self.retire(replaced);
        if let Some(ms) = deadline {
            self.file_deadline(to.db, target, ms);
        }
    }

    /// Has two databases change places.
    pub fn swap(&mut self, one: Db, other: Db) {
        self.note_swap(one, other);
        self.begin_move(Move::Swap(one, other));
        self.swap_caches(one, other);
        self.sizes.swap(one, other);
        for db in [one, other] {
            self.forget_asked_of(db);
            self.counts.forget(db);
            self.floors[usize::from(db)] = self.backlog.next_seq();
        }
        self.shown = self.backlog.next_seq();
        self.filter.set_complete(false);
        // Hints on disk speak of the databases as they were.
        self.walk_wanted = true;
    }

    /// Has the caches of two databases change places, and what names the slots in them.
    pub(super) fn swap_caches(&mut self, one: Db, other: Db) {
        self.caches.swap(usize::from(one), usize::from(other));
        self.expiry.swap(one, other);
        for (db, _) in self.pinned.values_mut().flatten() {
            *db = swapped(*db, one, other);
        }
    }

    fn begin_move(&mut self, places: Move) {
        for (miss, load) in &mut self.loads {
            load.outdated |= places.touches(miss.db, &miss.key);
        }
        // The members are there under a name that the filter has not seen them with.
        self.members.set_complete(false);
        self.moving.push((self.backlog.next_seq(), places.clone()));
        let moves = self.ops.iter().take_while(|op| matches!(op, Op::Move(_))).count();
        self.ops.insert(moves, Op::Move(places));
    }

    /// Stops who would have to ask the tree for a key that a move under way touches.
    pub fn wait_for_moves(&self, db: Db, key: &[u8]) -> Result<(), Stop> {
        let moving = self.moves_before().iter().rev();
        let moving = { moving }.find(|(_, places)| places.touches(db, key));
        moving.map_or(Ok(()), |(seq, _)| Err(Stop::Park(Need::Moved(*seq))))
    }

    /// Stops who would have to list a database that a move under way touches.
    pub fn wait_for_moves_of(&self, db: Db) -> Result<(), Stop> {
        let moving = self.moves_before().iter().rev();
        let moving = { moving }.find(|(_, places)| places.touches_db(db));
        moving.map_or(Ok(()), |(seq, _)| Err(Stop::Park(Need::Moved(*seq))))
    }

    /// The tree has the moves of batches up to this one.
    pub fn moves_done(&mut self, seq: Seq) {
        self.moving.retain(|(of, _)| *of > seq);
    }

    /// Whether the tree lacks moves, durable or not: its names lie where they no longer belong.
    pub fn has_moves(&self) -> bool {
        !self.moving.is_empty()
    }

    /// Whether the tree is to be walked for names and deadlines: a walk that began before counts
    /// for nothing.
    pub fn is_walk_wanted(&self) -> bool {
        self.walk_wanted
    }

    /// Whether to walk the tree now that it has all moves; asked once.
    pub fn take_walk_wanted(&mut self) -> bool {
        !self.has_moves() && std::mem::take(&mut self.walk_wanted)
    }
}
