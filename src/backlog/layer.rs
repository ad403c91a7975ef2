//! One layer of the backlog: ops coalesced by key and element, the oldest first.

use crate::base::hash::name_hash;
use crate::base::table::Table;
use crate::base::variant::{Step, step};
use crate::layout::op::{
    Change, Content, Core, DATABASES, Db, Element, Fate, Key, KeyChange, Op, Seq,
};
use std::iter::Sum;
use std::ops::{AddAssign, SubAssign};

/// What one key costs beside its bytes, about: its place and its part of the index.
const ENTRY_BYTES: usize = 32 + size_of::<Entry>();
/// What one element costs beside its bytes, about.
const ELEMENT_BYTES: usize = 32 + size_of::<Unwritten>();
/// What one patch costs beside its bytes, about.
const PATCH_BYTES: usize = 32;
/// Bytes that a name or a content holds in its own place.
const INLINE_BYTES: usize = 23;

/// How many ops [`Layer::warm`] takes.
pub(super) const WARM_OPS: usize = 16;

/// What unwritten changes need until they are in the tree, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Bytes of memory.
    pub bytes: usize,
    /// Keys that may need new directories.
    pub new_keys: usize,
    /// Elements that may need new files: those of sets are links, and need none.
    pub new_files: usize,
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Weight) {
        self.bytes += other.bytes;
        self.new_keys += other.new_keys;
        self.new_files += other.new_files;
    }
}

impl SubAssign for Weight {
    fn sub_assign(&mut self, other: Weight) {
        self.bytes -= other.bytes;
        self.new_keys -= other.new_keys;
        self.new_files -= other.new_files;
    }
}

impl Sum for Weight {
    fn sum<I: Iterator<Item = Weight>>(weights: I) -> Weight {
        weights.fold(Weight::default(), |mut sum, weight| {
            sum += weight;
            sum
        })
    }
}

/// The unwritten changes of one key.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) core: Core,
    elements: Option<Box<Elements>>,
    /// The oldest batch of which something is here: the tree lacks it.
    oldest: Seq,
    /// The newest one.
    pub(super) newest: Seq,
    weight: Weight,
}

/// The unwritten elements of one key, by age.
#[derive(Clone, Default)]
struct Elements {
    table: Table<Unwritten>,
    weight: Weight,
}

#[derive(Clone)]
pub(super) struct Unwritten {
    pub(super) element: Element,
    /// None: it is absent.
    pub(super) content: Option<Content>,
    oldest: Seq,
}

/// Ops coalesced by key and element.
#[derive(Default)]
pub struct Layer {
    pub(super) dbs: [DbLayer; DATABASES as usize],
    /// Deadlines to be filed as expiry hints: minute, database, key.
    pub hints: Vec<(u64, Db, Key)>,
    pub(super) weight: Weight,
}

#[derive(Default)]
pub(super) struct DbLayer {
    /// The batch that emptied the database; all entries here are newer.
    pub(super) cleared: Option<Seq>,
    /// The oldest unwritten first.
    pub(super) keys: Table<Entry>,
}

impl Layer {
    /// Records the op of batch `seq` over all that is here.
    pub fn record(&mut self, seq: Seq, op: Op) {
        match op {
            Op::AbsentDb(db) => self.clear_db(db, seq),
            // A move is no change of a key: the backlog keeps what is newer in a layer of its own.
            Op::Move(_) => {}
            Op::AbsentKey(db, key) => {
                self.change(db, key, seq, |entry| entry.begin(Fate::Removed));
            }
            Op::Make(db, key, kind) => {
                self.change(db, key, seq, |entry| entry.begin(Fate::Made(kind)));
            }
            Op::Value(db, key, content) => {
                let change = Change { base: Some(content), patches: Vec::new() };
                self.change(db, key, seq, |entry| entry.core.lay_value(change));
            }
            Op::Patch(db, key, offset, data) => {
                let change = Change { base: None, patches: vec![(offset, data)] };
                self.change(db, key, seq, |entry| entry.core.lay_value(change));
            }
            Op::Expires(db, key, deadline) => {
                self.change(db, key, seq, |entry| entry.core.expires = Some(deadline));
            }
            Op::Put(db, key, element, content) => {
                self.change(db, key, seq, |entry| entry.lay(element, Some(content), seq));
            }
            Op::Absent(db, key, element) => {
                self.change(db, key, seq, |entry| entry.lay(element, None, seq));
            }
        }
    }

    fn clear_db(&mut self, db: Db, seq: Seq) {
        let layer = &mut self.dbs[usize::from(db)];
        layer.cleared = Some(seq);
        if step(Step::RemovalFirst) {
            let keys = std::mem::take(&mut layer.keys);
            for entry in keys.iter() {
                self.weight -= entry.weight;
            }
        }
    }

    /// Changes the entry of a key, made where there is none, and weighs it anew.
    fn change(&mut self, db: Db, key: Key, seq: Seq, change: impl FnOnce(&mut Entry)) {
        let keys = &mut self.dbs[usize::from(db)].keys;
        let hash = name_hash(&key);
        let place = match keys.find(hash, |entry| entry.key == key) {
            Some(place) => place,
            None => keys.insert(hash, Entry::new(key, seq)),
        };
        let entry = keys.get_mut(place).expect("the entry was just found or inserted");
        self.weight -= entry.weight;
        change(entry);
        entry.newest = seq;
        entry.weigh();
        self.weight += entry.weight;
    }

    /// Puts an entry in the place in time that it has.
    pub(super) fn insert(&mut self, db: Db, mut entry: Entry) {
        entry.weigh();
        self.weight += entry.weight;
        let (oldest, hash) = (entry.oldest, name_hash(&entry.key));
        let keys = &mut self.dbs[usize::from(db)].keys;
        let place = keys.insert(hash, entry);
        keys.age(place, |other| other.oldest <= oldest);
    }

    /// Adds an entry that is younger than all that are here.
    fn push(&mut self, db: Db, entry: Entry) {
        self.weight += entry.weight;
        self.dbs[usize::from(db)].keys.insert(name_hash(&entry.key), entry);
    }

    pub(super) fn remove(&mut self, db: Db, place: u32) -> Option<Entry> {
        let entry = self.dbs[usize::from(db)].keys.remove(place)?;
        self.weight -= entry.weight;
        Some(entry)
    }

    /// Splits off the databases to clear and the oldest changes, up to about `bytes_max`: whole
    /// keys and then, of one that has too much, its oldest elements. One key may be left out.
    pub fn take(&mut self, bytes_max: usize, without: Option<(Db, &Key)>) -> Layer {
        let mut taken = self.take_cleared(without);
        taken.hints = std::mem::take(&mut self.hints);
        while taken.weight.bytes < bytes_max {
            let Some((db, place)) = self.oldest_key(without) else { break };
            let Some(mut entry) = self.remove(db, place) else { break };
            let part = entry.split_off_oldest(bytes_max - taken.weight.bytes);
            match part {
                None => taken.push(db, entry),
                Some(part) => {
                    taken.push(db, part);
                    self.insert(db, entry);
                    break; // A layer has a key once.
                }
            }
        }
        taken
    }

    /// The databases to clear but for that of a key that is left out.
    fn take_cleared(&mut self, without: Option<(Db, &Key)>) -> Layer {
        let mut taken = Layer::default();
        for db in (0..DATABASES).filter(|db| without.is_none_or(|(of, _)| of != *db)) {
            let at = usize::from(db);
            taken.dbs[at].cleared = self.dbs[at].cleared.take();
        }
        taken
    }

    fn oldest_key(&self, without: Option<(Db, &Key)>) -> Option<(Db, u32)> {
        let heads = (0..DATABASES).filter_map(|db| {
            let keys = &self.dbs[usize::from(db)].keys;
            let mut place = keys.oldest()?;
            if let Some((_, key)) = without.filter(|(of, _)| *of == db) {
                if self.dbs[usize::from(db)].cleared.is_some() {
                    return None; // What is here comes behind that.
                }
                if keys.get(place)?.key == *key {
                    place = keys.younger(place)?;
                }
            }
            Some((keys.get(place)?.oldest, db, place))
        });
        heads.min().map(|(_, db, place)| (db, place))
    }

    /// Splits off what removes and makes nothing: what a full disk can take. The database of a key
    /// that is left out is.
    pub fn take_removals(&mut self, without: Option<(Db, &Key)>) -> Layer {
        let mut taken = self.take_cleared(without);
        for db in (0..DATABASES).filter(|db| without.is_none_or(|(of, _)| of != *db)) {
            let mut next = self.dbs[usize::from(db)].keys.oldest();
            while let Some(place) = next {
                let keys = &self.dbs[usize::from(db)].keys;
                next = keys.younger(place);
                if keys.get(place).is_some_and(Entry::only_removes)
                    && let Some(entry) = self.remove(db, place)
                {
                    taken.push(db, entry);
                }
            }
        }
        taken
    }

    /// Whether it says anything of a key.
    pub fn speaks_of(&self, db: Db, key: &[u8]) -> bool {
        self.dbs[usize::from(db)].cleared.is_some() || self.entry(db, key).is_some()
    }

    /// The databases that are emptied first.
    pub fn cleared_dbs(&self) -> Vec<Db> {
        (0..DATABASES).filter(|db| self.dbs[usize::from(*db)].cleared.is_some()).collect()
    }

    /// All keys with their changes, a database after the other, oldest first.
    pub fn changes(&self) -> impl Iterator<Item = KeyChange<'_>> {
        (0..DATABASES).flat_map(|db| {
            self.dbs[usize::from(db)].keys.iter().map(move |entry| KeyChange {
                db,
                key: &entry.key,
                core: &entry.core,
                elements: entry
                    .elements()
                    .map(|unwritten| (&unwritten.element, unwritten.content.as_ref()))
                    .collect(),
            })
        })
    }

    /// What everything here needs, about.
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// Whether nothing is here.
    pub fn is_empty(&self) -> bool {
        self.dbs.iter().all(|db| db.cleared.is_none() && db.keys.is_empty())
    }

    /// The oldest batch of which something is here.
    pub fn oldest(&self) -> Option<Seq> {
        let of_db = |db: &DbLayer| {
            let oldest = db.keys.oldest().and_then(|place| db.keys.get(place));
            oldest.map(|entry| entry.oldest).into_iter().chain(db.cleared).min()
        };
        self.dbs.iter().filter_map(of_db).min()
    }

    /// Touches what recording these ops will read, all of it before any of it is needed: the
    /// memory's answers then come together, not one after the other.
    pub(super) fn warm(&self, ops: &[(Seq, Op)]) {
        let mut entries = [None; WARM_OPS];
        for (entry, (_, op)) in entries.iter_mut().zip(ops) {
            if let Op::Value(db, key, _) = op {
                let keys = &self.dbs[usize::from(*db)].keys;
                *entry = keys.probe(name_hash(key)).and_then(|place| keys.get(place));
            }
        }
        std::hint::black_box(entries.map(|entry| entry.map(|entry| entry.weight.bytes)));
    }

    pub(super) fn place(&self, db: Db, key: &[u8]) -> Option<u32> {
        self.dbs[usize::from(db)].keys.find(name_hash(key), |entry| *entry.key == *key)
    }

    pub(super) fn entry(&self, db: Db, key: &[u8]) -> Option<&Entry> {
        self.dbs[usize::from(db)].keys.get(self.place(db, key)?)
    }
}

impl Entry {
    fn new(key: Key, seq: Seq) -> Entry {
        let core = Core::default();
        Entry { key, core, elements: None, oldest: seq, newest: seq, weight: Weight::default() }
    }

    /// Everything older goes: it is dropped here, and removed from the tree first. The entry stays
    /// as old as it was: until it is applied the tree lacks what was dropped.
    fn begin(&mut self, fate: Fate) {
        if step(Step::RemovalFirst) {
            self.core = Core::default();
            self.elements = None;
        }
        self.core.fate = fate;
    }

    fn lay(&mut self, element: Element, content: Option<Content>, seq: Seq) {
        self.elements.get_or_insert_default().lay(element, content, seq);
    }

    /// Lays what is newer over this, in time for what is here: that is what a layer takes, where
    /// the newer may be a million elements.
    pub(super) fn lay_entry(&mut self, newer: Entry) {
        self.newest = newer.newest;
        if newer.core.fate.clears() {
            self.begin(newer.core.fate);
        }
        if let Some(value) = newer.core.value {
            self.core.lay_value(value);
        }
        self.core.expires = newer.core.expires.or(self.core.expires);
        if let Some(mut elements) = newer.elements {
            let mut older = self.elements.take().unwrap_or_default();
            while let Some(unwritten) = older.table.youngest().and_then(|at| older.remove(at)) {
                elements.lay_under(unwritten);
            }
            self.elements = Some(elements);
        }
    }

    /// Splits off the key itself and its oldest elements, up to about so many bytes; `None` where
    /// that is everything. All that is said of one name stays together: a line of a score group
    /// needs the companion that comes with its member.
    fn split_off_oldest(&mut self, bytes_max: usize) -> Option<Entry> {
        if self.weight.bytes <= bytes_max {
            return None;
        }
        let elements = self.elements.as_mut()?;
        let mut taken = Box::<Elements>::default();
        while taken.weight.bytes < bytes_max && elements.pop_name(&mut taken) {}
        if elements.table.is_empty() {
            *elements = taken;
            return None;
        }
        let rest = elements.oldest();
        let mut part = Entry {
            key: self.key.clone(),
            core: std::mem::take(&mut self.core),
            elements: Some(taken),
            oldest: std::mem::replace(&mut self.oldest, rest),
            newest: self.newest,
            weight: Weight::default(),
        };
        part.weigh();
        Some(part)
    }

    pub(super) fn elements_len(&self) -> usize {
        self.elements.as_ref().map_or(0, |elements| elements.table.len())
    }

    pub(super) fn elements(&self) -> impl Iterator<Item = &Unwritten> {
        self.elements.iter().flat_map(|elements| elements.table.iter())
    }

    pub(super) fn element(&self, element: &Element) -> Option<&Unwritten> {
        let table = &self.elements.as_ref()?.table;
        table
            .find(element_hash(element), |other| other.element == *element)
            .and_then(|at| table.get(at))
    }

    fn weigh(&mut self) {
        self.weight = self.elements.as_ref().map(|elements| elements.weight).unwrap_or_default();
        let value = self.core.value.as_ref().map_or(0, Change::bytes);
        self.weight.bytes += ENTRY_BYTES + beyond_inline(&self.key) + value;
        self.weight.new_keys = usize::from(self.makes_key());
    }

    pub(super) fn makes_key(&self) -> bool {
        matches!(self.core.fate, Fate::Made(_))
    }

    fn only_removes(&self) -> bool {
        !self.makes_key()
            && self.core.value.is_none()
            && !matches!(self.core.expires, Some(Some(_)))
            && self.elements().all(|unwritten| unwritten.content.is_none())
    }

    pub(super) fn says_existence(&self) -> bool {
        self.core.fate.clears()
    }
}

impl Elements {
    fn lay(&mut self, element: Element, content: Option<Content>, seq: Seq) {
        match self.table.find(element_hash(&element), |other| other.element == element) {
            None => _ = self.push(Unwritten { element, content, oldest: seq }),
            Some(place) => {
                let unwritten = self.table.get_mut(place).expect("it was just found");
                self.weight -= unwritten.weight();
                unwritten.content = content;
                self.weight += unwritten.weight();
            }
        }
    }

    /// Lays what is older than all that is here under it.
    fn lay_under(&mut self, older: Unwritten) {
        let hash = element_hash(&older.element);
        let place = match self.table.find(hash, |other| other.element == older.element) {
            None => self.push(older),
            Some(place) => {
                let unwritten = self.table.get_mut(place).expect("it was just found");
                unwritten.oldest = older.oldest;
                place
            }
        };
        self.table.make_oldest(place);
    }

    fn push(&mut self, unwritten: Unwritten) -> u32 {
        self.weight += unwritten.weight();
        let hash = element_hash(&unwritten.element);
        self.table.insert(hash, unwritten)
    }

    fn pop(&mut self) -> Option<Unwritten> {
        self.remove(self.table.oldest()?)
    }

    /// Moves what is said of the name that was spoken of first; answers whether there was one.
    fn pop_name(&mut self, to: &mut Elements) -> bool {
        let Some(oldest) = self.pop() else { return false };
        let (hash, name) = (element_hash(&oldest.element), oldest.element.name().clone());
        to.push(oldest);
        let of_name = |other: &Unwritten| *other.element.name() == name;
        while let Some(other) = self.table.find(hash, of_name).and_then(|at| self.remove(at)) {
            to.push(other);
        }
        true
    }

    fn remove(&mut self, place: u32) -> Option<Unwritten> {
        let unwritten = self.table.remove(place)?;
        self.weight -= unwritten.weight();
        Some(unwritten)
    }

    fn oldest(&self) -> Seq {
        let oldest = self.table.oldest().and_then(|place| self.table.get(place));
        oldest.map_or(0, |unwritten| unwritten.oldest)
    }
}

impl Unwritten {
    fn weight(&self) -> Weight {
        let content = self.content.as_ref().map_or(0, beyond_inline);
        Weight {
            bytes: ELEMENT_BYTES + beyond_inline(self.element.name()) + content,
            new_keys: 0,
            new_files: self.content.as_ref().map_or(0, |content| files(&self.element, content)),
        }
    }
}

/// How many files an element may need.
fn files(element: &Element, content: &Content) -> usize {
    let is_link = matches!(element, Element::Member(_)) && content.is_empty();
    usize::from(!is_link)
}

impl Core {
    fn lay_value(&mut self, newer: Change) {
        match &mut self.value {
            Some(change) if newer.base.is_none() => {
                for (offset, data) in newer.patches {
                    push_patch(&mut change.patches, offset, data);
                }
            }
            value => *value = Some(newer),
        }
    }
}

impl Change {
    fn bytes(&self) -> usize {
        let patches = self.patches.iter().map(|(_, data)| beyond_inline(data) + PATCH_BYTES);
        self.base.as_ref().map_or(0, beyond_inline) + patches.sum::<usize>()
    }
}

/// Bytes that a name or content takes beside its own place.
fn beyond_inline(bytes: &Content) -> usize {
    if bytes.len() > INLINE_BYTES { bytes.len() + 40 } else { 0 }
}

/// Adds a patch; one that goes on where the last one ended, or covers it, becomes one with it.
fn push_patch(patches: &mut Vec<(u64, Content)>, offset: u64, data: Content) {
    if let Some((last_offset, last)) = patches.last_mut() {
        if offset == *last_offset + last.len() as u64 {
            return last.push_slice(&data);
        }
        if offset == *last_offset && data.len() >= last.len() {
            *last = data;
            return;
        }
    }
    patches.push((offset, data));
}

/// What an op needs, about.
pub fn weight(op: &Op) -> Weight {
    let beyond = match op {
        Op::AbsentDb(_) | Op::Move(_) => 0,
        Op::AbsentKey(_, key) | Op::Make(_, key, _) | Op::Expires(_, key, _) => beyond_inline(key),
        Op::Value(_, key, content) | Op::Patch(_, key, _, content) => {
            beyond_inline(key) + beyond_inline(content)
        }
        Op::Put(_, key, element, content) => {
            beyond_inline(key) + beyond_inline(element.name()) + beyond_inline(content)
        }
        Op::Absent(_, key, element) => beyond_inline(key) + beyond_inline(element.name()),
    };
    Weight {
        bytes: ENTRY_BYTES + beyond,
        new_keys: usize::from(matches!(op, Op::Make(..))),
        new_files: match op {
            Op::Put(_, _, element, content) => files(element, content),
            _ => 0,
        },
    }
}

/// The hash of an element among those of its key: that of its name, which several may share.
fn element_hash(element: &Element) -> u64 {
    name_hash(element.name())
}
