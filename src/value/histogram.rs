//! How many members of a sorted set have each score: its order without its members.
//!
//! It tells ranks of scores, and the score of a rank, of a sorted set that memory has not room for:
//! 12 bytes for each distinct score. Scores lie in sorted chunks of bounded length, and the number
//! of members of each chunk in an array of its own, as in [`super::order`]. Ranks count from 0.

use crate::base::score::Score;

/// Most scores in a chunk; one that is full is split.
const CHUNK_SCORES_MAX: usize = 512;

/// The distinct scores of a sorted set, in order, each with how many members have it.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Never empty ones.
    chunks: Vec<Chunk>,
    /// How many members each chunk has.
    sums: Vec<u64>,
    scores_len: usize,
    len: u64,
}

#[derive(Clone, Debug, Default)]
struct Chunk {
    scores: Vec<Score>,
    /// How many members have each of them; none has 0.
    counts: Vec<u32>,
}

impl Histogram {
    /// How many members there are.
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

    /// A member more has this score.
    pub fn add(&mut self, score: Score) {
        if self.chunks.is_empty() {
            self.chunks.push(Chunk::default());
            self.sums.push(0);
        }
        let mut at = self.chunk_of(score).min(self.chunks.len() - 1);
        match self.chunks[at].scores.binary_search(&score) {
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
        let at = self.chunk_of(score);
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let Ok(index) = chunk.scores.binary_search(&score) else { return };
        chunk.counts[index] -= 1;
        if chunk.counts[index] == 0 {
            chunk.scores.remove(index);
            chunk.counts.remove(index);
            self.scores_len -= 1;
        }
        self.sums[at] -= 1;
        self.len -= 1;
        if self.chunks[at].scores.is_empty() {
            self.chunks.remove(at);
            self.sums.remove(at);
        }
    }

    /// How many members have this score.
    pub fn count(&self, score: Score) -> usize {
        let Some(chunk) = self.chunks.get(self.chunk_of(score)) else { return 0 };
        chunk.scores.binary_search(&score).map_or(0, |index| chunk.counts[index] as usize)
    }

    /// How many members have a score for which `below` holds; it must hold for those below some
    /// score and for no others.
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

    /// All scores, in order, with how many members have each.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Score, usize)> {
        self.chunks.iter().flat_map(|chunk| {
            chunk.scores.iter().copied().zip(chunk.counts.iter().map(|count| *count as usize))
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
        (self.chunks.len(), 0, self.len)
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

/// Builds the histogram of scores in ascending order, each once, with how many members have it.
impl FromIterator<(Score, u32)> for Histogram {
    fn from_iter<I: IntoIterator<Item = (Score, u32)>>(groups: I) -> Histogram {
        let mut histogram = Histogram::default();
        for (score, count) in groups.into_iter().filter(|(_, count)| *count > 0) {
            if histogram
                .chunks
                .last()
                .is_none_or(|chunk| chunk.scores.len() == CHUNK_SCORES_MAX / 2)
            {
                let scores = Vec::with_capacity(CHUNK_SCORES_MAX / 2);
                let counts = Vec::with_capacity(CHUNK_SCORES_MAX / 2);
                histogram.chunks.push(Chunk { scores, counts });
                histogram.sums.push(0);
            }
            let at = histogram.chunks.len() - 1;
            histogram.chunks[at].scores.push(score);
            histogram.chunks[at].counts.push(count);
            histogram.sums[at] += u64::from(count);
            histogram.scores_len += 1;
            histogram.len += u64::from(count);
        }
        histogram
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
        let mut histogram: Histogram =
            truth.iter().map(|(score, count)| (*score, *count)).collect();
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
            assert_eq!(histogram.count(one), truth.get(&one).map_or(0, |count| *count as usize));
            if step % 500 != 0 {
                continue;
            }
            let all = || truth.iter().map(|(score, count)| (*score, *count as usize));
            assert!(histogram.iter().eq(all()) && histogram.iter().rev().eq(all().rev()));
            assert_eq!(histogram.len(), all().map(|(_, count)| count).sum::<usize>());
            let below: usize = all().filter(|(at, _)| *at < one).map(|(_, count)| count).sum();
            assert_eq!(histogram.before(|at| at < one), below);
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
