//! Keys by name: look-up through cache, backlog and tree; changes; expiry; the cache's budget.
//!
//! *Opening* a key ([`Keyspace::open`]) is where all reading from disk happens. It answers a
//! [`SlotId`], valid while the command runs, or stops the command: parked until a helper has read
//! what is missing, then run again from its start. The mutators take slots; they do no I/O and
//! cannot fail. Each both changes the value in memory and records its op, and one call of
//! [`Keyspace::settle`] makes a batch of the ops of one command. The keyspace knows nothing of
//! clients, replies or paths.

mod cache;
pub mod expiry;
mod filter;
pub mod need;
mod sizes;

use crate::backlog::{Backlog, Layer, Said, View, patched};
use crate::disk::Wait;
use crate::layout::op::{Content, DATABASES, Db, Key, Op, Seq, Type};
use crate::layout::reader::{Loaded, TreeReader, What};
use crate::value::{Form, StringValue, Value};
use cache::{Cache, Slot};
use expiry::Expiry;
use filter::Filter;
use hashbrown::{HashMap, HashSet};
pub use need::{Error, Grant, Need, Stop, reply_too_long};
pub use sizes::Sizes;
use std::io;
use std::sync::Arc;

/// What part of the cache's budget the filter of names takes.
const FILTER_SHARE: usize = 16;
/// How many keys [`Keyspace::warm`] touches.
pub const WARM_MAX: usize = 16;
/// Slots that one step of an eviction looks at.
const SWEEP_STEPS: usize = 256;

/// A key that was opened: valid until the command that opened it has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A key that the tree has to be asked for on a helper thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// Its database.
    pub db: Db,
    /// Its name.
    pub key: Key,
    /// Whether its value is needed, or only that it is there.
    pub what: What,
}

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
    caches: [Cache; DATABASES as usize],
    filter: Filter,
    reader: TreeReader,
    budget: usize,
    ops: Vec<Op>,
    misses: Vec<Miss>,
    shown: Seq,
    /// The newest batch that emptied a database.
    flushed: Seq,
    hand: usize,
    loads: HashMap<(Db, Key), Vec<Arc<Layer>>>,
    retired: Vec<Cache>,
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
            caches: std::array::from_fn(|_| Cache::default()),
            filter: Filter::new(budget / FILTER_SHARE),
            reader,
            budget: budget - budget / FILTER_SHARE,
            ops: Vec::new(),
            misses: Vec::new(),
            shown: 0,
            flushed: 0,
            hand: 0,
            loads: HashMap::new(),
            retired: Vec::new(),
        }
    }

    /// Opens a key: afterwards its type and deadline are known, and with [`What::Value`] its
    /// value. An expired key is removed on the way and counts as absent.
    ///
    /// Stops with [`Need::Loads`] where a helper has to read first, and with an error where the
    /// tree cannot be read: never is a key absent because it could not be read.
    pub fn open(&mut self, db: Db, key: &[u8], what: What) -> Result<SlotId, Stop> {
        self.open_as(db, key, what, Use::Change)
    }

    /// As [`Keyspace::open`], and says what the key is opened for.
    pub fn open_as(&mut self, db: Db, key: &[u8], what: What, by: Use) -> Result<SlotId, Stop> {
        let slot = self.find(db, key, what, by)?;
        if by != Use::Change {
            let found = self.kind(slot).is_some();
            self.figures.hits += u64::from(found);
            self.figures.misses += u64::from(!found);
        }
        Ok(slot)
    }

    fn find(&mut self, db: Db, key: &[u8], what: What, by: Use) -> Result<SlotId, Stop> {
        let index = match self.caches[usize::from(db)].find(key) {
            Some(index) if self.is_loaded(db, index, what) => index,
            _ => self.bring(db, key, what)?,
        };
        let now_s = (self.now_ms / 1000) as u32;
        let cache = &mut self.caches[usize::from(db)];
        if by != Use::Look {
            cache.touch(index, now_s);
        }
        let slot = cache.slot(index);
        self.shown = self.shown.max(slot.seq);
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
            None => None,
        });
        std::hint::black_box(contents.map(|content| content.and_then(|bytes| bytes.first())));
    }

    /// Opens keys together: a helper reads all that are missing before the command runs again.
    pub fn open_all<'k>(
        &mut self,
        db: Db,
        keys: impl Iterator<Item = &'k [u8]>,
        what: What,
        by: Use,
    ) -> Result<Vec<SlotId>, Stop> {
        let mut slots = Vec::with_capacity(keys.size_hint().0);
        let mut missing = false;
        let keys: Vec<&[u8]> = keys.collect();
        for keys in keys.chunks(WARM_MAX) {
            self.warm(db, keys);
            for key in keys {
                match self.open_as(db, key, what, by) {
                    Ok(slot) => slots.push(slot),
                    Err(Stop::Park(Need::Loads)) => missing = true,
                    Err(error) => return Err(error),
                }
            }
        }
        if missing { Err(Stop::Park(Need::Loads)) } else { Ok(slots) }
    }

    fn is_loaded(&self, db: Db, index: u32, what: What) -> bool {
        match &self.caches[usize::from(db)].slot(index).value {
            Some(Value::String(string)) => what == What::Meta || string.content().is_some(),
            None => true,
        }
    }

    /// Brings a key into the cache without waiting for the disk.
    fn bring(&mut self, db: Db, key: &[u8], what: What) -> Result<u32, Stop> {
        if self.filter.excludes(name_hash(db, key)) {
            // A name that was never added: only a flush could be what a power cut takes back.
            let cache = &mut self.caches[usize::from(db)];
            return Ok(cache.insert(key.into(), None, None, self.flushed));
        }
        if let Some(index) = self.absorb(db, key, what, None, &[])? {
            return Ok(index);
        }
        if self.loads.contains_key(key_of(db, key).as_ref()) {
            return Err(self.miss(db, key, what));
        }
        match self.reader.load(db, key, what, Wait::No) {
            Ok(loaded) => {
                self.figures.loads_at_once += 1;
                let index = self.absorb(db, key, what, Some(loaded), &[])?;
                Ok(index.expect("a load answers what is asked"))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(self.miss(db, key, what))
            }
            Err(error) => Err(cannot_read(&error)),
        }
    }

    fn miss(&mut self, db: Db, key: &[u8], what: What) -> Stop {
        self.figures.loads_parked += 1;
        self.misses.push(Miss { db, key: key.into(), what });
        Stop::Park(Need::Loads)
    }

    /// Puts together what backlog and tree say of a key. `None` where the tree has to be asked.
    fn absorb(
        &mut self,
        db: Db,
        key: &[u8],
        what: What,
        loaded: Option<Option<Loaded>>,
        kept: &[Arc<Layer>],
    ) -> Result<Option<u32>, Stop> {
        let view = self.backlog.view(db, key, kept);
        let asked = loaded.is_some();
        let loaded = loaded.flatten();
        let Some((kind, deadline)) = meta(&view, asked, loaded.as_ref()) else { return Ok(None) };
        let Some(kind) = kind else {
            drop(view);
            return Ok(Some(self.put_slot(db, key, None, None)));
        };
        let content = match view.value() {
            (Said::Is(content), patches) => Some(patched(content, &patches)),
            (Said::Absent, _) => return Err(damaged(key, "it has a type and no value")),
            (Said::Tree, _) if !asked => return Ok(None),
            (Said::Tree, patches) => {
                loaded.and_then(|loaded| loaded.value).map(|content| patched(content, &patches))
            }
        };
        drop(view);
        if what == What::Value && content.is_none() {
            return Err(damaged(key, "its value was not found"));
        }
        assert_eq!(kind, Type::String);
        let string = content.map_or_else(StringValue::unloaded, StringValue::new);
        Ok(Some(self.put_slot(db, key, Some(Value::String(string)), deadline)))
    }

    fn put_slot(&mut self, db: Db, key: &[u8], value: Option<Value>, deadline: Option<u64>) -> u32 {
        let seq = self.backlog.undurable_seq(db, key);
        let cache = &mut self.caches[usize::from(db)];
        match cache.find(key) {
            Some(index) => {
                cache.change(index, |slot| {
                    slot.value = value;
                    slot.deadline = deadline;
                });
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

    /// Seconds since a key was last used, as far as the cache knows.
    pub fn idle_s(&self, id: SlotId) -> u64 {
        let used_s = self.slot(id).map_or(0, |slot| slot.used_s);
        (self.now_ms / 1000).saturating_sub(u64::from(used_s))
    }

    /// The string at a key, `None` where the key is absent, WRONGTYPE where it is something else.
    /// The key was opened with [`What::Value`].
    pub fn string(&self, id: SlotId) -> Result<Option<&Content>, Stop> {
        match self.slot(id).and_then(|slot| slot.value.as_ref()) {
            None => Ok(None),
            Some(Value::String(string)) => Ok(string.content()),
        }
    }

    /// What OBJECT ENCODING replies for a key that is there.
    pub fn encoding(&self, id: SlotId) -> &'static str {
        match self.slot(id).and_then(|slot| slot.value.as_ref()) {
            Some(Value::String(string)) => string.encoding(),
            None => "raw",
        }
    }

    /// Makes a key a string with this content; the deadline of a string that was there stays.
    pub fn put_string(&mut self, id: SlotId, content: Content) {
        match self.kind(id) {
            Some(Type::String) => self.record(id, |db, key| Op::Value(db, key, content.clone())),
            _ => {
                self.remove(id);
                self.create(id, Type::String, content.clone());
            }
        }
        self.change(id, |slot| match &mut slot.value {
            Some(Value::String(string)) => string.put(content),
            None => slot.value = Some(Value::String(StringValue::new(content))),
        });
    }

    /// Makes a key a string with this content and no deadline: SET.
    pub fn set_string(&mut self, id: SlotId, content: Content) {
        self.put_string(id, content);
        self.set_deadline(id, None);
    }

    /// Notes that Redis would keep the string at a key in this form; it stays so until it is put.
    pub fn keep_as(&mut self, id: SlotId, form: Form) {
        self.caches[usize::from(id.db)].change(id.index, |slot| {
            if let Some(Value::String(string)) = &mut slot.value {
                string.keep_as(form);
            }
        });
    }

    /// Writes `data` at `offset` of the string at a key: APPEND and SETRANGE.
    pub fn patch_string(&mut self, id: SlotId, offset: u64, data: Content) {
        self.record(id, |db, key| Op::Patch(db, key, offset, data.clone()));
        self.change(id, |slot| {
            if let Some(Value::String(string)) = &mut slot.value {
                string.patch(offset, data);
            }
        });
    }

    /// Sets or takes away the deadline of a key that is there.
    pub fn set_deadline(&mut self, id: SlotId, deadline: Option<u64>) {
        let before = self.deadline(id);
        if before == deadline {
            return;
        }
        self.record(id, |db, key| Op::Expires(db, key, deadline));
        self.change(id, |slot| slot.deadline = deadline);
        // A later one, too: its hint is the only one left once that of the earlier one was read.
        if let Some(ms) = deadline {
            self.file_deadline(id.db, self.key(id), ms);
        }
    }

    /// Notes when a key is to be looked at: in memory where that is soon, and as a hint on disk.
    pub fn file_deadline(&mut self, db: Db, key: Key, ms: u64) {
        self.backlog.hint(expiry::minute(ms), db, key.clone());
        self.expiry.file(ms, db, key, self.now_ms);
    }

    /// Notes the deadline of a key that was looked at and is still there, in memory: that it has a
    /// hint on disk was seen to when it was set.
    pub fn note_deadline(&mut self, id: SlotId) {
        if let Some(ms) = self.deadline(id).filter(|ms| !expiry::is_past(*ms, self.now_ms)) {
            self.expiry.file(ms, id.db, self.key(id), self.now_ms);
        }
    }

    /// Removes a key; answers whether it was there.
    pub fn remove(&mut self, id: SlotId) -> bool {
        if self.kind(id).is_none() {
            return false;
        }
        self.record(id, Op::AbsentKey);
        self.sizes.add(id.db, -1);
        self.change(id, |slot| {
            slot.value = None;
            slot.deadline = None;
        });
        true
    }

    /// Makes `to` what `from` is, value and deadline; both were opened with [`What::Value`].
    pub fn copy(&mut self, from: SlotId, to: SlotId) {
        let deadline = self.deadline(from);
        let Some(value) = self.slot(from).and_then(|slot| slot.value.clone()) else { return };
        self.remove(to);
        let Value::String(string) = &value;
        let content = string.content().expect("a key is loaded before it is copied").clone();
        self.create(to, value.kind(), content);
        self.change(to, |slot| slot.value = Some(value));
        self.set_deadline(to, deadline);
    }

    /// Empties a database.
    pub fn flush(&mut self, db: Db) {
        self.ops.push(Op::AbsentDb(db));
        self.flushed = self.backlog.next_seq();
        self.shown = self.flushed;
        self.sizes.set(db, 0);
        self.retired.push(std::mem::take(&mut self.caches[usize::from(db)]));
        if (0..DATABASES).all(|db| self.sizes.known(db) == Some(0)) {
            self.filter.clear();
        }
    }

    fn create(&mut self, id: SlotId, kind: Type, content: Content) {
        let key = self.key(id);
        self.filter.add(name_hash(id.db, &key));
        self.sizes.add(id.db, 1);
        self.ops.push(Op::Make(id.db, key.clone(), kind));
        self.ops.push(Op::Value(id.db, key, content));
    }

    fn record(&mut self, id: SlotId, op: impl FnOnce(Db, Key) -> Op) {
        let key = self.key(id);
        self.ops.push(op(id.db, key));
    }

    fn key(&self, id: SlotId) -> Key {
        self.caches[usize::from(id.db)].slot(id.index).key.clone()
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
                _ => {}
            }
        }
        self.backlog.replay(seq, ops);
    }

    /// Notes that a helper was asked to load a key.
    pub fn begin_load(&mut self, db: Db, key: &Key) -> bool {
        let new = !self.loads.contains_key(&(db, key.clone()));
        self.loads.entry((db, key.clone())).or_default();
        new
    }

    /// Takes in what a helper loaded, with what was applied while it read merged over it.
    pub fn end_load(
        &mut self,
        miss: &Miss,
        loaded: io::Result<Option<Loaded>>,
    ) -> Result<(), Stop> {
        let kept = self.loads.remove(&(miss.db, miss.key.clone())).unwrap_or_default();
        let loaded = loaded.map_err(|error| cannot_read(&error))?;
        if let Some(index) = self.caches[usize::from(miss.db)].find(&miss.key)
            && self.is_loaded(miss.db, index, miss.what)
        {
            return Ok(()); // A command has written the whole key meanwhile.
        }
        self.absorb(miss.db, &miss.key, miss.what, Some(loaded), &kept).map(drop)
    }

    /// Keeps a slot from being evicted until [`Keyspace::unpin`] is called as often.
    pub fn pin(&mut self, miss: &Miss) {
        self.change_pins(miss, 1);
    }

    /// Takes back one [`Keyspace::pin`].
    pub fn unpin(&mut self, miss: &Miss) {
        self.change_pins(miss, -1);
    }

    fn change_pins(&mut self, miss: &Miss, by: i16) {
        let cache = &mut self.caches[usize::from(miss.db)];
        if let Some(index) = cache.find(&miss.key) {
            cache.change(index, |slot| slot.pins = slot.pins.saturating_add_signed(by));
        }
    }

    /// The writer is done with what it took; `failed` it could not bring into the tree.
    pub fn applied(&mut self, failed: &[(Db, Key)]) {
        let Some(layer) = self.backlog.applied(failed) else { return };
        if crate::base::variant::step(crate::base::variant::Step::MergeLoad) {
            for kept in self.loads.values_mut() {
                kept.insert(0, layer.clone());
            }
        }
    }

    /// Drops what was not used for the longest time until the cache is within its budget, and
    /// answers caches of flushed databases for a helper to free.
    pub fn evict(&mut self) -> Vec<Box<dyn Send>> {
        let mut bytes = self.cache_bytes();
        let mut idle = 0;
        while bytes > self.budget && idle < 4 * usize::from(DATABASES) {
            self.hand = (self.hand + 1) % self.caches.len();
            let freed = self.caches[self.hand].sweep(SWEEP_STEPS);
            self.figures.evicted_bytes += freed as u64;
            bytes -= freed;
            let pointless = freed == 0 && self.caches[self.hand].len() <= SWEEP_STEPS;
            idle = if pointless { idle + 1 } else { 0 };
        }
        self.retired.drain(..).map(|cache| Box::new(cache) as Box<dyn Send>).collect()
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

    /// Says whether the filter has the names of the tree.
    pub fn set_filter_complete(&mut self, complete: bool) {
        self.filter.set_complete(complete);
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

    /// Checks that loading what the ops made gives the values in memory, for every slot. For tests.
    ///
    /// # Errors
    /// Says which key differs, and how.
    pub fn check(&self) -> Result<(), String> {
        for (db, cache) in self.caches.iter().enumerate() {
            for slot in cache.iter() {
                self.check_slot(db as Db, slot)?;
            }
        }
        Ok(())
    }

    fn check_slot(&self, db: Db, slot: &Slot) -> Result<(), String> {
        let loaded = self.reader.load(db, &slot.key, What::Value, Wait::Yes);
        let loaded = loaded.map_err(|error| error.to_string())?;
        let view = self.backlog.view(db, &slot.key, &[]);
        let (kind, deadline) = meta(&view, true, loaded.as_ref()).unwrap_or_default();
        let present = kind.is_some();
        let value = match view.value() {
            (Said::Is(content), patches) => Some(patched(content, &patches)),
            (Said::Absent, _) => None,
            (Said::Tree, patches) => loaded
                .as_ref()
                .and_then(|loaded| loaded.value.clone())
                .map(|value| patched(value, &patches)),
        };
        let same = match &slot.value {
            None => !present,
            Some(Value::String(string)) => {
                present
                    && deadline == slot.deadline
                    && (string.content().is_none() || string.content() == value.as_ref())
            }
        };
        let name = String::from_utf8_lossy(&slot.key).into_owned();
        if same {
            Ok(())
        } else {
            Err(format!("{db}/{name}: memory has {slot:?}, the ops made {value:?}"))
        }
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

/// The type and deadline of a key as the backlog and the tree have them: `None` where the tree has
/// to be asked first.
fn meta(
    view: &View<'_>,
    asked: bool,
    loaded: Option<&Loaded>,
) -> Option<(Option<Type>, Option<u64>)> {
    let kind = match view.kind() {
        Said::Absent => return Some((None, None)),
        Said::Is(kind) => Some(kind),
        Said::Tree if asked => loaded.map(|loaded| loaded.kind),
        Said::Tree => return None,
    };
    let deadline = match view.expires() {
        Said::Absent => None,
        Said::Is(ms) => Some(ms),
        Said::Tree if asked => loaded.and_then(|loaded| loaded.expires),
        Said::Tree => return None,
    };
    Some((kind, deadline.filter(|_| kind.is_some())))
}

fn key_of(db: Db, key: &[u8]) -> Box<(Db, Key)> {
    Box::new((db, key.into()))
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
