//! Collections that a helper looks at as a whole: what comes and goes meanwhile is noted, and added
//! to what it answers.
//!
//! One is looked at at a time, and the writer leaves it as it is: what the helper sees is the tree
//! with what the backlog held when it began.

use super::load::pending;
use super::{Keyspace, SlotId};
use crate::base::score::Score;
use crate::layout::op::{Db, Key, Type};
use crate::value::{Count, Histogram, Value, ZsetValue};

/// A value that takes more than one of so many parts of the cache is not read as a whole.
const KEPT_SHARE: usize = 4;
/// A histogram may take more: the value is of no use without it.
const HISTOGRAM_SHARE: usize = 2;

/// A collection that is being looked at.
pub(super) struct Asked {
    db: Db,
    key: Key,
    /// How many elements came since, less those that went.
    came: i64,
    /// Scores that members of a sorted set had and have got since.
    scores: Vec<(Option<Score>, Option<Score>)>,
}

impl Keyspace {
    /// A helper is asked about all elements of a collection: what changes is noted from here on.
    pub fn begin_ask(&mut self, db: Db, key: &Key) {
        self.asked = Some(Asked { db, key: key.clone(), came: 0, scores: Vec::new() });
    }

    /// What was asked is answered: nothing is noted any more.
    pub fn end_ask(&mut self) {
        self.asked = None;
    }

    /// How many elements a collection has, where memory knows it.
    pub fn known_count(&self, db: Db, key: &[u8]) -> Option<u64> {
        let cache = &self.caches[usize::from(db)];
        match cache.slot(cache.find(key)?).value.as_ref()?.count() {
            Count::Exact(count) => Some(count),
            Count::AtLeast(_) => None,
        }
    }

    /// A count found so many elements; it counts for nothing where the key was removed meanwhile.
    pub fn end_count(&mut self, db: Db, key: &Key, count: u64) {
        let Some(asked) = self.take_asked(db, key) else { return };
        let cache = &mut self.caches[usize::from(db)];
        if let Some(index) = cache.find(key) {
            let count = Count::Exact(count.saturating_add_signed(asked.came));
            cache.change(index, |slot| slot.value.as_mut().map(|value| value.set_count(count)));
        }
    }

    /// A helper found how many members of a sorted set have each score; as [`Keyspace::end_count`].
    /// What would take too much of the cache is not kept.
    pub fn end_histogram(&mut self, db: Db, key: &Key, mut histogram: Histogram) {
        let Some(asked) = self.take_asked(db, key) else { return };
        let moves = self.moving.iter().any(|(_, places)| places.touches(db, key));
        if moves || histogram.bytes() > self.budget / HISTOGRAM_SHARE {
            return self.retire(Some(histogram));
        }
        for (old, new) in asked.scores {
            old.inspect(|old| histogram.remove(*old));
            new.inspect(|new| histogram.add(*new));
        }
        let cache = &mut self.caches[usize::from(db)];
        if let Some(index) = cache.find(key) {
            cache.change(index, |slot| {
                if let Some(Value::Zset(zset)) = &mut slot.value {
                    zset.set_histogram(histogram);
                }
            });
        }
    }

    /// Bytes of a value that [`Keyspace::keep`] takes: what is larger would drive out all else.
    pub fn kept_max(&self) -> usize {
        self.budget / KEPT_SHARE
    }

    /// Keeps a whole sorted set that a helper made of the tree and of [`Keyspace::element_overlay`]
    /// as both were when it began. Does nothing where that key is no longer the same.
    pub fn keep(&mut self, db: Db, key: &Key, mut whole: Box<ZsetValue>) {
        if self.take_asked(db, key).is_none() {
            return;
        }
        let cache = &mut self.caches[usize::from(db)];
        let view = self.backlog.view(db, key, &[]);
        let moves = self.moving.iter().any(|(_, places)| places.touches(db, key));
        let Some(index) = cache.find(key).filter(|_| !moves && !view.hides_tree()) else { return };
        // What changed meanwhile is all in the backlog.
        for (member, content) in pending(&view, Type::Zset) {
            match content.map(|content| Score::from_content(&content)) {
                Some(Some(score)) => _ = whole.insert(member, score),
                Some(None) => return,
                None => _ = whole.remove(&member),
            }
        }
        drop(view);
        let replaced = cache.change(index, |slot| match &mut slot.value {
            Some(Value::Zset(zset)) if zset.order().is_none() => {
                Some(std::mem::replace(zset, whole))
            }
            _ => None,
        });
        self.retire(replaced);
    }

    /// Notes that an element came or went, or changed its score, if somebody asks.
    pub(super) fn note_asked(&mut self, id: SlotId, came: i64, scores: Option<ScoreChange>) {
        if self.asked.is_none() {
            return;
        }
        let key = self.slot_key(id);
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.is(id.db, &key)) {
            asked.came += came;
            asked.scores.extend(scores);
        }
    }

    /// What is answered about this key counts for nothing.
    pub(super) fn forget_asked(&mut self, db: Db, key: &Key) {
        self.take_asked(db, key);
    }

    /// What is answered about keys of this database counts for nothing.
    pub(super) fn forget_asked_of(&mut self, db: Db) {
        self.asked.take_if(|asked| asked.db == db);
    }

    fn take_asked(&mut self, db: Db, key: &Key) -> Option<Asked> {
        self.asked.take_if(|asked| asked.is(db, key))
    }
}

/// The score that a member had, and the one that it has.
pub(super) type ScoreChange = (Option<Score>, Option<Score>);

impl Asked {
    fn is(&self, db: Db, key: &Key) -> bool {
        self.db == db && self.key == *key
    }
}
