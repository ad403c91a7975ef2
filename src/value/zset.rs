//! A sorted set: members with their scores, all of them or those that memory knows, and their
//! order: of all members, or what [`Ranked`] knows of it.
//!
//! Who uses a member has made it known first: see [`Elements`].

use super::elements::{Count, Elements, Lookup, Weigh};
use super::encoding::{Encoding, LISTPACK_ELEMENTS_MAX};
use super::histogram::Histogram;
use super::order::{Order, Pair};
use super::ranked::Ranked;
use crate::base::bytes::Bytes;
use crate::base::score::Score;
use std::ops::Range;

/// A sorted set of members.
#[derive(Clone, Debug)]
pub struct ZsetValue {
    scores: Elements<Score>,
    /// There exactly while all members are known.
    order: Option<Order>,
    /// There at most while there is no order.
    ranked: Option<Box<Ranked>>,
    encoding: Encoding,
}

impl Default for ZsetValue {
    fn default() -> Self {
        let (scores, order) = (Elements::new(), Some(Order::new()));
        Self { scores, order, ranked: None, encoding: Encoding::Listpack }
    }
}

impl ZsetValue {
    /// A sorted set just made, without members.
    pub fn new() -> ZsetValue {
        ZsetValue::default()
    }

    /// A sorted set of the tree, of which nothing is known but how many members it has.
    pub fn unknown(count: Count) -> ZsetValue {
        let scores = Elements::unknown(count);
        ZsetValue { scores, order: None, ranked: None, encoding: Encoding::Unknown }
    }

    /// A sorted set that is all in memory: these are its members. `None` where it would take more
    /// than `bytes_max`.
    pub fn within(bytes_max: usize, order: Order) -> Option<ZsetValue> {
        let elements = order.len() * 2 * Elements::<Score>::PLACE_BYTES; // A table is half full.
        let names = order.iter().map(|(_, member)| member.weight()).sum::<usize>();
        if order.bytes() + elements + names > bytes_max {
            return None;
        }
        Some(ZsetValue::of(order))
    }

    /// A sorted set that is all in memory: these are its members.
    pub fn of(order: Order) -> ZsetValue {
        let mut zset = ZsetValue::unknown(Count::AtLeast(0));
        let found: Vec<_> = order.iter().map(|(score, member)| (member.clone(), score)).collect();
        zset.order = Some(order);
        zset.complete(found);
        zset
    }

    /// The score of a member, if it is in the set. It must be known.
    pub fn score(&self, member: &[u8]) -> Option<Score> {
        self.scores.get(member).known().copied()
    }

    /// Gives a score to a member, which must be known; answers the one that it had.
    pub fn insert(&mut self, member: Bytes, score: Score) -> Option<Score> {
        self.encoding.fit(&member);
        let old = self.scores.insert(member.clone(), score);
        if let Some(ranked) = &mut self.ranked {
            ranked.change(&member, old, Some(score));
        }
        self.encoding.hold(self.count().at_least(), LISTPACK_ELEMENTS_MAX);
        match (&mut self.order, old) {
            (Some(order), None) => order.insert(score, member),
            (Some(order), Some(old)) if old != score => {
                let moved = order.rescore(old, score, &member);
                assert!(moved, "the order has every member");
            }
            _ => {}
        }
        old
    }

    /// Removes a member, which must be known; answers the score that it had.
    pub fn remove(&mut self, member: &[u8]) -> Option<Score> {
        let old = self.scores.remove(member)?;
        if let Some(order) = &mut self.order {
            assert!(order.remove(old, member), "the order has every member");
        }
        if let Some(ranked) = &mut self.ranked {
            ranked.change(&Bytes::from(member), Some(old), None);
        }
        Some(old)
    }

    /// Removes the members of these ranks, as far as there are such, and answers them in order.
    /// The order must be there.
    pub fn remove_range(&mut self, ranks: Range<usize>) -> Vec<Pair> {
        let order = self.order.as_mut().expect("a sorted set is loaded before ranks are removed");
        let removed = order.remove_range(ranks);
        for (_, member) in &removed {
            self.scores.remove(member);
        }
        removed
    }

    /// Its members in order; `None` where not all are known.
    pub fn order(&self) -> Option<&Order> {
        self.order.as_ref()
    }

    /// What is known of its order while not all members are; `None` where nothing is.
    pub fn ranked(&self) -> Option<&Ranked> {
        self.ranked.as_deref()
    }

    /// Notes how many members have each score. Does nothing where all members are known.
    pub fn set_histogram(&mut self, histogram: Histogram) {
        if !self.scores.is_complete() {
            self.scores.set_count(Count::Exact(histogram.len() as u64));
            self.ranked = Some(Box::new(Ranked::new(histogram)));
        }
    }

    /// All members with this score were learned.
    pub fn settle_group(&mut self, score: Score) {
        if let Some(ranked) = &mut self.ranked {
            ranked.settle(score);
        }
    }

    /// Notes members that a load found to have this score.
    pub fn learn_group(&mut self, score: Score, members: impl Iterator<Item = Bytes>) {
        let Some(ranked) = &mut self.ranked else { return };
        for member in members {
            self.scores.learn(member.clone(), Some(score));
            if self.scores.get(&member) == Lookup::Present(&score) {
                ranked.learn(score, member);
            }
        }
    }

    /// What is known of its members.
    pub fn elements(&self) -> &Elements<Score> {
        &self.scores
    }

    /// How many members there are.
    pub fn count(&self) -> Count {
        self.scores.count()
    }

    /// Notes how many there are: see [`Elements::set_count`].
    pub fn set_count(&mut self, count: Count) {
        self.scores.set_count(count);
    }

    /// Notes the score that a load found for a member: see [`Elements::learn`].
    pub fn learn(&mut self, member: Bytes, found: Option<Score>) {
        self.scores.learn(member, found);
    }

    /// Notes all members that a load found, and sorts them: see [`Elements::complete`].
    pub fn complete(&mut self, found: impl IntoIterator<Item = (Bytes, Score)>) {
        self.scores.complete(found);
        self.ranked = None;
        if self.order.is_none() {
            let pairs = self.scores.iter().map(|(member, score)| (*score, member.clone()));
            self.order = Some(pairs.collect());
        }
        if self.encoding == Encoding::Unknown {
            let members = self.scores.iter().map(|(member, _)| member.as_slice());
            self.encoding =
                Encoding::Listpack.grown(self.count().at_least(), LISTPACK_ELEMENTS_MAX, members);
        }
    }

    /// Forgets some members, and with the first one the order: see [`Elements::trim`].
    pub fn trim(&mut self, steps: usize) -> usize {
        let ranked = &mut self.ranked;
        let bytes = self.scores.trim_noting(steps, |member, score| {
            if let (Some(ranked), Some(score)) = (&mut *ranked, score) {
                ranked.forget(score, &member);
            }
        });
        if !self.scores.is_complete() {
            self.order = None;
        }
        bytes
    }

    /// In which form Redis would keep it.
    pub(super) fn form(&self) -> Encoding {
        self.encoding
    }

    /// Sets the form back, when a change is taken back.
    pub(super) fn set_form(&mut self, form: Encoding) {
        self.encoding = form;
    }

    /// What OBJECT ENCODING replies: as Redis keeps it, for what is known of its history.
    pub fn encoding(&self) -> &'static str {
        self.encoding.name("skiplist")
    }

    /// Bytes it holds in memory, about.
    pub fn bytes(&self) -> usize {
        let order = self.order.as_ref().map_or(0, Order::bytes);
        self.scores.bytes() + order + self.ranked.as_ref().map_or(0, |ranked| ranked.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::value::{Bound, Bounds, Found, MemberRange};
    use std::collections::BTreeMap;

    fn member(n: usize) -> Bytes {
        Bytes::from(format!("member-with-a-long-name-{n}").into_bytes())
    }

    fn score(n: usize) -> Score {
        Score::new(n as f64).unwrap()
    }

    fn sorted(truth: &BTreeMap<Bytes, Score>) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = truth.iter().map(|(m, s)| (*s, m.clone())).collect();
        pairs.sort();
        pairs
    }

    /// The scores, some of them uncounted.
    fn histogram(truth: &BTreeMap<Bytes, Score>, rng: &mut Rng) -> Histogram {
        let mut groups: BTreeMap<Score, u32> = BTreeMap::new();
        truth.values().for_each(|score| *groups.entry(*score).or_default() += 1);
        let uncounted = rng.index(3);
        let counts: Vec<_> = groups
            .into_iter()
            .map(|(score, count)| (score, (rng.index(3) >= uncounted).then_some(count)))
            .collect();
        Histogram::new(truth.len() as u64, counts.into_iter())
    }

    fn learn_group(zset: &mut ZsetValue, score: Score, truth: &BTreeMap<Bytes, Score>) {
        let group = truth.iter().filter(|(_, other)| **other == score);
        zset.learn_group(score, group.map(|(member, _)| member.clone()));
        zset.settle_group(score);
        assert!(zset.ranked().is_some_and(|ranked| ranked.knows(score)));
    }

    /// What a sorted set answers once it has learned all that it lacks for it.
    fn learned<T>(
        zset: &mut ZsetValue,
        truth: &BTreeMap<Bytes, Score>,
        look: impl Fn(&Ranked) -> Option<Found<T>>,
    ) -> Option<T> {
        for _ in 0..truth.len() + 2 {
            match look(zset.ranked().expect("the scores are known")) {
                Some(Found::Lacks(scores)) => {
                    scores.iter().for_each(|score| learn_group(zset, *score, truth));
                }
                Some(Found::Is(found)) => return Some(found),
                Some(Found::Far) | None => return None,
            }
        }
        panic!("it lacks something again and again");
    }

    /// What is known of an order is what a sorted list has.
    fn check_ranked(zset: &mut ZsetValue, truth: &BTreeMap<Bytes, Score>, rng: &mut Rng) {
        let pairs = sorted(truth);
        let (one, other) = (score(rng.index(22)), score(rng.index(22)));
        let reverse = rng.index(2) == 0;
        let bounds = match rng.index(2) {
            0 => Bounds::Ranks(rng.index(40) as i64 - 20, rng.index(400) as i64 - 200),
            _ => Bounds::Scores(Bound::Included(one), Bound::Excluded(other)),
        };
        let (offset, limit) = (rng.index(9) as i64 - 3, rng.index(9) as i64 - 3);
        let range = MemberRange { reverse, bounds, offset: offset.max(0), limit };
        let order: Order = pairs.iter().cloned().collect();
        let expect: Vec<Pair> =
            range.walk(&order, range.ranks(&order)).map(|(s, m)| (s, m.clone())).collect();
        assert_eq!(zset.ranked().unwrap().histogram().len(), truth.len());
        if let Some(found) = learned(zset, truth, |ranked| ranked.range(&range, 200)) {
            assert_eq!(found, expect, "{range:?}");
        }
        if let Some((score, member)) = pairs.get(rng.index(pairs.len().max(1))) {
            let rank = order.rank(*score, member);
            let found = learned(zset, truth, |ranked| ranked.rank(*score, member, 200));
            assert!(found.is_none_or(|found| found == rank));
        }
    }

    #[test]
    fn the_order_follows_the_scores() {
        let mut rng = Rng::new(5);
        let mut truth: BTreeMap<Bytes, Score> = BTreeMap::new();
        let mut zset = ZsetValue::new();
        for step in 0..10_000 {
            let (name, new) = (member(rng.index(400)), score(rng.index(20)));
            if zset.elements().get(&name) == Lookup::Unknown {
                zset.learn(name.clone(), truth.get(&name).copied());
            }
            match rng.index(100) {
                0 => zset.complete(truth.clone()),
                1 => _ = zset.trim(rng.index(300)),
                2 => zset.set_histogram(histogram(&truth, &mut rng)),
                3 if zset.ranked().is_some() => learn_group(&mut zset, new, &truth),
                4..7 if zset.order().is_some() => {
                    let start = rng.index(truth.len() + 1);
                    for (_, gone) in zset.remove_range(start..start + 5) {
                        truth.remove(&gone);
                    }
                }
                7..40 => assert_eq!(zset.remove(&name), truth.remove(&name)),
                40..60 => assert_eq!(zset.score(&name), truth.get(&name).copied()),
                _ => assert_eq!(zset.insert(name.clone(), new), truth.insert(name, new)),
            }
            assert_eq!(zset.count(), Count::Exact(truth.len() as u64));
            assert_eq!(zset.order().is_some(), zset.elements().is_complete());
            if zset.ranked().is_some() {
                assert!(zset.order().is_none());
                if rng.index(4) == 0 {
                    check_ranked(&mut zset, &truth, &mut rng);
                }
            }
            if let (0, Some(order)) = (step % 20, zset.order()) {
                let pairs = order.iter().map(|(score, member)| (score, member.clone()));
                assert!(pairs.eq(sorted(&truth)), "step {step}");
            }
        }
    }

    #[test]
    fn the_encoding_only_grows() {
        for (count, name_len, expect) in
            [(0, 64, "listpack"), (127, 64, "listpack"), (128, 1, "skiplist"), (0, 65, "skiplist")]
        {
            let mut zset = ZsetValue::new();
            (0..count).for_each(|n| _ = zset.insert(member(n), score(n)));
            let name = Bytes::from("x".repeat(name_len).into_bytes());
            zset.insert(name.clone(), score(0));
            assert_eq!(zset.encoding(), expect, "{count}, {name_len}");
            let mut loaded = ZsetValue::unknown(Count::Exact(count as u64 + 1));
            assert_eq!(loaded.encoding(), "skiplist");
            loaded.complete(zset.elements().iter().map(|(m, s)| (m.clone(), *s)));
            assert_eq!(loaded.encoding(), expect, "{count}, {name_len}");
            zset.remove(&name);
            assert_eq!(zset.encoding(), expect, "{count}, {name_len}");
        }
    }
}
