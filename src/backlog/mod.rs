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
//! A [`Layer`] coalesces by key and element. A removal of a key or of a database drops the older
//! entries below it and comes before the newer ones there. Reading resolves a key through the
//! layers ([`Backlog::view`]); what none of them says is said by the tree. The backlog knows no
//! paths, no files and no values: only logical names and bytes.

mod layer;
mod view;

use crate::base::variant::{Step, step};
use crate::layout::op::{Content, Db, Key, Move, Op, Seq};
use layer::{Entry, WARM_OPS};
pub use layer::{Layer, Weight, weight};
use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
pub use view::{Said, View};

/// `content` with the patches laid over it in their order; gaps are zeros.
pub fn patched(mut content: Content, patches: &[(u64, Content)]) -> Content {
    if patches.is_empty() {
        return content;
    }
    let mut bytes = content.mutate();
    for (offset, data) in patches {
        let start = usize::try_from(*offset).expect("a value's offset fits the address space");
        if bytes.len() < start + data.len() {
            bytes.resize(start + data.len(), 0);
        }
        bytes[start..start + data.len()].copy_from_slice(data);
    }
    drop(bytes);
    content
}

/// Ops that are not durable yet, in their order. Most of them are never looked for here, because
/// the cache has what they made: they are indexed, as a layer, only when somebody does.
#[derive(Default)]
struct Log {
    ops: Vec<(Seq, Op)>,
    hints: Vec<(u64, Db, Key)>,
    weight: Weight,
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
        self.weight += weight(&op);
        self.ops.push((seq, op));
    }

    /// Adds everything of a newer log and empties that.
    fn append(&mut self, newer: &mut Log) {
        self.ops.append(&mut newer.ops);
        self.hints.append(&mut newer.hints);
        self.weight += std::mem::take(&mut newer.weight);
        newer.index.take();
    }

    /// Records everything in the durable layers and empties the log.
    fn drain_into(&mut self, durable: &mut Durable) {
        let mut ops = self.ops.drain(..);
        loop {
            durable.newest().warm(&ops.as_slice()[..ops.len().min(WARM_OPS)]);
            let before = ops.len();
            for (seq, op) in ops.by_ref().take(WARM_OPS) {
                durable.record(seq, op);
            }
            if before <= WARM_OPS {
                break;
            }
        }
        drop(ops);
        durable.newest().hints.append(&mut self.hints);
        self.weight = Weight::default();
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

/// What is durable: a layer for the writer, and behind each batch of moves another one, which it
/// gets when these are done.
#[derive(Default)]
struct Durable {
    first: Layer,
    behind: VecDeque<Stage>,
}

struct Stage {
    seq: Seq,
    moves: Vec<Move>,
    layer: Layer,
}

impl Durable {
    fn record(&mut self, seq: Seq, op: Op) {
        match (op, self.behind.back_mut()) {
            (Op::Move(move_), Some(stage)) if stage.seq == seq => stage.moves.push(move_),
            (Op::Move(move_), _) => {
                let stage = Stage { seq, moves: vec![move_], layer: Layer::default() };
                self.behind.push_back(stage);
            }
            (op, _) => self.newest().record(seq, op),
        }
    }

    fn newest(&mut self) -> &mut Layer {
        self.behind.back_mut().map_or(&mut self.first, |stage| &mut stage.layer)
    }

    /// All layers, the newest first.
    fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.behind.iter().rev().map(|stage| &stage.layer).chain([&self.first])
    }

    fn is_empty(&self) -> bool {
        self.behind.is_empty() && self.first.is_empty()
    }

    /// The oldest batch of which something is here.
    fn oldest(&self) -> Option<Seq> {
        self.first.oldest().into_iter().chain(self.behind.front().map(|stage| stage.seq)).min()
    }
}

/// All layers, and the watermarks between them.
#[derive(Default)]
pub struct Backlog {
    filling: Log,
    pending: Log,
    durable: Durable,
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
        self.durable.newest().hints.append(&mut self.filling.hints);
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

    /// What the writer is to apply next, the oldest first; `None` while it works or has nothing. A
    /// key that somebody looks at in the tree may be left out, and with it its database where that
    /// is to be emptied first.
    pub fn take(&mut self, bytes_max: usize, without: Option<(Db, &Key)>) -> Option<Arc<Layer>> {
        if self.applying.is_some()
            || (self.durable.first.is_empty() && self.durable.first.hints.is_empty())
        {
            return None;
        }
        self.hand_out(|durable| durable.take(bytes_max, without))
    }

    /// What a full disk can take: removals, but for those in the database of a key that is left
    /// out; `None` while the writer works or there are none.
    pub fn take_removals(&mut self, without: Option<(Db, &Key)>) -> Option<Arc<Layer>> {
        if self.applying.is_some() {
            return None;
        }
        self.hand_out(|durable| durable.take_removals(without))
    }

    fn hand_out(&mut self, take: impl FnOnce(&mut Layer) -> Layer) -> Option<Arc<Layer>> {
        let layer = Arc::new(take(&mut self.durable.first));
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
        for (db, key) in failed.iter().filter(|_| step(Step::KeepFailed)) {
            let durable = &mut self.durable.first;
            let Some(mut entry) = layer.entry(*db, key).cloned() else { continue };
            if durable.dbs[usize::from(*db)].cleared.is_some() {
                continue; // It was removed since.
            }
            if let Some(place) = durable.place(*db, key)
                && let Some(newer) = durable.remove(*db, place)
            {
                entry.lay_entry(newer);
            }
            durable.insert(*db, entry);
        }
        Some(layer)
    }

    /// The moves that come next, of a batch with this number: the tree has all that is older, and
    /// nothing newer comes before they are done.
    pub fn moves_due(&self) -> Option<(Seq, &[Move])> {
        let stage = self.durable.behind.front()?;
        let due = self.applying.is_none() && self.durable.first.is_empty();
        due.then_some((stage.seq, &stage.moves))
    }

    /// The moves that were due are done.
    pub fn moved(&mut self) {
        if let Some(stage) = self.durable.behind.pop_front() {
            let hints = std::mem::replace(&mut self.durable.first, stage.layer).hints;
            self.durable.first.hints.splice(0..0, hints);
        }
    }

    /// Up to this batch the tree has everything, synced or not.
    pub fn applied_seq(&self) -> Seq {
        let applying = self.applying.as_ref().and_then(|layer| layer.oldest());
        let oldest = applying.into_iter().chain(self.durable.oldest()).min();
        oldest.map_or(self.durable_seq, |oldest| oldest - 1)
    }

    /// What everything here needs, about.
    pub fn weight(&self) -> Weight {
        let layers = self.durable.layers().chain(self.applying()).map(Layer::weight);
        [self.filling.weight, self.pending.weight].into_iter().chain(layers).sum()
    }

    /// Bytes of everything here, about.
    pub fn bytes(&self) -> usize {
        self.weight().bytes
    }

    /// Bytes of what the writer could take now.
    pub fn durable_bytes(&self) -> usize {
        self.durable.first.weight.bytes
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

    /// What the layers say of one key; `kept` are layers applied while a load ran, newest first.
    pub fn view<'b>(&'b self, db: Db, key: &[u8], kept: &'b [Arc<Layer>]) -> View<'b> {
        let mut view = View { db, ..View::default() };
        for log in [&self.filling, &self.pending] {
            if !log.ops.is_empty() {
                view.logs.push(log.layer());
            }
        }
        view.layers.extend(self.durable.layers());
        view.layers.extend(self.applying());
        view.layers.extend(kept.iter().map(|layer| &**layer));
        view.key = key.into();
        view
    }

    /// The newest batch of a key that is not durable yet, 0 where there is none.
    pub fn undurable_seq(&self, db: Db, key: &[u8]) -> Seq {
        let of_log = |log: &Log| {
            if log.ops.is_empty() {
                return 0;
            }
            let layer = log.layer();
            let cleared = layer.dbs[usize::from(db)].cleared;
            cleared.max(layer.entry(db, key).map(|entry| entry.newest)).unwrap_or(0)
        };
        of_log(&self.filling).max(of_log(&self.pending))
    }

    /// Visits all keys of a database that the layers speak of, each once, with whether it is there.
    /// Where the database was emptied by one of them, `true` is answered: the tree's names count
    /// for nothing.
    pub fn names(&self, db: Db, mut visit: impl FnMut(&Key, bool)) -> bool {
        let mut seen: Vec<&Layer> = Vec::new();
        let (filling, pending) = (self.filling.layer(), self.pending.layer());
        let logs = [&*filling, &*pending].into_iter();
        let layers = logs.chain(self.durable.layers()).chain(self.applying());
        for layer in layers {
            let of_db = &layer.dbs[usize::from(db)];
            for entry in of_db.keys.iter().filter(|entry| entry.says_existence()) {
                let speaks =
                    |newer: &&Layer| newer.entry(db, &entry.key).is_some_and(Entry::says_existence);
                if !seen.iter().any(speaks) {
                    visit(&entry.key, entry.makes_key());
                }
            }
            if of_db.cleared.is_some() {
                return true;
            }
            seen.push(layer);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::bytes::Bytes;
    use crate::base::score::Score;
    use crate::layout::op::{Element, Type};
    use hashbrown::HashSet;

    fn make(key: &str) -> Op {
        Op::Make(0, key.as_bytes().into(), Type::String)
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
        let again = [absent, make("a")];
        let backlog = durable(&[&[make("a")], &[make("b")], &again]);
        assert_eq!(backlog.applied_seq(), 0, "the tree lacks b of batch 2");
    }

    #[test]
    fn a_key_queued_before_a_flush_does_not_hide_an_older_one() {
        let [a, b, c] = ["a", "b", "c"].map(make);
        let flush = Op::AbsentDb(0);
        let mut backlog = durable(&[&[make("a")], &[make("b")], &[flush], &[c], &[b], &[a]]);
        let mut applied = Vec::new();
        while backlog.take(1, None).is_some() {
            applied.push(backlog.applied_seq());
            backlog.applied(&[]);
        }
        assert_eq!(applied, [2, 4, 5], "what is being applied does not count yet");
        assert_eq!(backlog.applied_seq(), 6);
    }

    #[test]
    fn what_is_left_of_a_key_that_is_split_is_still_seen() {
        let put = |name: &[u8], len: usize| {
            let content = Content::from(vec![b'x'; len]);
            Op::Put(0, b"h"[..].into(), Element::Field(name.into()), content)
        };
        for lens in [[1, 1, 9_000], [9_000, 1, 1], [1, 9_000, 1]] {
            let names = [&b"a"[..], b"b", b"c"];
            let puts: Vec<Op> = names.iter().zip(lens).map(|(name, len)| put(name, len)).collect();
            let mut backlog = durable(&[&puts]);
            while backlog.take(1_000, None).is_some() {
                let layer = backlog.applying().expect("it was just handed out");
                let applied: Vec<_> = layer.changes().map(|change| change.key.clone()).collect();
                assert_eq!(applied.len(), 1, "a layer has a key once");
                let left = backlog.durable.first.changes().flat_map(|change| change.elements);
                let applying = layer.changes().flat_map(|change| change.elements);
                let unwritten: Vec<&[u8]> =
                    left.chain(applying).map(|(element, _)| element.name().as_slice()).collect();
                for name in &names {
                    let said = backlog.view(0, b"h", &[]).element(&Element::Field((*name).into()));
                    let is_unwritten = unwritten.contains(name);
                    assert_eq!(matches!(said, Said::Is(_)), is_unwritten, "{name:?} of {lens:?}");
                }
                backlog.applied(&[]);
            }
        }
    }

    #[test]
    fn what_is_said_of_one_member_is_written_together() {
        let put = |element| Op::Put(0, b"z"[..].into(), element, Content::new());
        let [one, two] = [&b"1"[..], b"2"].map(|name| Score::from_name(name).expect("a score"));
        let members: Vec<Bytes> = (0..50).map(|n| vec![n; 300].into()).collect();
        let mut first: Vec<Op> = Vec::new();
        for member in &members {
            first.push(put(Element::Scored(one, member.clone())));
            first.push(put(Element::Member(member.clone())));
        }
        let rescored = put(Element::Scored(two, members[3].clone()));
        let absent = Op::Absent(0, b"z"[..].into(), Element::Scored(one, members[3].clone()));
        let mut backlog = durable(&[&first, &[rescored, absent]]);
        let (mut layers, mut spoken) = (0, Vec::new());
        while let Some(layer) = backlog.take(1_000, None) {
            let change = layer.changes().next().expect("it has a part of the key");
            let names: HashSet<&Bytes> = change.elements.iter().map(|(e, _)| e.name()).collect();
            spoken.extend(names.into_iter().cloned());
            layers += 1;
            backlog.applied(&[]);
        }
        assert!(layers > 10, "{layers} layers");
        spoken.sort_unstable();
        assert_eq!(spoken, members, "each in one layer");
    }

    #[test]
    fn elements_are_present_by_their_newest_word() {
        let key = || b"h"[..].into();
        let field = |name: &str| Element::Field(name.as_bytes().into());
        let put = |name| Op::Put(0, key(), field(name), b"v"[..].into());
        let absent = |name| Op::Absent(0, key(), field(name));
        let mut backlog = durable(&[&[put("a"), put("b"), put("c")]]);
        backlog.take(1_000, None);
        backlog.record([absent("a"), absent("d"), put("b")].into_iter());
        let present = |most| backlog.view(0, b"h", &[]).present_elements(most, |_| true);
        assert_eq!([present(1), present(2), present(9)], [1, 2, 2], "b and c");
        backlog.record([Op::Make(0, key(), Type::Hash), put("e")].into_iter());
        let present = backlog.view(0, b"h", &[]).present_elements(9, |_| true);
        assert_eq!(present, 1, "what was there before it was made anew does not count");
    }

    #[test]
    fn what_failed_goes_back_in_its_order() {
        let removal = Op::AbsentKey(0, b"gone"[..].into());
        let mut backlog = durable(&[&[make("a")], &[removal]]);
        let layer = backlog.take_removals(None).expect("there is a removal");
        assert_eq!(layer.oldest(), Some(2));
        backlog.applied(&[(0, b"gone"[..].into())]);
        assert_eq!(backlog.applied_seq(), 0, "the tree lacks a of batch 1");
    }

    #[test]
    fn elements_that_failed_go_back_below_newer_ones() {
        let put = |name: &str, content: &str| {
            let element = Element::Field(name.as_bytes().into());
            Op::Put(0, b"h"[..].into(), element, content.as_bytes().into())
        };
        let mut backlog = durable(&[&[put("a", "1")], &[put("b", "1")], &[put("c", "1")]]);
        backlog.take(usize::MAX, None).expect("there are elements");
        for newer in [put("d", "2"), put("b", "2")] {
            backlog.record([newer].into_iter());
        }
        backlog.submit();
        backlog.synced(backlog.issued());
        backlog.applied(&[(0, b"h"[..].into())]);
        assert_eq!(backlog.applied_seq(), 0, "the tree lacks a of batch 1");
        let layer = backlog.take(usize::MAX, None).expect("there are elements");
        let changes: Vec<_> = layer.changes().collect();
        let all: Vec<_> = changes[0]
            .elements
            .iter()
            .map(|(element, content)| {
                [&**element.name(), &**content.expect("none is removed")].concat()
            })
            .collect();
        assert_eq!(all, [b"a1", b"b2", b"c1", b"d2"]);
    }
}
