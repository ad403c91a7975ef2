//! How many members of a sorted set have each score: its order without its members.
//!
//! It tells ranks of scores, and the score of a rank, of a sorted set that memory has not room for:
//! 12 bytes for each distinct score. Scores lie in sorted chunks of bounded length, and the number
//! of members of each chunk in an array of its own, as in [`super::order`]. Ranks count from 0.
//!
//! Of some scores it may not be known how many members have them: they are *uncounted*, and stay so
//! until somebody counts, whatever comes and goes. Ranks are those among the counted members.

use crate::base::score::Score;

/// Most scores in a chunk; one that is full is split.
const CHUNK_SCORES_MAX: usize = 512;

/// The distinct scores of a sorted set, in order, each with how many members have it.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Never empty ones.
    chunks: Vec<Chunk>,
    /// How many members each chunk has, but for the uncounted.
    sums: Vec<u64>,
    scores_len: usize,
    uncounted_len: usize,
    len: u64,
}

#[derive(Clone, Debug, Default)]
struct Chunk {
    scores: Vec<Score>,
    /// How many members have each of them; 0 for the uncounted.
    counts: Vec<u32>,
}

/// What is asked of a histogram that may have uncounted scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// This is it.
    Is(T),
    /// These scores have to be counted first.
    Lacks(Vec<Score>),
    /// So have more scores than one would count for this.
    Far,
}

impl<T> Found<T> {
    /// The same of what is made of it.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Found::Is(found) => Found::Is(make(found)),
            Found::Lacks(scores) => Found::Lacks(scores),
            Found::Far => Found::Far,
        }
    }
}

impl Histogram {
    /// The histogram of `len` members: scores in ascending order, each once, with how many members
    /// have it, `None` for the uncounted.
    pub fn new(len: u64, groups: impl Iterator<Item = (Score, Option<u32>)>) -> Histogram {
        let mut histogram = Histogram { len, ..Histogram::default() };
        for (score, count) in groups.filter(|(_, count)| *count != Some(0)) {
            let full = |chunk: &Chunk| chunk.scores.len() == CHUNK_SCORES_MAX / 2;
            if histogram.chunks.last().is_none_or(full) {
                let scores = Vec::with_capacity(CHUNK_SCORES_MAX / 2);
                let counts = Vec::with_capacity(CHUNK_SCORES_MAX / 2);
                histogram.chunks.push(Chunk { scores, counts });
                histogram.sums.push(0);
            }
            let at = histogram.chunks.len() - 1;
            histogram.chunks[at].scores.push(score);
            histogram.chunks[at].counts.push(count.unwrap_or(0));
            histogram.sums[at] += u64::from(count.unwrap_or(0));
            histogram.scores_len += 1;
            histogram.uncounted_len += usize::from(count.is_none());
        }
        histogram
    }

    /// How many members there are, the uncounted too.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes it holds in memory, about. Chunks are three quarters full on average. O(1).
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.scores_len * (size_of::<Score>() + size_of::<u32>()) * 4 / 3
    }

    /// Whether no score is uncounted.
    pub fn is_counted(&self) -> bool {
        self.uncounted_len == 0
    }

    /// A member more has this score.
    pub fn add(&mut self, score: Score) {
        if self.chunks.is_empty() {
            self.chunks.push(Chunk::default());
            self.sums.push(0);
        }
        let mut at = self.chunk_of(score).min(self.chunks.len() - 1);
        match self.chunks[at].scores.binary_search(&score) {
            Ok(index) if self.chunks[at].counts[index] == 0 => {
                self.len += 1;
                return;
            }
            Ok(index) => self.chunks[at].counts[index] += 1,
            Err(mut index) => {
                if self.chunks[at].scores.len() == CHUNK_SCORES_MAX {
                    self.split(at);
                    let left = self.chunks[at].scores.len();
                    if index > left {
                        (at, index) = (at + 1, index - left);
                    }
                }
                self.chunks[at].scores.insert(index, score);
                self.chunks[at].counts.insert(index, 1);
                self.scores_len += 1;
            }
        }
        self.sums[at] += 1;
        self.len += 1;
    }

    /// A member less has this score; does nothing where none has it.
    pub fn remove(&mut self, score: Score) {
        let Some((at, index)) = self.find(score) else { return };
        self.len -= 1;
        let count = &mut self.chunks[at].counts[index];
        if *count > 0 {
            *count -= 1;
            self.sums[at] -= 1;
            if *count == 0 {
                self.forget(at, index);
            }
        }
    }

    /// So many members have an uncounted score; does nothing for others.
    pub fn set_count(&mut self, score: Score, count: usize) {
        let Some((at, index)) = self.find(score) else { return };
        if self.chunks[at].counts[index] > 0 {
            return;
        }
        self.uncounted_len -= 1;
        match u32::try_from(count).unwrap_or(u32::MAX) {
            0 => self.forget(at, index),
            count => {
                self.chunks[at].counts[index] = count;
                self.sums[at] += u64::from(count);
            }
        }
    }

    /// How many members have this score; `None` where it is uncounted.
    pub fn count(&self, score: Score) -> Option<usize> {
        let Some((at, index)) = self.find(score) else { return Some(0) };
        let count = self.chunks[at].counts[index] as usize;
        (count > 0).then_some(count)
    }

    /// How many members have lower scores than this one, of which `uncounted_max` may have to be
    /// counted first, or as many higher ones.
    pub fn lower(&self, score: Score, uncounted_max: usize) -> Found<usize> {
        let uncounted = |groups: &mut dyn Iterator<Item = (Score, usize)>| -> Vec<Score> {
            let uncounted = groups.filter(|(_, count)| *count == 0).map(|(score, _)| score);
            uncounted.take(uncounted_max + 1).collect()
        };
        let lower = match self.is_counted() {
            true => Vec::new(),
            false => uncounted(&mut self.between(|_| true, |other| other < score)),
        };
        if lower.is_empty() {
            return Found::Is(self.before(|other| other < score));
        }
        let from = uncounted(&mut self.between(|other| other >= score, |_| true));
        if from.is_empty() {
            let counted = self.before(|_| true) - self.before(|other| other < score);
            return Found::Is(self.len().saturating_sub(counted));
        }
        let fewer = if lower.len() <= from.len() { lower } else { from };
        if fewer.len() > uncounted_max { Found::Far } else { Found::Lacks(fewer) }
    }

    /// How many members have a score for which `below` holds, but for the uncounted; it must hold
    /// for those below some score and for no others.
    pub fn before(&self, below: impl Fn(Score) -> bool) -> usize {
        let at = self
            .chunks
            .partition_point(|chunk| chunk.scores.last().is_some_and(|score| below(*score)));
        let chunks: u64 = self.sums[..at].iter().sum();
        let part = self.chunks.get(at).map_or(0, |chunk| {
            let end = chunk.scores.partition_point(|score| below(*score));
            chunk.counts[..end].iter().map(|count| u64::from(*count)).sum()
        });
        (chunks + part) as usize
    }

    /// The scores in order from that of this rank on, each with how many members have it, and the
    /// rank of the first of them.
    pub fn from_rank(&self, rank: usize) -> (usize, impl Iterator<Item = (Score, usize)>) {
        let (at, index, first) = self.place(rank as u64);
        let pairs = |chunk: &'_ Chunk, from: usize| {
            let counts = chunk.counts[from..].iter().map(|count| *count as usize);
            chunk.scores[from..].iter().copied().zip(counts).collect::<Vec<_>>()
        };
        let part = self.chunks.get(at).map(|chunk| pairs(chunk, index)).unwrap_or_default();
        let rest = self.chunks.get(at + 1..).unwrap_or_default();
        (first as usize, part.into_iter().chain(rest.iter().flat_map(move |chunk| pairs(chunk, 0))))
    }

    /// All scores, in order, with how many members have each, 0 for the uncounted.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Score, usize)> {
        self.between(|_| true, |_| true)
    }

    /// The same from the first score for which `starts` holds, as for all behind it, to the last
    /// one for which `ends` does, as for all before it.
    pub fn between(
        &self,
        starts: impl Fn(Score) -> bool,
        ends: impl Fn(Score) -> bool,
    ) -> impl DoubleEndedIterator<Item = (Score, usize)> {
        let first = move |chunk: &Chunk| chunk.scores.partition_point(|score| !starts(*score));
        let end = move |chunk: &Chunk| chunk.scores.partition_point(|score| ends(*score));
        let from = self.chunks.partition_point(|chunk| first(chunk) == chunk.scores.len());
        let to = self.chunks.partition_point(|chunk| end(chunk) == chunk.scores.len());
        let chunks = self.chunks.get(from..(to + 1).min(self.chunks.len())).unwrap_or_default();
        chunks.iter().flat_map(move |chunk| {
            let part = first(chunk)..end(chunk);
            let scores = chunk.scores.get(part.clone()).unwrap_or_default();
            let counts = chunk.counts.get(part).unwrap_or_default();
            scores.iter().copied().zip(counts.iter().map(|count| *count as usize))
        })
    }

    /// Chunk and index of the score of a rank, and the rank of its first member; the end where
    /// there are not so many.
    fn place(&self, rank: u64) -> (usize, usize, u64) {
        let mut first = 0;
        for (at, sum) in self.sums.iter().enumerate() {
            if rank < first + sum {
                for (index, count) in self.chunks[at].counts.iter().enumerate() {
                    if rank < first + u64::from(*count) {
                        return (at, index, first);
                    }
                    first += u64::from(*count);
                }
            }
            first += sum;
        }
        (self.chunks.len(), 0, first)
    }

    /// Chunk and index of a score.
    fn find(&self, score: Score) -> Option<(usize, usize)> {
        let at = self.chunk_of(score);
        let index = self.chunks.get(at)?.scores.binary_search(&score).ok()?;
        Some((at, index))
    }

    /// Takes a score out that no member has.
    fn forget(&mut self, at: usize, index: usize) {
        let chunk = &mut self.chunks[at];
        chunk.scores.remove(index);
        chunk.counts.remove(index);
        self.scores_len -= 1;
        if chunk.scores.is_empty() {
            self.chunks.remove(at);
            self.sums.remove(at);
        }
    }

    /// The chunk that has a score, or is the first that has a higher one.
    fn chunk_of(&self, score: Score) -> usize {
        self.chunks.partition_point(|chunk| chunk.scores.last().is_some_and(|last| *last < score))
    }

    fn split(&mut self, at: usize) {
        let chunk = &mut self.chunks[at];
        let middle = chunk.scores.len() / 2;
        let upper = Chunk {
            scores: chunk.scores.split_off(middle),
            counts: chunk.counts.split_off(middle),
        };
        let moved = upper.counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        self.sums[at] -= moved;
        self.sums.insert(at + 1, moved);
        self.chunks.insert(at + 1, upper);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeMap;

    fn score(n: usize) -> Score {
        Score::new(n as f64).unwrap()
    }

    #[test]
    fn it_answers_what_a_map_has() {
        let mut rng = Rng::new(3);
        let mut truth: BTreeMap<Score, u32> = (0..1500).map(|n| (score(n * 2), 1)).collect();
        let groups = truth.iter().map(|(score, count)| (*score, Some(*count)));
        let mut histogram = Histogram::new(1500, groups);
        for step in 0..20_000 {
            let one = score(rng.index(4000));
            if rng.index(5) < 2 {
                histogram.remove(one);
                if let Some(count) = truth.get_mut(&one) {
                    *count -= 1;
                    if *count == 0 {
                        truth.remove(&one);
                    }
                }
            } else {
                histogram.add(one);
                *truth.entry(one).or_default() += 1;
            }
            let count = truth.get(&one).map_or(0, |count| *count as usize);
            assert_eq!(histogram.count(one), Some(count));
            if step % 500 != 0 {
                continue;
            }
            let all = || truth.iter().map(|(score, count)| (*score, *count as usize));
            assert!(histogram.iter().eq(all()) && histogram.iter().rev().eq(all().rev()));
            assert_eq!(histogram.len(), all().map(|(_, count)| count).sum::<usize>());
            let below: usize = all().filter(|(at, _)| *at < one).map(|(_, count)| count).sum();
            assert_eq!(histogram.before(|at| at < one), below);
            assert_eq!(histogram.lower(one, 0), Found::Is(below));
            let end = score(rng.index(4000));
            let between = histogram.between(|at| at > one, |at| at <= end);
            assert!(between.eq(all().filter(|(at, _)| *at > one && *at <= end)));
            let rank = rng.index(histogram.len() + 2);
            let (first, from) = histogram.from_rank(rank);
            let mut before = 0;
            let mut rest = all().skip_while(|(_, count)| {
                let is_before = before + count <= rank;
                before += if is_before { *count } else { 0 };
                is_before
            });
            assert!(from.eq(rest.by_ref()), "rank {rank}");
            assert!(first <= rank || first == histogram.len());
        }
        while let Some((&one, _)) = truth.first_key_value() {
            (0..truth.remove(&one).unwrap()).for_each(|_| histogram.remove(one));
        }
        assert!(histogram.is_empty() && histogram.chunks.is_empty() && histogram.scores_len == 0);
    }
}
