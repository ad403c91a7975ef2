//! Several commands as one batch, and taking back what they have changed.
//!
//! While a transaction runs, every change notes how things were. A command of it that has to wait
//! for the tree must not wait in the midst of changes that others would see: all is taken back,
//! what is missing is loaded, and the transaction runs again from its start. Nothing of it reaches
//! backlog and journal before it settles.
//!
//! What cannot be loaded into the cache, the names of a database, is read while everybody waits.

use super::cache::{Cache, Slot};
use super::load::Miss;
use super::mutate::FREED_AT_ONCE_MAX;
use super::sizes::Sizes;
use super::{Keyspace, SlotId, Stop, Want, cannot_read, name_hash};
use crate::backlog::weight;
use crate::base::bytes::Bytes;
use crate::layout::op::{Content, DATABASES, Db, Key, Move, Op, Seq, swapped};
use crate::value::order::Pair;
use crate::value::{Encoding, Value};
use hashbrown::{HashMap, HashSet};

/// How many names of the tree RANDOMKEY chooses among.
const SAMPLE_NAMES: usize = 64;

/// A transaction under way.
pub(super) struct Transaction {
    log: Vec<Undo>,
    /// Where in the tree and the backlog each database lies; `None` where they count for nothing,
    /// because it was emptied.
    places: [Option<Db>; DATABASES as usize],
    /// Databases that have changed places.
    swapped: [bool; DATABASES as usize],
    sizes: Sizes,
    floors: [Seq; DATABASES as usize],
    /// How many moves were under way before it.
    moves: usize,
    /// Strings of which the value is in the log, so that a long one is not copied for each change.
    noted: HashSet<SlotId>,
    /// How many ops have been weighed, and what they weigh in bytes.
    weighed: (usize, usize),
}

/// How something was before it was changed.
pub(super) enum Undo {
    /// The newest batch that had changed a key.
    Seq(SlotId, Seq),
    /// The value of a key.
    Value(SlotId, Option<Value>),
    /// The deadline of a key.
    Deadline(SlotId, Option<u64>),
    /// The content of an element, `None` where it was absent, and the form of its collection.
    Element(SlotId, Bytes, Option<Content>, Encoding),
    /// Members of a sorted set that were removed.
    Members(SlotId, Vec<Pair>),
    /// The cache of a database that was emptied.
    Cache(Db, Cache),
    /// Two databases that changed places.
    Swap(Db, Db),
}

impl Keyspace {
    /// Begins a transaction: the commands that follow are one batch, until [`Keyspace::settle`]
    /// makes it or [`Keyspace::take_back`] takes all of them back.
    pub fn begin(&mut self) {
        assert!(self.ops.is_empty(), "a command settles before a transaction begins");
        self.transaction = Some(Box::new(Transaction {
            log: Vec::new(),
            places: std::array::from_fn(|db| Some(db as Db)),
            swapped: [false; DATABASES as usize],
            sizes: self.sizes.clone(),
            floors: self.floors,
            moves: self.moving.len(),
            noted: HashSet::new(),
            weighed: (0, 0),
        }));
    }

    /// Whether a transaction runs.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// One command of a transaction is done.
    pub fn end_command(&mut self) {
        self.remove_emptied();
        if let Some(transaction) = &mut self.transaction {
            let (count, bytes) = &mut transaction.weighed;
            *bytes += self.ops[(*count).min(self.ops.len())..]
                .iter()
                .map(|op| weight(op).bytes)
                .sum::<usize>();
            *count = self.ops.len();
            self.shrink(); // Until it ends nobody else does.
        }
    }

    /// Bytes that the batch of a transaction has in memory by now, about.
    pub fn batch_bytes(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.weighed.1)
    }

    /// Makes everything as it was when the transaction began, and ends it. What was loaded
    /// meanwhile stays, and what the commands lacked is still to be had by
    /// [`Keyspace::take_misses`].
    pub fn take_back(&mut self) {
        let Some(mut transaction) = self.transaction.take() else { return };
        self.emptied.clear();
        self.ops.clear();
        self.shown = 0;
        self.clears_filters = false;
        if !transaction.log.is_empty() {
            self.asked = None; // It was told of changes that did not come about.
        }
        while let Some(undo) = transaction.log.pop() {
            self.undo(undo);
        }
        self.sizes = transaction.sizes;
        self.floors = transaction.floors;
        self.moving.truncate(transaction.moves);
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Seq(id, seq) => self.restore(id, |slot| slot.seq = seq),
            Undo::Value(id, value) => {
                let made = self.restore(id, |slot| std::mem::replace(&mut slot.value, value));
                self.retire(made.filter(|made| made.known_len() > FREED_AT_ONCE_MAX));
            }
            Undo::Deadline(id, deadline) => self.restore(id, |slot| slot.deadline = deadline),
            Undo::Element(id, name, content, encoding) => self.restore(id, |slot| {
                if let Some(value) = &mut slot.value {
                    value.put_back(name, content, encoding);
                }
            }),
            Undo::Members(id, pairs) => self.restore(id, |slot| {
                if let Some(Value::Zset(zset)) = &mut slot.value {
                    for (score, member) in pairs {
                        zset.insert(member, score);
                    }
                }
            }),
            Undo::Cache(db, cache) => {
                let made = std::mem::replace(&mut self.caches[usize::from(db)], cache);
                self.retire(Some(made));
            }
            Undo::Swap(one, other) => self.swap_caches(one, other),
        }
    }

    fn restore<T>(&mut self, id: SlotId, restore: impl FnOnce(&mut Slot) -> T) -> T {
        self.caches[usize::from(id.db)].change(id.index, restore)
    }

    /// Notes how something was, if a transaction runs.
    pub(super) fn note(&mut self, how: impl FnOnce(&mut Keyspace) -> Undo) {
        if self.transaction.is_some() {
            let undo = how(self);
            self.transaction.as_mut().expect("nobody ends it here").log.push(undo);
        }
    }

    /// Notes the value of a key, which is no collection.
    pub(super) fn note_value(&mut self, id: SlotId) {
        if self.transaction.as_mut().is_some_and(|own| own.noted.insert(id)) {
            self.note(|keys| Undo::Value(id, keys.value(id).cloned()));
        }
    }

    /// Notes the newest batch that changed a key, before the transaction.
    pub(super) fn note_seq(&mut self, id: SlotId, seq: Seq) {
        if self.slot(id).is_some_and(|slot| slot.seq != seq) {
            self.note(|keys| Undo::Seq(id, keys.slot(id).map_or(0, |slot| slot.seq)));
        }
    }

    /// Notes an element of a collection that is there; the element is known.
    pub(super) fn note_element(&mut self, id: SlotId, name: &[u8]) {
        self.note(|keys| {
            let value = keys.value(id).expect("an element is changed in a collection");
            Undo::Element(id, name.into(), value.content_of(name), value.form())
        });
    }

    /// Keeps what was replaced or removed for [`Keyspace::take_back`], or has it freed.
    pub(super) fn keep_value(&mut self, id: SlotId, value: Option<Value>) {
        match &mut self.transaction {
            Some(transaction) => transaction.log.push(Undo::Value(id, value)),
            None => self.retire(value.filter(|value| value.known_len() > FREED_AT_ONCE_MAX)),
        }
    }

    /// The same for the cache of a database that was emptied.
    pub(super) fn keep_cache(&mut self, db: Db, cache: Cache) {
        match &mut self.transaction {
            Some(transaction) => {
                transaction.log.push(Undo::Cache(db, cache));
                transaction.places[usize::from(db)] = None;
                transaction.noted.clear();
            }
            None => self.retire(Some(cache)),
        }
    }

    /// Whether a database can change its place: the moves of one batch speak of the tree as it was
    /// before it, so in a transaction it can do so once.
    pub fn may_swap(&self, db: Db) -> bool {
        self.transaction.as_ref().is_none_or(|own| !own.swapped[usize::from(db)])
    }

    /// Two databases change places. Moves come first in their batch: what the transaction did
    /// before is done where it then belongs.
    pub(super) fn note_swap(&mut self, one: Db, other: Db) {
        let Some(transaction) = &mut self.transaction else { return };
        transaction.log.push(Undo::Swap(one, other));
        transaction.noted.clear();
        transaction.places.swap(usize::from(one), usize::from(other));
        for db in [one, other] {
            transaction.swapped[usize::from(db)] = true;
        }
        for op in &mut self.ops {
            if let Some(db) = op.db_mut() {
                *db = swapped(*db, one, other);
            }
            if let Op::Make(db, key, _) = op {
                // No walk finds it before the tree has it.
                self.filter.add(name_hash(*db, key));
            }
        }
    }

    /// Ends a transaction whose ops have become a batch.
    pub(super) fn end_transaction(&mut self) {
        let Some(transaction) = self.transaction.take() else { return };
        let large = transaction.log.len() > FREED_AT_ONCE_MAX
            || transaction.log.iter().any(|undo| match undo {
                Undo::Value(_, Some(value)) => value.known_len() > FREED_AT_ONCE_MAX,
                Undo::Cache(..) => true,
                _ => false,
            });
        self.retire(large.then_some(transaction));
    }

    /// The moves that whoever asks the tree has to wait for: not those of a transaction itself.
    pub(super) fn moves_before(&self) -> &[(Seq, Move)] {
        let own = self.transaction.as_ref().map_or(self.moving.len(), |own| own.moves);
        &self.moving[..own]
    }

    /// Where in the tree and the backlog a database lies, for a transaction; `None` where it was
    /// emptied.
    pub fn place(&self, db: Db) -> Option<Db> {
        self.transaction.as_ref().map_or(Some(db), |own| own.places[usize::from(db)])
    }

    /// A key that has to be loaded before a transaction runs again, and lies elsewhere before it.
    pub(super) fn miss_at(&mut self, place: Db, key: &[u8], want: Want<'_>) -> Stop {
        let miss = Miss { db: place, key: key.into(), wanted: want.keep(), pending: 0 };
        self.miss(miss)
    }

    /// The names of a database as a transaction sees them. Reads all of them in the tree, and
    /// everybody waits.
    pub fn all_names(&mut self, db: Db) -> Result<Vec<Key>, Stop> {
        let (known, tree) = self.known_names(db)?;
        let mut names: Vec<Key> = present(&known).collect();
        if let Some(place) = tree {
            let listed = self.reader.keys(place, 0, None, &mut |name, _| {
                if !known.contains_key(name) {
                    names.push(name.into());
                }
                true
            });
            listed.map_err(|error| cannot_read(&error))?;
        }
        Ok(names)
    }

    /// Names from a position of a database's directory on, about so many, and the position behind
    /// them; `None` at the end. From the beginning it also has those that the tree does not have
    /// yet. They may be no keys any more.
    pub fn some_names(
        &mut self,
        db: Db,
        position: u64,
        count: usize,
    ) -> Result<(Vec<Key>, Option<u64>), Stop> {
        let (known, tree) = self.known_names(db)?;
        let mut names: Vec<Key> =
            if position == 0 { present(&known).collect() } else { Vec::new() };
        let Some(place) = tree else { return Ok((names, None)) };
        let next = self.reader.keys(place, position, Some(count), &mut |name, _| {
            if !known.contains_key(name) || position > 0 {
                names.push(name.into());
            }
            true
        });
        Ok((names, next.map_err(|error| cannot_read(&error))?))
    }

    /// Names from a random place of a database, and all that the tree does not have yet. They may
    /// be no keys any more.
    pub fn sample_names(&mut self, db: Db, seed: u64) -> Result<Vec<Key>, Stop> {
        let (known, tree) = self.known_names(db)?;
        let mut names: Vec<Key> = present(&known).collect();
        if let Some(place) = tree {
            let sampled = self.reader.sample(place, seed, SAMPLE_NAMES);
            let sampled = sampled.map_err(|error| cannot_read(&error))?;
            names.extend(sampled.into_iter().filter(|name| !known.contains_key(name)));
        }
        Ok(names)
    }

    /// What memory knows of the names of a database as a transaction sees it: whether they are
    /// there; and where in the tree all other names are, if they count.
    fn known_names(&mut self, db: Db) -> Result<(HashMap<Key, bool>, Option<Db>), Stop> {
        let mut names = HashMap::new();
        let mut tree = self.place(db);
        if let Some(place) = tree {
            self.wait_for_moves_of(place)?;
            let emptied = self.backlog.names(place, |key, present| {
                names.insert(key.clone(), present);
            });
            tree = tree.filter(|_| !emptied);
        }
        names.extend(self.expired_slots(db, self.now_ms).into_iter().map(|key| (key, false)));
        let next = self.backlog.next_seq();
        let changed = self.caches[usize::from(db)].iter().filter(|slot| slot.seq == next);
        names.extend(changed.map(|slot| (slot.key.clone(), slot.value.is_some())));
        self.show_all();
        Ok((names, tree))
    }
}

fn present(known: &HashMap<Key, bool>) -> impl Iterator<Item = Key> {
    known.iter().filter(|(_, present)| **present).map(|(name, _)| name.clone())
}
