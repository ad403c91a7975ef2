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

    /// The members of these ranks in order, all of which must be known.
    pub fn members(&self, ranks: Range<usize>) -> Vec<Pair> {
        let pair = |(score, member): (Score, &Bytes)| (score, member.clone());
        match (&self.order, &self.ranked) {
            (Some(order), _) => order.iter_from(ranks.start).take(ranks.len()).map(pair).collect(),
            (None, Some(ranked)) => ranked.members(ranks).map(pair).collect(),
            (None, None) => unreachable!("without an order no member of a rank is known"),
        }
    }

    /// The rank of a member that has this score; all members of that score must be known.
    pub fn rank(&self, score: Score, member: &[u8]) -> Option<usize> {
        match (&self.order, &self.ranked) {
            (Some(order), _) => order.rank(score, member),
            (None, ranked) => ranked.as_ref()?.rank(score, member),
        }
    }

    /// Notes how many members have each score. Does nothing where all members are known.
    pub fn set_histogram(&mut self, histogram: Histogram) {
        if !self.scores.is_complete() {
            self.scores.set_count(Count::Exact(histogram.len() as u64));
            self.ranked = Some(Box::new(Ranked::new(histogram)));
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

    fn histogram(truth: &BTreeMap<Bytes, Score>) -> Histogram {
        let mut histogram = Histogram::default();
        truth.values().for_each(|score| histogram.add(*score));
        histogram
    }

    /// What is known of an order is what a sorted list has.
    fn check_ranked(ranked: &Ranked, truth: &BTreeMap<Bytes, Score>, rng: &mut Rng) {
        let pairs = sorted(truth);
        assert!(ranked.histogram().iter().eq(histogram(truth).iter()));
        let (one, other) = (rng.index(pairs.len() + 1), rng.index(pairs.len() + 1));
        let ranks = one.min(other)..one.max(other);
        let scores = pairs[ranks.clone()].iter().map(|(score, _)| *score);
        let lacking = ranked.lacking(ranks.clone(), usize::MAX).expect("no limit");
        assert!(lacking.iter().all(|score| !ranked.knows(*score)));
        assert_eq!(lacking.is_empty(), scores.clone().all(|score| ranked.knows(score)));
        if lacking.is_empty() {
            let members = ranked.members(ranks.clone()).map(|(score, name)| (score, name.clone()));
            assert!(members.eq(pairs[ranks].iter().cloned()));
        }
        for (rank, (score, member)) in pairs.iter().enumerate() {
            if ranked.knows(*score) {
                assert_eq!(ranked.rank(*score, member), Some(rank));
            }
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
                2 => zset.set_histogram(histogram(&truth)),
                3 if zset.ranked().is_some() => {
                    let group = truth.iter().filter(|(_, score)| **score == new);
                    zset.learn_group(new, group.map(|(member, _)| member.clone()));
                    assert!(zset.ranked().is_some_and(|ranked| ranked.knows(new)));
                }
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
            if let Some(ranked) = zset.ranked() {
                assert!(zset.order().is_none());
                check_ranked(ranked, &truth, &mut rng);
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
