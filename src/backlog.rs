//! The backlog: what is not yet in the tree.
//!
//! Ops go through up to four layers, newest first:
//!
//! | layer | holds | left when |
//! |---|---|---|
//! | `filling` | ops of the batches since the last group | the group goes to the journal |
//! | `pending` | ops of the group at the journal | its sync returned |
//! | `durable` | ops that survive a power cut | the writer takes them, oldest first |
//! | `applying` | what the writer works on, shared with it | the writer is done |
//!
//! A [`Layer`] coalesces by key and part. A removal of a key or of a database drops the older
//! entries below it and comes before the newer ones there. Reading resolves a part through the
//! layers; what none of them says is said by the tree. The backlog knows no paths, no files and no
//! values: only logical names and bytes.

use crate::base::variant::{Step, step};
use crate::layout::op::{Change, Content, DATABASES, Db, Key, KeyChange, Op, Part, Seq};
use hashbrown::{HashMap, hash_map};
use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

/// What one entry costs beside its bytes, about: two table slots, the queue, the key's header.
const ENTRY_BYTES: usize = 64 + size_of::<(Key, Entry)>() * 3 / 2;

/// How many ops [`Layer::warm`] takes.
const WARM_OPS: usize = 16;
/// What one part costs beside its bytes, about: its place in the entry, the header of its content.
const PART_BYTES: usize = 48;

/// What the backlog says of one part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It has this content.
    Content(Content),
    /// It is absent.
    Absent,
    /// The tree knows, and these patches come over what it says, in their order.
    Tree(Vec<(u64, Content)>),
}

/// The unwritten changes of one key.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// What the tree is to hold.
    pub change: KeyChange,
    /// The oldest batch of which something is in `change`: the tree lacks it.
    pub oldest: Seq,
    /// The newest one.
    pub newest: Seq,
    bytes: usize,
    makes_key: bool,
}

/// Ops coalesced by key.
#[derive(Default)]
pub struct Layer {
    dbs: [DbLayer; DATABASES as usize],
    /// Keys by their oldest batch, with the sequence number under which they were queued.
    order: VecDeque<(Seq, Db, Key)>,
    /// Deadlines to be filed as expiry hints: minute, database, key.
    pub hints: Vec<(u64, Db, Key)>,
    bytes: usize,
    new_keys: usize,
    last: Seq,
}

#[derive(Default)]
struct DbLayer {
    /// The batch that emptied the database; all entries here are newer.
    cleared: Option<Seq>,
    keys: HashMap<Key, Entry>,
}

impl Layer {
    /// Records the op of batch `seq` over all that is here.
    pub fn record(&mut self, seq: Seq, op: Op) {
        self.last = self.last.max(seq);
        match op {
            Op::AbsentDb(db) => self.clear_db(db, seq),
            Op::AbsentKey(db, key) => self.change(db, key, seq, Entry::clear),
            Op::Put(db, key, part, content) => {
                let change = Change::Content { base: Some(content), patches: Vec::new() };
                self.change(db, key, seq, |entry| entry.change.lay(part, change));
            }
            Op::Patch(db, key, part, offset, data) => {
                let change = Change::Content { base: None, patches: vec![(offset, data)] };
                self.change(db, key, seq, |entry| entry.change.lay(part, change));
            }
            Op::Absent(db, key, part) => {
                self.change(db, key, seq, |entry| entry.change.lay(part, Change::Absent));
            }
        }
    }

    /// Lays everything of `newer` over what is here.
    pub fn merge(&mut self, newer: Layer) {
        self.last = self.last.max(newer.last);
        let mut dbs = newer.dbs;
        for (db, layer) in dbs.iter_mut().enumerate() {
            if let Some(seq) = layer.cleared {
                self.clear_db(db as Db, seq);
            }
        }
        for (_, db, key) in newer.order {
            if let Some((key, entry)) = dbs[usize::from(db)].keys.remove_entry(&key) {
                self.lay(db, key, entry);
            }
        }
        self.order.make_contiguous().sort_by_key(|(seq, ..)| *seq);
        self.hints.extend(newer.hints);
    }

    fn clear_db(&mut self, db: Db, seq: Seq) {
        self.last = self.last.max(seq);
        let layer = &mut self.dbs[usize::from(db)];
        layer.cleared = Some(seq);
        if step(Step::RemovalFirst) {
            for entry in layer.keys.drain().map(|(_, entry)| entry) {
                self.bytes -= entry.bytes;
                self.new_keys -= usize::from(entry.makes_key);
            }
        }
    }

    fn lay(&mut self, db: Db, key: Key, newer: Entry) {
        self.change(db, key, newer.oldest, |entry| entry.lay(newer));
    }

    /// Changes the entry of a key, made where there is none, and weighs it anew.
    fn change(&mut self, db: Db, key: Key, seq: Seq, change: impl FnOnce(&mut Entry)) {
        let (entry, key) = match self.dbs[usize::from(db)].keys.entry(key) {
            hash_map::Entry::Occupied(entry) => {
                let key = entry.key().len();
                (entry.into_mut(), key)
            }
            hash_map::Entry::Vacant(entry) => {
                let key = entry.key().clone();
                self.order.push_back((seq, db, key.clone()));
                (entry.insert(Entry { oldest: seq, ..Entry::default() }), key.len())
            }
        };
        self.bytes -= entry.bytes;
        self.new_keys -= usize::from(entry.makes_key);
        change(entry);
        entry.newest = entry.newest.max(seq);
        entry.weigh(key);
        self.bytes += entry.bytes;
        self.new_keys += usize::from(entry.makes_key);
    }

    /// Splits off the databases to clear and the oldest keys, up to about `bytes_max`.
    pub fn take(&mut self, bytes_max: usize) -> Layer {
        let mut taken = Layer { hints: std::mem::take(&mut self.hints), ..Layer::default() };
        for (from, to) in self.dbs.iter_mut().zip(&mut taken.dbs) {
            to.cleared = from.cleared.take();
        }
        while taken.bytes < bytes_max {
            let Some((seq, db, key)) = self.order.pop_front() else { break };
            if self.queued(seq, db, &key).is_some() {
                self.hand_over(&mut taken, db, &key);
            }
        }
        taken
    }

    /// Splits off what removes and makes nothing: what a full disk can take.
    pub fn take_removals(&mut self) -> Layer {
        let mut taken = Layer::default();
        for (from, to) in self.dbs.iter_mut().zip(&mut taken.dbs) {
            to.cleared = from.cleared.take();
        }
        for (seq, db, key) in std::mem::take(&mut self.order) {
            match self.queued(seq, db, &key) {
                Some(entry) if entry.only_removes() => self.hand_over(&mut taken, db, &key),
                Some(_) => self.order.push_back((seq, db, key)),
                None => {}
            }
        }
        taken
    }

    fn hand_over(&mut self, taken: &mut Layer, db: Db, key: &Key) {
        let Some((key, entry)) = self.dbs[usize::from(db)].keys.remove_entry(key) else { return };
        self.bytes -= entry.bytes;
        self.new_keys -= usize::from(entry.makes_key);
        taken.lay(db, key, entry);
    }

    /// The databases that are emptied first.
    pub fn cleared_dbs(&self) -> Vec<Db> {
        (0..DATABASES).filter(|db| self.dbs[usize::from(*db)].cleared.is_some()).collect()
    }

    /// All keys with their changes, oldest first.
    pub fn changes(&self) -> impl Iterator<Item = (Db, &Key, &KeyChange)> {
        self.order.iter().filter_map(|(seq, db, key)| {
            let entry = self.queued(*seq, *db, key)?;
            Some((*db, key, &entry.change))
        })
    }

    /// Bytes of everything here, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is here.
    pub fn is_empty(&self) -> bool {
        self.dbs.iter().all(|db| db.cleared.is_none() && db.keys.is_empty())
    }

    /// The oldest batch of which something is here.
    pub fn oldest(&self) -> Option<Seq> {
        let mut queue = self.order.iter();
        let keys = queue.find_map(|(seq, db, key)| self.queued(*seq, *db, key).map(|_| *seq));
        self.dbs.iter().filter_map(|db| db.cleared).chain(keys).min()
    }

    /// The entry for which a key was queued with batch `seq`; `None` where that has gone, though
    /// the key may have been queued again since.
    fn queued(&self, seq: Seq, db: Db, key: &[u8]) -> Option<&Entry> {
        self.entry(db, key).filter(|entry| entry.oldest == seq)
    }

    /// Touches what recording these ops will read, all of it before any of it is needed: the
    /// memory's answers then come together, not one after the other.
    fn warm(&self, ops: &[(Seq, Op)]) {
        let mut entries = [None; WARM_OPS];
        for (entry, (_, op)) in entries.iter_mut().zip(ops) {
            if let Op::Put(db, key, ..) = op {
                *entry = self.entry(*db, key);
            }
        }
        let changes = entries.map(|entry| entry.and_then(|entry| entry.change.parts.last()));
        let contents = changes.map(|change| match change {
            Some((_, Change::Content { base: Some(base), .. })) => Some(base.len()),
            _ => None,
        });
        std::hint::black_box(contents);
    }

    fn entry(&self, db: Db, key: &[u8]) -> Option<&Entry> {
        self.dbs[usize::from(db)].keys.get(key)
    }

    /// What this layer says of a part: `None` where it says nothing.
    fn says(&self, db: Db, key: &[u8], part: &Part) -> Option<&Change> {
        const ABSENT: Change = Change::Absent;
        let layer = &self.dbs[usize::from(db)];
        let entry = layer.keys.get(key);
        let change = entry.and_then(|entry| entry.change.part(part));
        let removed = layer.cleared.is_some() || entry.is_some_and(|entry| entry.change.cleared);
        if change.is_none() && removed { Some(&ABSENT) } else { change }
    }
}

impl Entry {
    /// Removes everything: what was older is dropped. The entry stays as old as it was, as its
    /// place in the order does: until it is applied the tree lacks what was dropped.
    fn clear(&mut self) {
        if step(Step::RemovalFirst) {
            self.change.parts.clear();
        }
        self.change.cleared = true;
    }

    fn lay(&mut self, newer: Entry) {
        self.newest = newer.newest;
        if newer.change.cleared {
            self.clear();
        }
        for (part, change) in newer.change.parts {
            self.change.lay(part, change);
        }
    }

    fn weigh(&mut self, key_bytes: usize) {
        let parts = self.change.parts.iter().map(|(_, change)| change.bytes() + PART_BYTES);
        self.bytes = ENTRY_BYTES + key_bytes + parts.sum::<usize>();
        self.makes_key = matches!(self.change.part(&Part::Type), Some(Change::Content { .. }));
    }

    fn only_removes(&self) -> bool {
        self.change.parts.iter().all(|(_, change)| *change == Change::Absent)
    }
}

impl KeyChange {
    /// What this change says of a part.
    pub fn part(&self, part: &Part) -> Option<&Change> {
        self.parts.iter().find(|(name, _)| name == part).map(|(_, change)| change)
    }

    fn lay(&mut self, part: Part, newer: Change) {
        let Some((_, change)) = self.parts.iter_mut().find(|(name, _)| *name == part) else {
            return self.parts.push((part, newer));
        };
        match (&mut *change, newer) {
            (
                Change::Content { patches, .. },
                Change::Content { base: None, patches: newer_patches },
            ) => {
                for (offset, data) in newer_patches {
                    push_patch(patches, offset, data);
                }
            }
            (Change::Absent, Change::Content { base: None, patches }) => {
                *change = Change::Content { base: Some(Content::default()), patches };
            }
            (_, newer) => *change = newer,
        }
    }
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Change::Absent => 0,
            Change::Content { base, patches } => {
                let patches = patches.iter().map(|(_, data)| data.len() + 24).sum::<usize>();
                base.as_ref().map_or(0, |base| base.len()) + patches
            }
        }
    }
}

/// Adds a patch; one that goes on where the last one ended, or covers it, becomes one with it.
fn push_patch(patches: &mut Vec<(u64, Content)>, offset: u64, data: Content) {
    if let Some((last_offset, last)) = patches.last_mut() {
        if offset == *last_offset + last.len() as u64 {
            return Arc::make_mut(last).extend_from_slice(&data);
        }
        if offset == *last_offset && data.len() >= last.len() {
            *last = data;
            return;
        }
    }
    patches.push((offset, data));
}

/// `content` with the patches laid over it in their order; gaps are zeros.
pub fn patched(mut content: Content, patches: &[(u64, Content)]) -> Content {
    if patches.is_empty() {
        return content;
    }
    let bytes = Arc::make_mut(&mut content);
    for (offset, data) in patches {
        let start = usize::try_from(*offset).expect("a value's offset fits the address space");
        if bytes.len() < start + data.len() {
            bytes.resize(start + data.len(), 0);
        }
        bytes[start..start + data.len()].copy_from_slice(data);
    }
    content
}

/// Ops that are not durable yet, in their order. Most of them are never looked for here, because
/// the cache has what they made: they are indexed, as a layer, only when somebody does.
#[derive(Default)]
struct Log {
    ops: Vec<(Seq, Op)>,
    hints: Vec<(u64, Db, Key)>,
    bytes: usize,
    new_keys: usize,
    index: RefCell<Index>,
}

/// The first `upto` ops of a log as a layer.
#[derive(Default)]
struct Index {
    layer: Layer,
    upto: usize,
}

impl Log {
    fn push(&mut self, seq: Seq, op: Op) {
        let (key, content) = match &op {
            Op::AbsentDb(_) => (0, 0),
            Op::AbsentKey(_, key) | Op::Absent(_, key, _) => (key.len(), 0),
            Op::Put(_, key, part, content) => {
                self.new_keys += usize::from(*part == Part::Type);
                (key.len(), content.len())
            }
            Op::Patch(_, key, _, _, data) => (key.len(), data.len()),
        };
        self.bytes += ENTRY_BYTES + key + content;
        self.ops.push((seq, op));
    }

    /// Adds everything of a newer log and empties that.
    fn append(&mut self, newer: &mut Log) {
        self.ops.append(&mut newer.ops);
        self.hints.append(&mut newer.hints);
        self.bytes += std::mem::take(&mut newer.bytes);
        self.new_keys += std::mem::take(&mut newer.new_keys);
        newer.index.take();
    }

    /// Records everything in a layer and empties the log.
    fn drain_into(&mut self, layer: &mut Layer) {
        let mut ops = self.ops.drain(..);
        loop {
            layer.warm(&ops.as_slice()[..ops.len().min(WARM_OPS)]);
            let before = ops.len();
            for (seq, op) in ops.by_ref().take(WARM_OPS) {
                layer.record(seq, op);
            }
            if before <= WARM_OPS {
                break;
            }
        }
        drop(ops);
        layer.hints.append(&mut self.hints);
        self.bytes = 0;
        self.new_keys = 0;
        self.index.take();
    }

    /// The log as a layer.
    fn layer(&self) -> Ref<'_, Layer> {
        let mut index = self.index.borrow_mut();
        let Index { layer, upto } = &mut *index;
        for (seq, op) in &self.ops[*upto..] {
            layer.record(*seq, op.clone());
        }
        *upto = self.ops.len();
        drop(index);
        Ref::map(self.index.borrow(), |index| &index.layer)
    }
}

/// All layers, and the watermarks between them.
#[derive(Default)]
pub struct Backlog {
    filling: Log,
    pending: Log,
    durable: Layer,
    applying: Option<Arc<Layer>>,
    issued: Seq,
    durable_seq: Seq,
}

impl Backlog {
    /// Takes in what recovery found in the journal: durable, and perhaps in the tree already.
    pub fn replay(&mut self, seq: Seq, ops: Vec<Op>) {
        for op in ops {
            self.durable.record(seq, op);
        }
        self.durable.hints.append(&mut self.filling.hints);
        self.issued = seq;
        self.durable_seq = seq;
    }

    /// The last batch in the journal was this one, in the tree or replayed.
    pub fn start_at(&mut self, last: Seq) {
        self.issued = last;
        self.durable_seq = last;
    }

    /// The sequence number that the next batch gets.
    pub fn next_seq(&self) -> Seq {
        self.issued + 1
    }

    /// The newest batch there is.
    pub fn issued(&self) -> Seq {
        self.issued
    }

    /// The newest batch that survives a power cut.
    pub fn durable_seq(&self) -> Seq {
        self.durable_seq
    }

    /// Records the ops of the next batch and answers its sequence number.
    pub fn record(&mut self, ops: impl Iterator<Item = Op>) -> Seq {
        self.issued += 1;
        for op in ops {
            self.filling.push(self.issued, op);
        }
        self.issued
    }

    /// Files a deadline with the batch that is being made.
    pub fn hint(&mut self, minute: u64, db: Db, key: Key) {
        self.filling.hints.push((minute, db, key));
    }

    /// The group goes to the journal: what was filling is pending.
    pub fn submit(&mut self) {
        if step(Step::WriterWaits) {
            self.pending.append(&mut self.filling);
        } else {
            self.filling.drain_into(&mut self.durable);
        }
    }

    /// The journal's sync returned: all pending batches, up to `seq`, are durable.
    pub fn synced(&mut self, seq: Seq) {
        self.pending.drain_into(&mut self.durable);
        self.durable_seq = seq;
    }

    /// What the writer is to apply next, the oldest first; `None` while it works or has nothing.
    pub fn take(&mut self, bytes_max: usize) -> Option<Arc<Layer>> {
        if self.applying.is_some() || (self.durable.is_empty() && self.durable.hints.is_empty()) {
            return None;
        }
        self.hand_out(|durable| durable.take(bytes_max))
    }

    /// What a full disk can take: removals; `None` while the writer works or there are none.
    pub fn take_removals(&mut self) -> Option<Arc<Layer>> {
        if self.applying.is_some() {
            return None;
        }
        self.hand_out(Layer::take_removals)
    }

    fn hand_out(&mut self, take: impl FnOnce(&mut Layer) -> Layer) -> Option<Arc<Layer>> {
        let layer = Arc::new(take(&mut self.durable));
        if layer.is_empty() && layer.hints.is_empty() {
            return None;
        }
        self.applying = Some(layer.clone());
        Some(layer)
    }

    /// The writer is done but for the keys in `failed`, which go back below what is newer. Answers
    /// the layer, for the loads that began before.
    pub fn applied(&mut self, failed: &[(Db, Key)]) -> Option<Arc<Layer>> {
        let layer = self.applying.take()?;
        if !failed.is_empty() {
            let mut back = Layer::default();
            for (db, key) in failed {
                if let Some(entry) = layer.entry(*db, key) {
                    back.lay(*db, key.clone(), entry.clone());
                }
            }
            back.merge(std::mem::take(&mut self.durable));
            self.durable = back;
        }
        Some(layer)
    }

    /// Up to this batch the tree has everything, synced or not.
    pub fn applied_seq(&self) -> Seq {
        let applying = self.applying.as_ref().and_then(|layer| layer.oldest());
        let oldest = applying.into_iter().chain(self.durable.oldest()).min();
        oldest.map_or(self.durable_seq, |oldest| oldest - 1)
    }

    /// Up to this batch the tree has everything once the layer being applied is: what a sync that
    /// follows it at the writer makes safe.
    pub fn applied_seq_behind_writer(&self) -> Seq {
        self.durable.oldest().map_or(self.durable_seq, |oldest| oldest - 1)
    }

    /// Bytes of everything here, about.
    pub fn bytes(&self) -> usize {
        let layers = self.durable.bytes + self.applying().map_or(0, Layer::bytes);
        self.filling.bytes + self.pending.bytes + layers
    }

    /// Bytes of what the writer could take now.
    pub fn durable_bytes(&self) -> usize {
        self.durable.bytes
    }

    /// How many keys may need new directories in the tree.
    pub fn new_keys(&self) -> usize {
        let layers = self.durable.new_keys + self.applying().map_or(0, |layer| layer.new_keys);
        self.filling.new_keys + self.pending.new_keys + layers
    }

    /// Whether the tree has everything.
    pub fn is_empty(&self) -> bool {
        self.filling.ops.is_empty() && self.pending.ops.is_empty() && self.is_written()
    }

    /// Whether the writer has nothing to do.
    pub fn is_written(&self) -> bool {
        self.durable.is_empty() && self.applying.is_none()
    }

    /// Whether the writer is at work.
    pub fn is_applying(&self) -> bool {
        self.applying.is_some()
    }

    /// What the writer works on.
    pub fn applying(&self) -> Option<&Layer> {
        self.applying.as_deref()
    }

    /// What is said of a part here or in `kept`: layers applied while a load ran, newest first.
    pub fn says(&self, db: Db, key: &[u8], part: &Part, kept: &[Arc<Layer>]) -> Said {
        let mut newer: Vec<&(u64, Content)> = Vec::new();
        let (filling, pending) = (self.filling.layer(), self.pending.layer());
        let layers = [&*filling, &*pending, &self.durable].into_iter().chain(self.applying());
        for layer in layers.chain(kept.iter().map(|layer| &**layer)) {
            match layer.says(db, key, part) {
                None => {}
                Some(Change::Absent) if newer.is_empty() => return Said::Absent,
                Some(Change::Absent) => return Said::Content(built(Content::default(), &newer)),
                Some(Change::Content { base, patches }) => {
                    newer.extend(patches.iter().rev());
                    if let Some(base) = base {
                        return Said::Content(built(base.clone(), &newer));
                    }
                }
            }
        }
        Said::Tree(newer.into_iter().rev().cloned().collect())
    }

    /// The newest batch of a key that is not durable yet, 0 where there is none.
    pub fn undurable_seq(&self, db: Db, key: &[u8]) -> Seq {
        [self.filling.layer(), self.pending.layer()]
            .iter()
            .flat_map(|layer| {
                let cleared = layer.dbs[usize::from(db)].cleared;
                cleared.into_iter().chain(layer.entry(db, key).map(|entry| entry.newest))
            })
            .max()
            .unwrap_or(0)
    }

    /// Visits all keys of a database that the layers speak of, each once, with whether it is there.
    /// Where the database was emptied by one of them, `true` is answered: the tree's names count
    /// for nothing.
    pub fn names(&self, db: Db, mut visit: impl FnMut(&Key, bool)) -> bool {
        let mut seen: Vec<&DbLayer> = Vec::new();
        let (filling, pending) = (self.filling.layer(), self.pending.layer());
        let layers = [&*filling, &*pending, &self.durable].into_iter().chain(self.applying());
        for layer in layers.map(|layer| &layer.dbs[usize::from(db)]) {
            for (key, entry) in &layer.keys {
                if entry.says_existence() && !seen.iter().any(|newer| newer.speaks_of(key)) {
                    let present =
                        matches!(entry.change.part(&Part::Type), Some(Change::Content { .. }));
                    visit(key, present);
                }
            }
            if layer.cleared.is_some() {
                return true;
            }
            seen.push(layer);
        }
        false
    }
}

impl DbLayer {
    fn speaks_of(&self, key: &Key) -> bool {
        self.keys.get(key).is_some_and(Entry::says_existence)
    }
}

impl Entry {
    fn says_existence(&self) -> bool {
        self.change.cleared || self.change.part(&Part::Type).is_some()
    }
}

/// `base` with patches collected from the newest to the oldest.
fn built(base: Content, newest_first: &[&(u64, Content)]) -> Content {
    let patches: Vec<_> = newest_first.iter().rev().map(|patch| (*patch).clone()).collect();
    patched(base, &patches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, part: Part) -> Op {
        Op::Put(0, key.as_bytes().into(), part, Content::new(b"x".to_vec()))
    }

    fn durable(batches: &[&[Op]]) -> Backlog {
        let mut backlog = Backlog::default();
        for batch in batches {
            backlog.record(batch.iter().cloned());
        }
        backlog.submit();
        backlog.synced(backlog.issued());
        backlog
    }

    #[test]
    fn a_key_made_anew_does_not_hide_an_older_one() {
        let absent = Op::AbsentKey(0, b"a"[..].into());
        let again = [absent, put("a", Part::Type)];
        let backlog = durable(&[&[put("a", Part::Type)], &[put("b", Part::Type)], &again]);
        assert_eq!(backlog.applied_seq(), 0, "the tree lacks b of batch 2");
    }

    #[test]
    fn a_key_queued_before_a_flush_does_not_hide_an_older_one() {
        let [a, b, c] = ["a", "b", "c"].map(|key| put(key, Part::Type));
        let flush = Op::AbsentDb(0);
        let mut backlog = durable(&[
            &[put("a", Part::Type)],
            &[put("b", Part::Type)],
            &[flush],
            &[c],
            &[b],
            &[a],
        ]);
        let mut applied = Vec::new();
        while backlog.take(1).is_some() {
            applied.push(backlog.applied_seq());
            backlog.applied(&[]);
        }
        assert_eq!(applied, [2, 4, 5], "what is being applied does not count yet");
        assert_eq!(backlog.applied_seq(), 6);
    }

    #[test]
    fn what_failed_goes_back_in_its_order() {
        let removal = Op::AbsentKey(0, b"gone"[..].into());
        let mut backlog = durable(&[&[put("a", Part::Type)], &[removal]]);
        let layer = backlog.take_removals().expect("there is a removal");
        assert_eq!(layer.oldest(), Some(2));
        backlog.applied(&[(0, b"gone"[..].into())]);
        assert_eq!(backlog.applied_seq(), 0, "the tree lacks a of batch 1");
    }
}
