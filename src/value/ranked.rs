//! The order of a sorted set of which memory has not all members: how many have each score, and of
//! some scores the members.
//!
//! A score of which as many members are here as the histogram counts is *known*: its members are
//! all here. Commands have those scores loaded that they want to look at. What is not loaded is
//! not kept up to date here, but for the histogram.

use super::histogram::Histogram;
use super::order::Order;
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
        let up_to = self.members.partition_point(|other, _| other <= score);
        up_to - self.first(score) == self.histogram.count(score)
    }

    /// The scores of these ranks that are not known; `None` where one of them has more than
    /// `group_max` members.
    pub fn lacking(&self, ranks: Range<usize>, group_max: usize) -> Option<Vec<Score>> {
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
    pub fn members(&self, ranks: Range<usize>) -> impl Iterator<Item = (Score, &Bytes)> {
        let (first, mut groups) = self.histogram.from_rank(ranks.start);
        let from = groups.next().map_or(0, |(score, _)| self.first(score) + ranks.start - first);
        self.members.iter_from(from).take(ranks.len())
    }

    /// The rank of a member that has this score, which must be known.
    pub fn rank(&self, score: Score, member: &[u8]) -> Option<usize> {
        let within = self.members.rank(score, member)? - self.first(score);
        Some(self.histogram.before(|other| other < score) + within)
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

    /// How many members here have lower scores.
    fn first(&self, score: Score) -> usize {
        self.members.partition_point(|other, _| other < score)
    }
}
