//! The order of a sorted set of which memory has not all members: how many have each score, and of
//! some scores the members.
//!
//! A score of which as many members are here as the histogram counts is *known*: its members are
//! all here. Commands have those scores loaded that they want to look at, which counts them, too.
//! What is not loaded is not kept up to date here, but for the histogram.

use super::histogram::{Found, Histogram};
use super::member_range::MemberRange;
use super::order::{Order, Pair};
use crate::base::bytes::Bytes;
use crate::base::score::Score;
use std::ops::Range;

/// A histogram of scores, with the members of some of them.
#[derive(Clone, Debug)]
pub struct Ranked {
    histogram: Histogram,
    members: Order,
}

impl Ranked {
    /// A sorted set with these scores, of which no members are known.
    pub fn new(histogram: Histogram) -> Ranked {
        Ranked { histogram, members: Order::new() }
    }

    /// How many members have each score.
    pub fn histogram(&self) -> &Histogram {
        &self.histogram
    }

    /// Whether all members with this score are known.
    pub fn knows(&self, score: Score) -> bool {
        Some(self.here(score)) == self.histogram.count(score)
    }

    /// The members of a range in its order, if they are at most `members_max`; as many may have to
    /// be loaded or counted for that. `None` where there are more, or where that takes all members.
    pub fn range(&self, range: &MemberRange, members_max: usize) -> Option<Found<Vec<Pair>>> {
        let ranks = match range.find(&self.histogram, members_max)? {
            Found::Far if range.at_least(&self.histogram) > members_max => return None,
            Found::Is(ranks) if ranks.len() > members_max => return None,
            Found::Is(ranks) => ranks,
            other => return Some(other.map(|_| Vec::new())),
        };
        let lacking = self.lacking(ranks.clone(), members_max)?;
        if !lacking.is_empty() {
            return Some(Found::Lacks(lacking));
        }
        let members = self.members(ranks).map(|(score, member)| (score, member.clone()));
        let mut pairs: Vec<Pair> = members.collect();
        if range.reverse {
            pairs.reverse();
        }
        Some(Found::Is(pairs))
    }

    /// The rank of a member that has this score; as [`Ranked::range`].
    pub fn rank(
        &self,
        score: Score,
        member: &[u8],
        members_max: usize,
    ) -> Option<Found<Option<usize>>> {
        if !self.knows(score) {
            let few = self.histogram.count(score).is_none_or(|count| count <= members_max);
            return few.then(|| Found::Lacks(vec![score]));
        }
        let within = self.members.rank(score, member).map(|rank| rank - self.first(score));
        let lower = self.histogram.lower(score, members_max);
        Some(lower.map(|lower| within.map(|within| lower + within)))
    }

    /// The scores of these ranks that are not known; `None` where one of them has more than
    /// `group_max` members.
    fn lacking(&self, ranks: Range<usize>, group_max: usize) -> Option<Vec<Score>> {
        let mut lacking = Vec::new();
        let (mut first, groups) = self.histogram.from_rank(ranks.start);
        for (score, count) in groups {
            if first >= ranks.end || ranks.is_empty() {
                break;
            }
            if !self.knows(score) {
                if count > group_max {
                    return None;
                }
                lacking.push(score);
            }
            first += count;
        }
        Some(lacking)
    }

    /// The members of these ranks in order. Their scores must all be known.
    fn members(&self, ranks: Range<usize>) -> impl Iterator<Item = (Score, &Bytes)> {
        let (first, mut groups) = self.histogram.from_rank(ranks.start);
        let from = groups.next().map_or(0, |(score, _)| self.first(score) + ranks.start - first);
        self.members.iter_from(from).take(ranks.len())
    }

    /// A member gets a score, or loses the one that it had.
    pub fn change(&mut self, member: &Bytes, old: Option<Score>, new: Option<Score>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.histogram.remove(old);
            self.members.remove(old, member);
        }
        if let Some(new) = new {
            if self.knows(new) {
                self.members.insert(new, member.clone());
            }
            self.histogram.add(new);
        }
    }

    /// All members with this score were learned: if it was uncounted, it is counted now.
    pub fn settle(&mut self, score: Score) {
        self.histogram.set_count(score, self.here(score));
    }

    /// Notes a member of a score that is being loaded.
    pub fn learn(&mut self, score: Score, member: Bytes) {
        self.members.insert(score, member);
    }

    /// Forgets a member, and with it that its score is known.
    pub fn forget(&mut self, score: Score, member: &[u8]) {
        self.members.remove(score, member);
    }

    /// Bytes it holds in memory, about. O(1).
    pub fn bytes(&self) -> usize {
        self.histogram.bytes() + self.members.bytes()
    }

    /// How many members here have this score.
    fn here(&self, score: Score) -> usize {
        self.members.partition_point(|other, _| other <= score) - self.first(score)
    }

    /// How many members here have lower scores.
    fn first(&self, score: Score) -> usize {
        self.members.partition_point(|other, _| other < score)
    }
}
