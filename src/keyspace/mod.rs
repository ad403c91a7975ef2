//! Keys by name: look-up through cache, backlog and tree; changes; expiry; the cache's budget.
//!
//! *Opening* a key ([`Keyspace::open`]) is where all reading from disk happens. It answers a
//! [`SlotId`], valid while the command runs, or stops the command: parked until a helper has read
//! what is missing, then run again from its start. The mutators take slots; they do no I/O and
//! cannot fail. Each both changes the value in memory and records its op, and one call of
//! [`Keyspace::settle`] makes a batch of the ops of one command. The keyspace knows nothing of
//! clients, replies or paths.

mod asked;
mod cache;
pub mod expiry;
mod filter;
pub mod load;
pub mod moves;
mod mutate;
pub mod need;
mod sizes;
mod transaction;
mod verify;

use crate::backlog::{Backlog, Layer, View};
use crate::base::bytes::Bytes;
use crate::base::score::Score;
use crate::disk::Wait;
use crate::layout::op::{Content, DATABASES, Db, Key, Move, Op, Seq, Type};
use crate::layout::reader::TreeReader;
use crate::value::Value;
use asked::Asked;
use cache::{Cache, Slot};
use expiry::Expiry;
use filter::Filter;
use hashbrown::{HashMap, HashSet};
pub use load::{Found, Miss, Want, Wanted};
pub use need::{Error, Grant, Listed, Need, Program, Ranging, Stop, reply_too_long};
use sizes::Counts;
pub use sizes::Sizes;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use transaction::Transaction;

/// What part of the cache's budget the filter of names takes.
const FILTER_SHARE: usize = 16;
/// How many keys [`Keyspace::warm`] touches.
pub const WARM_MAX: usize = 16;
/// Slots that one step of an eviction looks at.
const SWEEP_STEPS: usize = 256;
/// Slots that one eviction looks at without dropping any.
const SWEEP_VAIN_MAX: usize = 32 << 10;
/// Steps of one eviction that look at elements of large collections: some milliseconds, and more
/// elements than come meanwhile.
const TRIMS_MAX: usize = 32;

/// A key that was opened: valid until the command that opened it has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotId {
    db: Db,
    index: u32,
}

/// What a key is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To change it: INFO counts no look-up.
    Change,
    /// To read it.
    Read,
    /// To tell something about it, which does not count as its use.
    Look,
}

/// The slot of a key that counts as absent though something is left of it.
const NOWHERE: u32 = u32::MAX;

/// Figures since the start, for INFO.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Look-ups to read that found a key.
    pub hits: u64,
    /// Look-ups to read that found none.
    pub misses: u64,
    /// Keys removed because their time had come.
    pub expired: u64,
    /// Slots dropped from the cache to stay in its budget.
    pub evicted_bytes: u64,
    /// Keys read from the tree without waiting.
    pub loads_at_once: u64,
    /// Keys for which a command was parked.
    pub loads_parked: u64,
}

/// A load under way.
#[derive(Default)]
struct Load {
    /// What the writer has brought into the tree meanwhile, newest first.
    kept: Vec<Arc<Layer>>,
    /// The key has changed its place: what is read counts for nothing.
    outdated: bool,
}

/// Who has slots pinned: the number of a client.
pub type Owner = u64;

/// All keys of all databases.
pub struct Keyspace {
    /// What is not yet in the tree.
    pub backlog: Backlog,
    /// When keys expire.
    pub expiry: Expiry,
    /// Numbers of keys.
    pub sizes: Sizes,
    /// Figures for INFO.
    pub figures: Figures,
    /// The clock of this tick, in Unix milliseconds.
    pub now_ms: u64,
    /// Whether expired keys may be removed: not while the backlog is full.
    pub may_expire: bool,
    /// What is looked up counts as not used.
    pub no_touch: bool,
    /// Collections of so many elements are renamed by a move.
    pub moved_min: usize,
    caches: [Cache; DATABASES as usize],
    /// The slots that are pinned for parked commands, by client. They go with their database where
    /// that changes places, as the caches do.
    pinned: HashMap<Owner, Vec<(Db, Key)>>,
    filter: Filter,
    /// The same of the elements of collections.
    members: Filter,
    /// Collections that may have lost their last element, in the command under way.
    emptied: Vec<SlotId>,
    /// How many elements large collections have that were dropped from the cache.
    counts: Counts,
    /// The collection that a helper looks at.
    asked: Option<Asked>,
    reader: TreeReader,
    budget: usize,
    ops: Vec<Op>,
    /// The transaction that they are part of.
    transaction: Option<Box<Transaction>>,
    /// Reads wait for the disk: whoever runs has been parked too often.
    pub waits: bool,
    /// A database was emptied by the command or the transaction under way.
    clears_filters: bool,
    misses: Vec<Miss>,
    shown: Seq,
    /// For each database the newest batch that emptied or replaced it as a whole.
    floors: [Seq; DATABASES as usize],
    hand: usize,
    loads: HashMap<Miss, Load>,
    /// Moves that the tree does not have yet.
    moving: Vec<(Seq, Move)>,
    /// Names and deadlines are to be looked for in the tree.
    walk_wanted: bool,
    /// What a helper is to free.
    retired: Vec<Box<dyn Send>>,
}

impl Keyspace {
    /// A keyspace over a tree and what recovery found. Its cache holds `budget` bytes.
    pub fn new(reader: TreeReader, backlog: Backlog, budget: usize) -> Keyspace {
        Keyspace {
            backlog,
            expiry: Expiry::default(),
            sizes: Sizes::default(),
            figures: Figures::default(),
            now_ms: 0,
            may_expire: true,
            no_touch: false,
            moved_min: moves::MOVED_MIN,
            caches: std::array::from_fn(|_| Cache::default()),
            pinned: HashMap::new(),
            filter: Filter::new(budget / FILTER_SHARE / 2),
            members: Filter::new(budget / FILTER_SHARE / 2),
            emptied: Vec::new(),
            counts: Counts::default(),
            asked: None,
            reader,
            budget: budget - budget / FILTER_SHARE,
            ops: Vec::new(),
            transaction: None,
            waits: false,
            clears_filters: false,
            misses: Vec::new(),
            shown: 0,
            floors: [0; DATABASES as usize],
            hand: 0,
            loads: HashMap::new(),
            moving: Vec::new(),
            walk_wanted: false,
            retired: Vec::new(),
        }
    }

    /// Opens a key: afterwards its type and deadline are known, and with [`What::Value`] its
    /// value. An expired key is removed on the way and counts as absent.
    ///
    /// Stops with [`Need::Loads`] where a helper has to read first, and with an error where the
    /// tree cannot be read: never is a key absent because it could not be read.
    pub fn open(&mut self, db: Db, key: &[u8], want: Want<'_>) -> Result<SlotId, Stop> {
        self.open_as(db, key, want, Use::Change)
    }

    /// As [`Keyspace::open`], and says what the key is opened for.
    pub fn open_as(&mut self, db: Db, key: &[u8], want: Want<'_>, by: Use) -> Result<SlotId, Stop> {
        let slot = self.find(db, key, want, by)?;
        if by != Use::Change {
            let found = self.kind(slot).is_some();
            self.figures.hits += u64::from(found);
            self.figures.misses += u64::from(!found);
        }
        Ok(slot)
    }

    fn find(&mut self, db: Db, key: &[u8], want: Want<'_>, by: Use) -> Result<SlotId, Stop> {
        let index = match self.caches[usize::from(db)].find(key) {
            Some(index) if self.is_loaded(db, index, want) => index,
            _ => self.bring(db, key, want)?,
        };
        let now_s = (self.now_ms / 1000) as u32;
        let cache = &mut self.caches[usize::from(db)];
        if by != Use::Look && !self.no_touch {
            cache.touch(index, now_s);
        }
        let slot = cache.slot(index);
        self.shown = self.shown.max(slot.seq).max(self.floors[usize::from(db)]);
        let id = SlotId { db, index };
        if slot.value.is_some()
            && slot.deadline.is_some_and(|deadline| expiry::is_past(deadline, self.now_ms))
        {
            if !self.may_expire {
                return Ok(SlotId { db, index: NOWHERE });
            }
            self.figures.expired += 1;
            self.remove(id);
        }
        Ok(id)
    }

    /// Touches what will be read of these keys, all of them before any: the memory's answers then
    /// come together, not one after the other.
    pub fn warm(&self, db: Db, keys: &[&[u8]]) {
        let cache = &self.caches[usize::from(db)];
        let mut slots = [None; WARM_MAX];
        for (slot, key) in slots.iter_mut().zip(keys) {
            *slot = cache.probe(key);
        }
        let slots = slots.map(|slot| slot.and_then(|index| cache.peek(index)));
        let values = slots.map(|slot| slot.and_then(|slot| slot.value.as_ref()));
        std::hint::black_box(slots.map(|slot| slot.and_then(|slot| slot.key.first())));
        let contents = values.map(|value| match value {
            Some(Value::String(string)) => string.content(),
            _ => None,
        });
        std::hint::black_box(contents.map(|content| content.and_then(|bytes| bytes.first())));
    }

    /// Opens keys together: a helper reads all that are missing before the command runs again.
    pub fn open_all<'k>(
        &mut self,
        db: Db,
        keys: impl Iterator<Item = &'k [u8]>,
        want: Want<'_>,
        by: Use,
    ) -> Result<Vec<SlotId>, Stop> {
        let mut slots = Vec::with_capacity(keys.size_hint().0);
        let mut missing = false;
        let keys: Vec<&[u8]> = keys.collect();
        for keys in keys.chunks(WARM_MAX) {
            self.warm(db, keys);
            for key in keys {
                match self.open_as(db, key, want, by) {
                    Ok(slot) => slots.push(slot),
                    Err(Stop::Park(Need::Loads)) => missing = true,
                    Err(error) => return Err(error),
                }
            }
        }
        if missing { Err(Stop::Park(Need::Loads)) } else { Ok(slots) }
    }

    fn is_loaded(&self, db: Db, index: u32, want: Want<'_>) -> bool {
        let value = &self.caches[usize::from(db)].slot(index).value;
        value.as_ref().is_none_or(|value| want.is_met_by(value))
    }

    /// Brings what is wanted of a key into the cache without waiting for the disk.
    fn bring(&mut self, db: Db, key: &[u8], want: Want<'_>) -> Result<u32, Stop> {
        let place = self.place(db);
        if place.is_none_or(|_| self.filter.excludes(name_hash(db, key))) {
            let cache = &mut self.caches[usize::from(db)];
            return Ok(cache.insert(key.into(), None, None, 0));
        }
        if let Some(place) = place.filter(|place| *place != db) {
            return Err(self.miss_at(place, key, want));
        }
        self.wait_for_moves(db, key)?;
        if let Some(index) = self.absorb(db, key, want, None, &[])? {
            return Ok(index);
        }
        let view = self.backlog.view(db, key, &[]);
        let (asked, pending) = match want {
            Want::Removal(names) if self.tells_others(db, key, &view, names.len()) => {
                (Want::Elements(names), 0)
            }
            // Of those that are listed, backlog and transaction may say that they are gone.
            Want::Few(_) | Want::Removal(_) => (want, view.elements_len() + self.ops.len()),
            _ => (want, 0),
        };
        drop(view);
        let miss = Miss { db, key: key.into(), wanted: asked.keep(), pending };
        let wait = if self.waits { Wait::Yes } else { Wait::No };
        match load::load(&self.reader, &miss, wait) {
            Ok(found) => {
                self.figures.loads_at_once += 1;
                match self.absorb(db, key, want, Some(found), &[])? {
                    Some(index) => Ok(index),
                    None => Err(self.miss(miss)),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(self.miss(miss)),
            Err(error) => Err(cannot_read(&error)),
        }
    }

    /// Whether it is known without a listing that others are left when so many elements go.
    fn tells_others(&self, db: Db, key: &[u8], view: &View<'_>, going: usize) -> bool {
        let cache = &self.caches[usize::from(db)];
        match cache.find(key).and_then(|index| cache.slot(index).value.as_ref()) {
            Some(value) => load::tells_others(value.count(), going),
            None => view.present_elements(going + 1, |_| true) > going,
        }
    }

    fn miss(&mut self, miss: Miss) -> Stop {
        self.figures.loads_parked += 1;
        self.misses.push(miss);
        Stop::Park(Need::Loads)
    }

    fn put_slot(&mut self, db: Db, key: &[u8], value: Option<Value>, deadline: Option<u64>) -> u32 {
        let seq = self.backlog.undurable_seq(db, key);
        let cache = &mut self.caches[usize::from(db)];
        match cache.find(key) {
            Some(index) => {
                // Of its deadline memory may know better: a transaction may have changed it.
                cache.change(index, |slot| slot.value = value);
                index
            }
            None => {
                let index = cache.insert(key.into(), value, deadline, seq);
                cache.touch(index, (self.now_ms / 1000) as u32);
                index
            }
        }
    }

    fn slot(&self, id: SlotId) -> Option<&Slot> {
        (id.index != NOWHERE).then(|| self.caches[usize::from(id.db)].slot(id.index))
    }

    fn change<T>(&mut self, id: SlotId, change: impl FnOnce(&mut Slot) -> T) -> T {
        assert_ne!(id.index, NOWHERE, "a write runs only where expired keys may be removed");
        let seq = self.backlog.next_seq();
        self.shown = self.shown.max(seq);
        self.note_seq(id, seq);
        self.caches[usize::from(id.db)].change(id.index, |slot| {
            slot.seq = seq;
            change(slot)
        })
    }

    /// The type of a key, `None` where it is absent.
    pub fn kind(&self, id: SlotId) -> Option<Type> {
        self.slot(id).and_then(|slot| slot.value.as_ref()).map(Value::kind)
    }

    /// When a key expires, in Unix milliseconds; `None` for never, and for an absent key.
    pub fn deadline(&self, id: SlotId) -> Option<u64> {
        self.slot(id).filter(|slot| slot.value.is_some()).and_then(|slot| slot.deadline)
    }

    /// Bytes that a key takes in the cache, `None` where it is absent. Of a collection that is
    /// there in part, about what the whole would take.
    pub fn memory_bytes(&self, id: SlotId) -> Option<usize> {
        let value = self.value(id)?;
        let bytes = value.bytes();
        let (known, count) = (value.known_len().max(1), value.count().at_least() as usize);
        let all = if value.is_complete() { bytes } else { bytes / known * count.max(known) };
        Some(all + self.slot_key(id).len() + cache::SLOT_BYTES)
    }

    /// Seconds since a key was last used, as far as the cache knows.
    pub fn idle_s(&self, id: SlotId) -> u64 {
        let used_s = self.slot(id).map_or(0, |slot| slot.used_s);
        (self.now_ms / 1000).saturating_sub(u64::from(used_s))
    }

    /// Says that the reply speaks of every key there is.
    pub fn show_all(&mut self) {
        self.shown = self.backlog.next_seq().saturating_sub(u64::from(self.ops.is_empty()));
    }

    /// The newest batch of the keys that the command spoke of: its reply waits for that.
    pub fn take_shown(&mut self) -> Seq {
        std::mem::take(&mut self.shown)
    }

    /// What the command asked for and did not get.
    pub fn take_misses(&mut self) -> Vec<Miss> {
        std::mem::take(&mut self.misses)
    }

    /// The ops of the command under way, in their order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Makes one batch of the ops of the command: answers its sequence number, `None` where the
    /// command changed nothing. `journal` is called with it and the ops first.
    pub fn settle(&mut self, journal: impl FnOnce(Seq, &[Op])) -> Option<Seq> {
        self.remove_emptied();
        self.end_transaction();
        self.clear_filters();
        if self.ops.is_empty() {
            return None;
        }
        journal(self.backlog.next_seq(), &self.ops);
        let seq = self.backlog.record(self.ops.drain(..));
        Some(seq)
    }

    /// Takes in one record of the journal at recovery.
    pub fn replay(&mut self, seq: Seq, ops: Vec<Op>) {
        for op in &ops {
            match op {
                Op::Expires(db, key, Some(ms)) => self.file_deadline(*db, key.clone(), *ms),
                Op::Make(db, key, _) => self.filter.add(name_hash(*db, key)),
                Op::Move(places) => self.replay_move(seq, places),
                Op::Put(db, key, element, _) => {
                    self.members.add(load::member_hash(*db, key, element.name()));
                }
                _ => {}
            }
        }
        self.backlog.replay(seq, ops);
    }

    fn replay_move(&mut self, seq: Seq, places: &Move) {
        if let Move::Key(_, (db, key)) = places {
            self.filter.add(name_hash(*db, key));
        }
        // What a start finds in the databases is not what will be there.
        self.walk_wanted = true;
        self.members.set_complete(false);
        self.moving.push((seq, places.clone()));
    }

    /// Notes that a helper is asked for this. False where one has been: there is one load of the
    /// same, but any number of other parts of the same key.
    pub fn begin_load(&mut self, miss: &Miss) -> bool {
        let new = !self.loads.contains_key(miss);
        if new {
            self.loads.insert(miss.clone(), Load::default());
        }
        new
    }

    /// Takes in what a helper loaded, with what was applied while it read merged over it.
    pub fn end_load(&mut self, miss: &Miss, found: io::Result<Option<Found>>) -> Result<(), Stop> {
        let load = self.loads.remove(miss).unwrap_or_default();
        if load.outdated {
            return Ok(()); // The command asks again.
        }
        let found = found.map_err(|error| cannot_read(&error))?;
        miss.wanted.with(|want| {
            if let Some(index) = self.caches[usize::from(miss.db)].find(&miss.key)
                && self.is_loaded(miss.db, index, want)
            {
                return Ok(()); // A command has written what was asked for meanwhile.
            }
            self.absorb(miss.db, &miss.key, want, Some(found), &load.kept).map(drop)
        })
    }

    /// Keeps a slot from being evicted until [`Keyspace::unpin`] is called for the same client,
    /// whose parked command has asked for it.
    pub fn pin(&mut self, by: Owner, db: Db, key: &Key) {
        if self.change_pins(db, key, 1) {
            self.pinned.entry(by).or_default().push((db, key.clone()));
        }
    }

    /// Takes back what a client has pinned: the command is done.
    pub fn unpin(&mut self, by: Owner) {
        for (db, key) in self.pinned.remove(&by).unwrap_or_default() {
            self.change_pins(db, &key, -1);
        }
    }

    /// Answers whether there is such a slot.
    fn change_pins(&mut self, db: Db, key: &[u8], by: i16) -> bool {
        let cache = &mut self.caches[usize::from(db)];
        let found = cache.find(key);
        if let Some(index) = found {
            cache.change(index, |slot| slot.pins = slot.pins.saturating_add_signed(by));
        }
        found.is_some()
    }

    /// The writer is done with what it took; `failed` it could not bring into the tree.
    pub fn applied(&mut self, failed: &[(Db, Key)]) {
        let Some(layer) = self.backlog.applied(failed) else { return };
        if crate::base::variant::step(crate::base::variant::Step::MergeLoad) {
            for (miss, load) in &mut self.loads {
                if layer.speaks_of(miss.db, &miss.key) {
                    load.kept.insert(0, layer.clone());
                }
            }
        }
    }

    /// Drops what was not used for the longest time until the cache is within its budget, and
    /// answers caches of flushed databases for a helper to free.
    pub fn evict(&mut self) -> Vec<Box<dyn Send>> {
        self.shrink();
        std::mem::take(&mut self.retired)
    }

    /// Drops what was not used for the longest time until the cache is within its budget, or so
    /// much was looked at in vain that the rest may be in use: the next call goes on from there.
    /// What the transaction under way has changed stays.
    pub(super) fn shrink(&mut self) {
        let places: usize = self.caches.iter().map(Cache::places).sum();
        let vain_max = (2 * places).min(SWEEP_VAIN_MAX);
        let unsettled = self.backlog.next_seq();
        let (mut vain, mut trims) = (0, 0);
        while self.cache_bytes() > self.budget && vain < vain_max && trims < TRIMS_MAX {
            self.hand = (self.hand + 1) % self.caches.len();
            let (db, counts) = (self.hand as Db, &mut self.counts);
            let cache = &mut self.caches[self.hand];
            let trimmed = cache.sweep(SWEEP_STEPS, unsettled, |slot| {
                if let Some(value) = slot.value {
                    counts.keep(db, slot.key, &value);
                }
            });
            let evicted = cache.take_evicted();
            self.figures.evicted_bytes += evicted;
            let looked_at = cache.places().min(SWEEP_STEPS);
            vain = if evicted == 0 && !trimmed { vain + looked_at } else { 0 };
            trims += usize::from(trimmed);
        }
    }

    /// Bytes of the cache, without the filter of names.
    pub fn cache_bytes(&self) -> usize {
        self.caches.iter().map(Cache::bytes).sum()
    }

    /// Number of keys in the cache that have a deadline, about; for INFO.
    pub fn cached(&self) -> usize {
        self.caches.iter().map(Cache::len).sum()
    }

    /// The directory of a key below ROOT_DIR, or where it would lie. In a database where some names
    /// lie hashed it waits for the disk.
    pub fn dir(&self, db: Db, key: &[u8]) -> Result<String, Stop> {
        self.reader.dir(db, key, Wait::Yes).map_err(|error| cannot_read(&error))
    }

    /// Says whether the filter has the names of the tree, as a walk found them. No walk finds the
    /// elements of collections: where the tree had something, their filter answers nothing until
    /// all databases are emptied.
    pub fn set_filter_complete(&mut self, complete: bool) {
        self.filter.set_complete(complete && !self.walk_wanted);
        if !complete {
            self.members.set_complete(false);
        }
    }

    /// Whether the filter has the names of the tree.
    pub fn is_filter_complete(&self) -> bool {
        self.filter.is_complete()
    }

    /// Adds names that a walk over the tree met.
    pub fn add_names(&mut self, db: Db, keys: &[Key]) {
        for key in keys {
            self.filter.add(name_hash(db, key));
        }
    }

    /// What memory knows of the names of a database and the tree does not: for a listing.
    pub fn overlay(&mut self, db: Db) -> Overlay {
        let mut names = HashMap::new();
        let emptied = self.backlog.names(db, |key, present| {
            names.insert(key.clone(), present);
        });
        let now_ms = self.now_ms;
        let expired = self.expired_slots(db, now_ms);
        names.extend(expired.into_iter().map(|key| (key, false)));
        self.show_all();
        Overlay { names, emptied }
    }

    /// What memory knows of a sorted set and the tree does not: for a listing in order.
    pub fn score_overlay(&self, db: Db, key: &[u8]) -> ScoreOverlay {
        let members = self.element_overlay(db, key, Type::Zset);
        let groups = load::pending_groups(&self.backlog.view(db, key, &[]));
        ScoreOverlay { members, groups }
    }

    /// What memory knows of the elements of a collection and the tree does not: for a listing.
    pub fn element_overlay(&self, db: Db, key: &[u8], kind: Type) -> ElementOverlay {
        let view = self.backlog.view(db, key, &[]);
        ElementOverlay { emptied: view.hides_tree(), elements: load::pending(&view, kind) }
    }

    /// The large collections whose number of elements is known.
    pub fn large_collections(&self) -> Vec<(Db, Key, Type, u64)> {
        let cached = self.caches.iter().enumerate().flat_map(|(db, cache)| {
            let known = move |slot: &Slot| {
                let value = slot.value.as_ref()?;
                let count = sizes::large_count(value)?;
                Some((db as Db, slot.key.clone(), value.kind(), count))
            };
            cache.iter().filter_map(known)
        });
        cached.chain(self.counts.iter()).collect()
    }

    fn expired_slots(&self, db: Db, now_ms: u64) -> HashSet<Key> {
        let due = self.expiry.due(db, now_ms);
        due.filter(|key| {
            let cache = &self.caches[usize::from(db)];
            let deadline = cache.find(key).and_then(|index| cache.slot(index).deadline);
            deadline.is_some_and(|deadline| expiry::is_past(deadline, now_ms))
        })
        .cloned()
        .collect()
    }
}

/// Names of a database as memory knows them, laid over a listing of the tree.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// Keys that are there, or are not, whatever the tree lists.
    pub names: HashMap<Key, bool>,
    /// Whether the tree's names count for nothing.
    pub emptied: bool,
}

/// Elements of a collection as memory knows them, laid over a listing of the tree.
#[derive(Clone, Debug, Default)]
pub struct ElementOverlay {
    /// What elements hold, or that they are absent, whatever the tree lists.
    pub elements: HashMap<Bytes, Option<Content>>,
    /// Whether the tree's elements count for nothing.
    pub emptied: bool,
}

/// A sorted set as memory knows it, laid over a listing of the tree. Of one change the tree may
/// have what it does to the member and not yet what it does to the groups, or the other way round.
#[derive(Clone, Debug, Default)]
pub struct ScoreOverlay {
    /// What is laid over the members' own files.
    pub members: ElementOverlay,
    /// Members that groups have, or have not, whatever the tree lists.
    pub groups: BTreeMap<Score, HashMap<Bytes, bool>>,
}

/// The hash of a key's name in the filter.
fn name_hash(db: Db, key: &[u8]) -> u64 {
    crate::base::hash::hash64(key, u64::from(db))
}

fn cannot_read(error: &io::Error) -> Stop {
    Stop::Error(Error::new(format!("ERR cannot read {error}")))
}

fn damaged(key: &[u8], what: &str) -> Stop {
    let name = String::from_utf8_lossy(key);
    Stop::Error(Error::new(format!("ERR cannot read key '{name}': {what}; run 'dredis check'")))
}
