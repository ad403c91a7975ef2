//! What memory knows of a collection's elements: fields of a hash, members of a set or sorted set.
//!
//! The tree has all of them, memory has a part: [`Elements`] knows of some names that they are
//! present, of some that they are absent, and of the others nothing, unless it is *complete*. It
//! starts complete (a key just made) or unknown (a key of the tree), learns one name or all from
//! loads, and forgets by [`Elements::trim`]. What memory knows is never older than what a load
//! brings, so it wins.
//!
//! It does not know where loads come from, nor what changed since the tree was written; who
//! changes an element has made it known first.

use crate::base::bytes::Bytes;
use crate::base::score::Score;
use hashbrown::DefaultHashBuilder;
use indexmap::IndexMap;
use indexmap::map::Entry;
use std::cell::Cell;

/// Longest bytes that need no memory of their own.
const INLINE_BYTES_MAX: usize = 23;
/// What an allocation of shared bytes takes beyond them.
const SHARED_OVERHEAD_BYTES: usize = 40;
/// A place in the hash table, with what of the table stays free.
const INDEX_BYTES: usize = 11;
/// A table of more places than this is weighed as the next larger one before it grows: it is
/// doubled, and where that is too much its owner has time to forget instead.
const FORESEEN_MIN: usize = 10_000;
/// So near to its end: one of so many places is free.
const FORESEEN_SHARE: usize = 16;
/// Memory is given back where less than one of so many places is taken: what stays is then less
/// than half, of which an allocator makes a smaller block (mimalloc leaves a larger part in place),
const SPARSE: usize = 3;
/// and of more than so many.
const GIVE_BACK_MIN: usize = 48;

/// How many elements a collection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Exact(u64),
    /// So many or more.
    AtLeast(u64),
}

impl Count {
    /// The number that there are at least.
    pub fn at_least(self) -> u64 {
        let (Count::Exact(count) | Count::AtLeast(count)) = self;
        count
    }

    /// The same kind of count of another number.
    fn map(self, change: impl FnOnce(u64) -> u64) -> Count {
        match self {
            Count::Exact(count) => Count::Exact(change(count)),
            Count::AtLeast(count) => Count::AtLeast(change(count)),
        }
    }
}

/// What memory answers when it is asked for an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It is there.
    Present(T),
    /// It is not there.
    Absent,
    /// The tree has to be asked.
    Unknown,
}

impl<T> Lookup<T> {
    /// The element, if it is there. It must be known.
    pub fn known(self) -> Option<T> {
        match self {
            Lookup::Present(value) => Some(value),
            Lookup::Absent => None,
            Lookup::Unknown => panic!("an element is loaded before it is used"),
        }
    }
}

/// What an element weighs beyond its own place.
pub trait Weigh {
    /// Bytes on the heap, about; the same as long as the value is.
    fn weight(&self) -> usize;
}

impl Weigh for () {
    fn weight(&self) -> usize {
        0
    }
}

impl Weigh for Score {
    fn weight(&self) -> usize {
        0
    }
}

impl Weigh for Bytes {
    #[inline]
    fn weight(&self) -> usize {
        if self.len() <= INLINE_BYTES_MAX { 0 } else { self.len() + SHARED_OVERHEAD_BYTES }
    }
}

/// What is known of one name.
#[derive(Clone, Debug)]
struct Known<V> {
    /// `None`: the element is absent. A complete collection has no such entries.
    value: Option<V>,
    /// Used since the hand of [`Elements::trim`] passed.
    recent: Cell<bool>,
}

impl<V> Known<V> {
    fn new(value: Option<V>, recent: bool) -> Known<V> {
        Known { value, recent: Cell::new(recent) }
    }
}

/// A map of elements by name, of which memory may have only a part.
#[derive(Clone, Debug)]
pub struct Elements<V> {
    known: IndexMap<Bytes, Known<V>, DefaultHashBuilder>,
    complete: bool,
    count: Count,
    /// How many entries say that their element is absent.
    absents: usize,
    /// What names and values weigh.
    weight: usize,
    /// Where [`Elements::trim`] goes on.
    hand: usize,
    /// Places for entries. (The map's own capacity sinks with each removal, and comes back.)
    places: usize,
}

impl<V> Default for Elements<V> {
    fn default() -> Self {
        Self {
            known: IndexMap::default(),
            complete: true,
            count: Count::Exact(0),
            absents: 0,
            weight: 0,
            hand: 0,
            places: 0,
        }
    }
}

impl<V: Weigh> Elements<V> {
    /// Bytes that a place for an entry takes, without what names and values weigh.
    pub(super) const PLACE_BYTES: usize = size_of::<(u64, Bytes, Known<V>)>() + INDEX_BYTES;

    /// None, and all of that is known: those of a key just made.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many, of which nothing is known.
    pub fn unknown(count: Count) -> Self {
        Self { complete: false, count, ..Self::default() }
    }

    /// Asks for an element; a known one counts as used.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Lookup<&V> {
        let Some(known) = self.known.get(name) else {
            return if self.complete { Lookup::Absent } else { Lookup::Unknown };
        };
        known.recent.set(true);
        known.value.as_ref().map_or(Lookup::Absent, Lookup::Present)
    }

    /// Notes what a load found; does nothing where the element is known already.
    pub fn learn(&mut self, name: Bytes, found: Option<V>) {
        if self.complete {
            return;
        }
        if let Entry::Vacant(place) = self.known.entry(name) {
            self.absents += usize::from(found.is_none());
            self.weight += place.key().weight() + found.as_ref().map_or(0, V::weight);
            place.insert(Known::new(found, true));
            self.note_places();
        }
    }

    /// Notes what a load of all elements found. What is known already wins; afterwards all is
    /// known, and the count is exact. O(elements).
    pub fn complete(&mut self, found: impl IntoIterator<Item = (Bytes, V)>) {
        if self.complete {
            return;
        }
        let found = found.into_iter();
        self.known.reserve(found.size_hint().0);
        for (name, value) in found {
            if let Entry::Vacant(place) = self.known.entry(name) {
                self.weight += place.key().weight() + value.weight();
                place.insert(Known::new(Some(value), false));
            }
        }
        if self.absents > 0 {
            let weight = &mut self.weight;
            self.known.retain(|name, known| {
                let present = known.value.is_some();
                *weight -= if present { 0 } else { name.weight() };
                present
            });
            self.absents = 0;
        }
        self.complete = true;
        self.count = Count::Exact(self.known.len() as u64);
        self.note_places();
    }

    /// Puts an element, which must be known; answers the value that it had.
    pub fn insert(&mut self, name: Bytes, value: V) -> Option<V> {
        self.weight += value.weight();
        let old = match self.known.entry(name) {
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.recent.set(true);
                let old = known.value.replace(value);
                self.absents -= usize::from(old.is_none());
                old
            }
            Entry::Vacant(place) => {
                assert!(self.complete, "an element is loaded before it is put");
                self.weight += place.key().weight();
                place.insert(Known::new(Some(value), true));
                None
            }
        };
        match &old {
            Some(old) => self.weight -= old.weight(),
            None => {
                self.count = self.count.map(|count| count + 1);
                self.note_places();
            }
        }
        old
    }

    /// Removes an element, which must be known; answers the value that it had.
    pub fn remove(&mut self, name: &[u8]) -> Option<V> {
        let old = if self.complete {
            let (name, known) = self.known.swap_remove_entry(name)?;
            self.weight -= name.weight();
            self.give_back();
            known.value?
        } else {
            let known =
                self.known.get_mut(name).expect("an element is loaded before it is removed");
            known.recent.set(true);
            let old = known.value.take()?;
            self.absents += 1;
            old
        };
        self.weight -= old.weight();
        self.count = self.count.map(|count| count.saturating_sub(1));
        Some(old)
    }

    /// How many there are: never fewer than those known to be present.
    pub fn count(&self) -> Count {
        self.count.map(|count| count.max(self.present_len()))
    }

    /// Notes how many there are. A complete collection knows that itself.
    pub fn set_count(&mut self, count: Count) {
        if !self.complete {
            self.count = count;
        }
    }

    /// How many there are, where that is known.
    pub fn exact(&self) -> Option<u64> {
        match self.count() {
            Count::Exact(count) => Some(count),
            Count::AtLeast(_) => None,
        }
    }

    /// Whether there is an element for certain.
    pub fn is_surely_not_empty(&self) -> bool {
        self.count().at_least() > 0
    }

    /// Whether there is none for certain.
    pub fn is_surely_empty(&self) -> bool {
        self.exact() == Some(0)
    }

    /// Whether everything is known.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// How many names something is known of.
    pub fn known_len(&self) -> usize {
        self.known.len()
    }

    /// All elements, of a complete collection, in no order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Bytes, &V)> + ExactSizeIterator {
        assert!(self.complete, "a collection is loaded before it is walked");
        self.known.iter().map(|(name, known)| (name, known.value.as_ref().expect(NO_ABSENTS)))
    }

    /// The elements that are known to be present, in no order.
    pub fn iter_known(&self) -> impl DoubleEndedIterator<Item = (&Bytes, &V)> {
        self.known.iter().filter_map(|(name, known)| Some((name, known.value.as_ref()?)))
    }

    /// An element of a complete collection, each with the same chance if every `seed` has; `None`
    /// where it is empty. O(1).
    pub fn at_random(&self, seed: u64) -> Option<(&Bytes, &V)> {
        assert!(self.complete, "a collection is loaded before it is drawn from");
        let index = (u128::from(seed) * self.known.len() as u128) >> 64;
        let (name, known) = self.known.get_index(index as usize)?;
        Some((name, known.value.as_ref().expect(NO_ABSENTS)))
    }

    /// Bytes it holds in memory, about, or will as soon as its table grows. O(1).
    pub fn bytes(&self) -> usize {
        let (len, places) = (self.known.len(), self.places);
        let grows = places > FORESEEN_MIN && len + places / FORESEEN_SHARE > places;
        let places = if grows { places * 2 } else { places };
        size_of::<Self>() + places * Self::PLACE_BYTES + self.weight
    }

    /// Looks at `steps` entries and forgets those that were not used since it last did; answers
    /// how many bytes they took. If any did, the collection is not complete any more; its count
    /// stays.
    ///
    /// A hand goes round over the entries as that of a clock, from call to call. Always safe.
    pub fn trim(&mut self, steps: usize) -> usize {
        self.trim_noting(steps, |_, _| ())
    }

    /// The same; tells what is forgotten.
    pub fn trim_noting(
        &mut self,
        steps: usize,
        mut forgotten: impl FnMut(Bytes, Option<V>),
    ) -> usize {
        let (len, weight) = (self.known.len(), self.weight);
        for _ in 0..steps.min(len * 2) {
            if self.hand >= self.known.len() {
                self.hand = 0;
            }
            let Some((_, known)) = self.known.get_index(self.hand) else { break };
            if known.recent.replace(false) {
                self.hand += 1;
            } else {
                let (name, value) = self.forget(self.hand);
                forgotten(name, value);
            }
        }
        self.give_back();
        (len - self.known.len()) * Self::PLACE_BYTES + weight - self.weight
    }

    /// Drops an entry; the last one takes its place.
    fn forget(&mut self, index: usize) -> (Bytes, Option<V>) {
        let (name, known) = self.known.swap_remove_index(index).expect("the hand is at an entry");
        self.weight -= name.weight() + known.value.as_ref().map_or(0, V::weight);
        self.absents -= usize::from(known.value.is_none());
        self.complete = false;
        (name, known.value)
    }

    /// Gives memory back where much of it is free, so rarely that a removal stays O(1).
    fn give_back(&mut self) {
        let len = self.known.len();
        if self.places > GIVE_BACK_MIN.max(len * SPARSE) {
            self.known.shrink_to(len + len / 2);
            self.places = self.known.capacity();
        }
    }

    fn note_places(&mut self) {
        self.places = self.places.max(self.known.capacity());
    }

    /// How many elements are known to be present.
    pub fn present_len(&self) -> u64 {
        (self.known.len() - self.absents) as u64
    }
}

const NO_ABSENTS: &str = "a complete collection has no absent entries";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeMap;

    fn name(text: &str) -> Bytes {
        Bytes::from(text.as_bytes())
    }

    /// What the fields say, computed anew.
    fn check(elements: &Elements<Bytes>) {
        let known = elements.known.iter();
        let absents = known.clone().filter(|(_, known)| known.value.is_none()).count();
        let weight = known.map(|(name, known)| {
            name.weight() + known.value.as_ref().map_or(0, |value| value.weight())
        });
        assert_eq!(elements.weight, weight.sum::<usize>());
        assert_eq!(elements.absents, absents);
        if elements.is_complete() {
            assert_eq!(absents, 0);
            assert_eq!(elements.count(), Count::Exact(elements.known_len() as u64));
            assert_eq!(elements.iter().len(), elements.known_len());
        }
    }

    #[test]
    fn what_is_known_is_answered() {
        let mut new: Elements<()> = Elements::new();
        assert_eq!(new.get(b"a"), Lookup::Absent);
        assert!(new.is_surely_empty() && new.is_complete());
        assert_eq!(new.insert(name("a"), ()), None);
        assert_eq!(new.get(b"a"), Lookup::Present(&()));
        assert_eq!(new.exact(), Some(1));

        let mut old: Elements<()> = Elements::unknown(Count::AtLeast(1));
        assert_eq!(old.get(b"a"), Lookup::Unknown);
        assert!(old.is_surely_not_empty());
        old.learn(name("a"), Some(()));
        old.learn(name("b"), None);
        assert_eq!((old.get(b"a"), old.get(b"b")), (Lookup::Present(&()), Lookup::Absent));
        assert_eq!(old.remove(b"a"), Some(()));
        assert_eq!(old.remove(b"a"), None);
        assert_eq!(old.count(), Count::AtLeast(0));
        assert!(!old.is_surely_not_empty() && !old.is_surely_empty());
        old.learn(name("a"), Some(())); // Older than memory.
        assert_eq!(old.get(b"a"), Lookup::Absent);
        old.learn(name("c"), Some(()));
        assert_eq!(old.count(), Count::AtLeast(1)); // It is known to be there.
        old.set_count(Count::Exact(5));
        assert_eq!(old.insert(name("b"), ()), None);
        assert_eq!(old.exact(), Some(6));
        assert_eq!(old.known_len(), 3);
    }

    #[test]
    fn a_whole_load_yields_to_what_is_known() {
        let mut elements: Elements<Bytes> = Elements::unknown(Count::AtLeast(1));
        elements.learn(name("gone"), Some(name("1")));
        elements.learn(name("changed"), Some(name("1")));
        elements.learn(name("made"), None);
        elements.remove(b"gone");
        elements.insert(name("changed"), name("2"));
        elements.insert(name("made"), name("2"));
        let tree = ["gone", "changed", "other"].map(|text| (name(text), name("1")));
        elements.complete(tree.clone());
        check(&elements);
        let all: BTreeMap<_, _> = elements.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
        let expect = [("changed", "2"), ("made", "2"), ("other", "1")];
        assert_eq!(all, expect.map(|(n, v)| (name(n), name(v))).into());
        elements.complete(tree);
        assert_eq!((elements.exact(), elements.get(b"gone")), (Some(3), Lookup::Absent));
    }

    #[test]
    #[should_panic(expected = "loaded before")]
    fn an_unknown_element_cannot_be_put() {
        Elements::unknown(Count::AtLeast(1)).insert(name("a"), ());
    }

    #[test]
    fn trimming_spares_what_was_used() {
        let mut elements: Elements<Bytes> = Elements::unknown(Count::AtLeast(1));
        let names: Vec<Bytes> = (0..100).map(|n| name(&format!("{n:030}"))).collect();
        elements.complete(names.iter().map(|name| (name.clone(), name.clone())));
        let before = elements.bytes();
        for name in &names[..10] {
            elements.get(name);
        }
        let freed = elements.trim(100);
        check(&elements);
        assert_eq!((elements.known_len(), elements.exact()), (10, Some(100)));
        assert!(freed > 90 * 2 * 30 && elements.bytes() < before - freed / 2);
        assert!(elements.known.capacity() <= 50 && !elements.is_complete());
        for name in &names {
            let used = names[..10].contains(name);
            assert_eq!(elements.get(name) != Lookup::Unknown, used);
        }
        elements.trim(10);
        assert_eq!(elements.known_len(), 10);
        assert!(elements.trim(10) > 0);
        assert_eq!((elements.known_len(), elements.trim(10)), (0, 0));
        assert_eq!(Elements::<()>::new().trim(1), 0);
    }

    #[test]
    fn what_comes_and_goes_stays_within_its_bytes() {
        let (mut elements, mut most): (Elements<()>, usize) = (Elements::new(), 0);
        for n in 0..300_000 {
            let name = name(&n.to_string());
            elements.learn(name.clone(), None);
            elements.insert(name, ());
            while elements.bytes() > 4 << 20 && n % 1000 == 0 {
                elements.trim(1000);
            }
            most = most.max(elements.known.len());
            assert!(elements.known.capacity() <= 57_344, "{}", elements.known.capacity());
        }
        assert!(most > 50_000 && elements.known_len() > 50_000, "{most}");
    }

    #[test]
    fn a_table_that_is_about_to_grow_weighs_as_much_as_a_grown_one() {
        let mut elements: Elements<()> = Elements::new();
        for n in 0..100_000 {
            let before = elements.bytes();
            let places = elements.known.capacity();
            elements.insert(name(&n.to_string()), ());
            let grew = elements.known.capacity() > places;
            assert!(!grew || n < FORESEEN_MIN || elements.bytes() <= before, "at {n}");
        }
    }

    #[test]
    fn draws_are_even() {
        let mut elements: Elements<()> = Elements::new();
        assert_eq!(elements.at_random(7), None);
        for n in 0..10 {
            elements.insert(name(&n.to_string()), ());
        }
        let (mut rng, mut drawn) = (Rng::new(1), BTreeMap::new());
        for _ in 0..10_000 {
            let (name, ()) = elements.at_random(rng.next_u64()).unwrap();
            *drawn.entry(name.clone()).or_insert(0) += 1;
        }
        assert_eq!(drawn.len(), 10);
        assert!(drawn.values().all(|count| (850..1_150).contains(count)), "{drawn:?}");
    }

    #[test]
    fn memory_never_contradicts_the_truth() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let mut truth: BTreeMap<Bytes, Bytes> = BTreeMap::new();
            let mut elements: Elements<Bytes> = Elements::new();
            for step in 0..5_000 {
                let element = name(&format!("{0:01$}", rng.index(300), rng.index(2) * 30));
                match rng.index(100) {
                    0 => elements.complete(truth.clone()),
                    1 => _ = elements.trim(rng.index(400)),
                    2..6 => _ = elements.trim(rng.index(20)),
                    roll => {
                        if elements.get(&element) == Lookup::Unknown {
                            elements.learn(element.clone(), truth.get(&element).cloned());
                        }
                        let known = elements.get(&element).known();
                        assert_eq!(known, truth.get(&element), "seed {seed}, step {step}");
                        let (ours, theirs) = if roll % 2 == 0 {
                            let value = name(&"v".repeat(rng.index(50)));
                            let old = truth.insert(element.clone(), value.clone());
                            (elements.insert(element, value), old)
                        } else {
                            (elements.remove(&element), truth.remove(&element))
                        };
                        assert_eq!(ours, theirs, "seed {seed}, step {step}");
                    }
                }
                assert_eq!(elements.exact(), Some(truth.len() as u64));
                check(&elements);
            }
        }
    }
}
