//! A part of a sorted set, as commands ask for it: between two ranks, scores or members, from one
//! end or the other, of that some.
//!
//! Of a sorted set in memory, and by its [`Histogram`] also of one that is not, it tells the ranks
//! that are meant. Ranks count from 0, from the lowest score.

use super::histogram::{Found, Histogram};
use super::order::Order;
use crate::base::bytes::Bytes;
use crate::base::score::Score;
use std::ops::Range;

/// Where scores differ, ranges of members mean nothing, but Redis has an answer for sorted sets of
/// up to so many members: that of a walk.
const WALKED_MAX: usize = 128;

/// Which members are meant, and in which direction they are counted and shown.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberRange {
    /// Between what.
    pub bounds: Bounds,
    /// Whether from the highest down.
    pub reverse: bool,
    /// Of those within the bounds, so many are left out first; all where negative.
    pub offset: i64,
    /// How many at most; all where negative.
    pub limit: i64,
}

/// The two ends of a range.
#[derive(Clone, Debug, PartialEq)]
pub enum Bounds {
    /// First and last rank, from the direction that the range goes in; negative ones count from the
    /// other end.
    Ranks(i64, i64),
    /// Lowest and highest score.
    Scores(Bound<Score>, Bound<Score>),
    /// Lowest and highest member.
    Names(Bound<Bytes>, Bound<Bytes>),
}

/// One end of a range.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound<T> {
    /// Below everything.
    Lowest,
    /// This and what is beyond it.
    Included(T),
    /// What is beyond this.
    Excluded(T),
    /// Above everything.
    Highest,
}

impl<T> Bound<T> {
    /// Whether a value is not below this lower end.
    fn starts<V: PartialOrd<T> + ?Sized>(&self, value: &V) -> bool {
        match self {
            Bound::Lowest => true,
            Bound::Included(min) => *value >= *min,
            Bound::Excluded(min) => *value > *min,
            Bound::Highest => false,
        }
    }

    /// Whether a value is not above this upper end.
    fn ends<V: PartialOrd<T> + ?Sized>(&self, value: &V) -> bool {
        match self {
            Bound::Lowest => false,
            Bound::Included(max) => *value <= *max,
            Bound::Excluded(max) => *value < *max,
            Bound::Highest => true,
        }
    }
}

impl MemberRange {
    /// All within these bounds, from the lowest up.
    pub fn within(bounds: Bounds) -> MemberRange {
        MemberRange { bounds, reverse: false, offset: 0, limit: -1 }
    }

    /// The first `count` members from one end.
    pub fn end(reverse: bool, count: usize) -> MemberRange {
        let last = i64::try_from(count).unwrap_or(i64::MAX) - 1;
        let bounds = if count == 0 { Bounds::Ranks(1, 0) } else { Bounds::Ranks(0, last) };
        MemberRange { reverse, ..MemberRange::within(bounds) }
    }

    /// The ranks of the members that are meant.
    pub fn ranks(&self, order: &Order) -> Range<usize> {
        let before = |below: &dyn Fn(Score) -> bool| order.partition_point(|score, _| below(score));
        let ranks = match &self.bounds {
            Bounds::Names(min, max) if is_walked(order) => walk(order, min, max, self.reverse),
            Bounds::Names(min, max) => {
                let start = order.partition_point(|_, member| !min.starts(member));
                start..order.partition_point(|_, member| max.ends(member)).max(start)
            }
            bounds => bounds.ranks(order.len(), self.reverse, before).unwrap_or_default(),
        };
        self.counted(ranks)
    }

    /// The same of a sorted set of which no members are known; `None` where it takes the members.
    pub fn ranks_of_scores(&self, histogram: &Histogram) -> Option<Range<usize>> {
        let before = |below: &dyn Fn(Score) -> bool| histogram.before(below);
        let ranks = self.bounds.ranks(histogram.len(), self.reverse, before)?;
        Some(self.counted(ranks))
    }

    /// The same of one with uncounted scores, of which `uncounted_max` may have to be counted
    /// first: those from an end of the set, or of the bounds, to the members meant. The ranks are
    /// those among the counted members.
    pub fn find(&self, histogram: &Histogram, uncounted_max: usize) -> Option<Found<Range<usize>>> {
        if histogram.is_counted() {
            return self.ranks_of_scores(histogram).map(Found::Is);
        }
        let reverse = match self.bounds {
            Bounds::Names(..) => return None,
            Bounds::Scores(..) => self.reverse,
            Bounds::Ranks(..) => {
                let ranks = self.ranks_of_scores(histogram)?;
                ranks.start > histogram.len() - ranks.end // From the nearer end.
            }
        };
        let (groups, skip, take) = self.groups(histogram, reverse);
        let end = skip.saturating_add(take);
        let (mut seen, mut lacks) = (0, Vec::new());
        for (score, count) in groups {
            if seen >= end {
                break;
            }
            if count == 0 {
                if lacks.len() == uncounted_max {
                    return Some(Found::Far);
                }
                lacks.push(score);
            }
            seen += count.max(1); // One at least: more scores than needed are never counted.
        }
        if !lacks.is_empty() {
            return Some(Found::Lacks(lacks));
        }
        let (skip, end) = (skip.min(seen), end.min(seen));
        let (starts, ends) = self.bounds.of_scores();
        Some(Found::Is(if reverse {
            let top = histogram.before(ends);
            top - end..top - skip
        } else {
            let bottom = histogram.before(|score| !starts(score));
            bottom + skip..bottom + end
        }))
    }

    /// How many members are meant at least, where each score has one; 0 for bounds that are
    /// members.
    pub fn at_least(&self, histogram: &Histogram) -> usize {
        let (groups, skip, take) = self.groups(histogram, self.reverse);
        match self.bounds {
            Bounds::Names(..) => 0,
            Bounds::Ranks(..) => take,
            Bounds::Scores(..) => {
                groups.map(|(_, count)| count.max(1)).sum::<usize>().saturating_sub(skip).min(take)
            }
        }
    }

    /// The scores within the bounds in one direction, with how many members have each (0 for the
    /// uncounted), and how many members are left out first there, and meant then. All scores for
    /// bounds that are members; where bounds are no ranks, the direction has to be that of the
    /// range.
    pub fn groups<'h>(
        &'h self,
        histogram: &'h Histogram,
        reverse: bool,
    ) -> (Box<dyn Iterator<Item = (Score, usize)> + 'h>, usize, usize) {
        let (starts, ends) = self.bounds.of_scores();
        let groups = histogram.between(starts, ends);
        let (skip, take) = match self.bounds {
            Bounds::Ranks(..) => {
                let Range { start, end } = self.ranks_of_scores(histogram).unwrap_or_default();
                (if reverse { histogram.len() - end } else { start }, end - start)
            }
            _ => self.part(usize::MAX),
        };
        (if reverse { Box::new(groups.rev()) } else { Box::new(groups) }, skip, take)
    }

    /// Whether a member is within bounds that are members; others have all.
    pub fn admits(&self, member: &Bytes) -> bool {
        match &self.bounds {
            Bounds::Names(min, max) => min.starts(member) && max.ends(member),
            _ => true,
        }
    }

    /// Of so many, how many are left out first, and how many are shown then.
    pub fn part(&self, len: usize) -> (usize, usize) {
        let offset = usize::try_from(self.offset).map_or(len, |offset| offset.min(len));
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        (offset, limit.min(len - offset))
    }

    fn counted(&self, Range { start, end }: Range<usize>) -> Range<usize> {
        let (offset, count) = self.part(end - start);
        if self.reverse {
            end - offset - count..end - offset
        } else {
            start + offset..start + offset + count
        }
    }

    /// The members of these ranks in the direction of the range.
    pub fn walk<'o>(
        &self,
        order: &'o Order,
        ranks: Range<usize>,
    ) -> Box<dyn Iterator<Item = (Score, &'o Bytes)> + 'o> {
        match ranks.end.checked_sub(1) {
            Some(last) if self.reverse => Box::new(order.iter_back_from(last).take(ranks.len())),
            _ => Box::new(order.iter_from(ranks.start).take(ranks.len())),
        }
    }
}

impl Bounds {
    /// The ranks within, of `len` members of which `before` tells how many have a score for which
    /// something holds; `None` for bounds that are members.
    fn ranks(
        &self,
        len: usize,
        reverse: bool,
        before: impl Fn(&dyn Fn(Score) -> bool) -> usize,
    ) -> Option<Range<usize>> {
        match self {
            Bounds::Ranks(first, last) => {
                let Range { start, end } = from_ends(*first, *last, len);
                Some(if reverse { len - end..len - start } else { start..end })
            }
            Bounds::Scores(min, max) => {
                let start = before(&|score| !min.starts(&score));
                Some(start..before(&|score| max.ends(&score)).max(start))
            }
            Bounds::Names(..) => None,
        }
    }

    /// Whether a score is not below them, and whether it is not above them.
    fn of_scores(&self) -> (impl Fn(Score) -> bool, impl Fn(Score) -> bool) {
        let (min, max) = match self {
            Bounds::Scores(min, max) => (min, max),
            _ => (&Bound::Lowest, &Bound::Highest),
        };
        (|score| min.starts(&score), |score| max.ends(&score))
    }
}

/// Whether members are in no order of their own, but so few that Redis has an answer for them.
fn is_walked(order: &Order) -> bool {
    let ends = order.at(0).zip(order.at(order.len().saturating_sub(1)));
    order.len() <= WALKED_MAX && ends.is_some_and(|((lowest, _), (highest, _))| lowest != highest)
}

/// What Redis finds between two members where scores differ: from the first member, in the
/// direction of the command, that has passed one end, to the last in a row that has not passed the
/// other.
fn walk(order: &Order, min: &Bound<Bytes>, max: &Bound<Bytes>, reverse: bool) -> Range<usize> {
    let members: Vec<&Bytes> = order.iter().map(|(_, member)| member).collect();
    let (starts, ends) = (|at: &&Bytes| min.starts(*at), |at: &&Bytes| max.ends(*at));
    if !members.first().is_some_and(ends) || !members.last().is_some_and(starts) {
        return 0..0;
    }
    if reverse {
        let end = members.iter().rposition(ends).map_or(0, |last| last + 1);
        let count = members[..end].iter().rev().take_while(|at| starts(at)).count();
        end - count..end
    } else {
        let start = members.iter().position(starts).unwrap_or(members.len());
        let count = members[start..].iter().take_while(|at| ends(at)).count();
        start..start + count
    }
}

/// What Redis takes for ranks of `len` members: negative ones count from the end.
fn from_ends(first: i64, last: i64, len: usize) -> Range<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let from_start = |rank: i64| if rank < 0 { rank + len } else { rank };
    let (first, last) = (from_start(first).max(0), from_start(last).min(len - 1));
    if first > last { 0..0 } else { first as usize..last as usize + 1 }
}
