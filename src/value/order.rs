//! The order of a sorted set: its members by score, those of one score by their bytes, with ranks.
//!
//! Pairs lie in sorted chunks of bounded length, and the lengths in an array of their own: a pair
//! is found by two binary searches, its rank by adding up the lengths before its chunk: with a
//! million members an array of at most 16 KB. A tree with counts in its nodes would be slower to
//! walk and take more memory. Ranks count from 0.
//!
//! The order holds all members or does not exist: it knows nothing of what is not loaded.

use crate::base::bytes::Bytes;
use crate::base::score::Score;
use std::ops::Range;

/// Most pairs in a chunk; one that is full is split.
const CHUNK_PAIRS_MAX: usize = 512;
/// Pairs in a chunk of an order that is built at once: as after a split.
const CHUNK_PAIRS_BUILT: usize = CHUNK_PAIRS_MAX / 2;
/// Neighbours that have no more together are joined.
const JOINED_PAIRS_MAX: usize = 256;

/// A score and the member that has it.
pub type Pair = (Score, Bytes);

/// The pairs of a sorted set, in order. No member is in it twice; its owner sees to that.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Never empty ones.
    chunks: Vec<Vec<Pair>>,
    /// The length of each chunk.
    lens: Vec<u32>,
    len: usize,
}

/// Where a pair is, or would be: its chunk, and its index there. The end of the last chunk, or
/// (0, 0) where there is no chunk, is where a pair above all others would be.
#[derive(Clone, Copy)]
struct Place {
    chunk: usize,
    index: usize,
}

impl Order {
    /// An order of no pairs.
    pub fn new() -> Order {
        Order::default()
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes it holds in memory, about, without those that long members share with their other
    /// holders. Chunks are two thirds full on average. O(1).
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.len * size_of::<Pair>() * 3 / 2
    }

    /// Puts a pair; does nothing where it is there already.
    pub fn insert(&mut self, score: Score, member: Bytes) {
        let Err(mut place) = self.find(score, &member) else { return };
        if self.chunks.is_empty() {
            self.chunks.push(Vec::new());
            self.lens.push(0);
        } else if self.chunks[place.chunk].len() == CHUNK_PAIRS_MAX {
            place = self.split(place);
        }
        self.chunks[place.chunk].insert(place.index, (score, member));
        self.lens[place.chunk] += 1;
        self.len += 1;
    }

    /// Removes a pair; answers whether it was there.
    pub fn remove(&mut self, score: Score, member: &[u8]) -> bool {
        self.take(score, member).is_some()
    }

    /// Gives the score `new` to a member that has the score `old`; answers whether it had.
    pub fn rescore(&mut self, old: Score, new: Score, member: &[u8]) -> bool {
        let Some(member) = self.take(old, member) else { return false };
        self.insert(new, member);
        true
    }

    /// Removes the pairs of these ranks, as far as there are such, and answers them in order.
    pub fn remove_range(&mut self, ranks: Range<usize>) -> Vec<Pair> {
        let ranks = self.clamp(ranks);
        let mut removed = Vec::with_capacity(ranks.len());
        let Place { chunk: first, mut index } = self.place_of(ranks.start);
        let mut chunk = first;
        while removed.len() < ranks.len() {
            let pairs = &mut self.chunks[chunk];
            let end = pairs.len().min(index + ranks.len() - removed.len());
            removed.extend(pairs.drain(index..end));
            self.lens[chunk] = pairs.len() as u32;
            (chunk, index) = (chunk + 1, 0);
        }
        self.len -= removed.len();
        self.drop_emptied(first..chunk);
        removed
    }

    /// The rank of a pair.
    pub fn rank(&self, score: Score, member: &[u8]) -> Option<usize> {
        self.find(score, member).ok().map(|place| self.rank_of(place))
    }

    /// The pair of a rank.
    pub fn at(&self, rank: usize) -> Option<(Score, &Bytes)> {
        let Place { chunk, index } = self.place_of(rank);
        self.chunks.get(chunk)?.get(index).map(as_refs)
    }

    /// How many pairs satisfy `below`, which must hold for those before some rank and for no
    /// others: the rank of the first that does not.
    pub fn partition_point(&self, mut below: impl FnMut(Score, &Bytes) -> bool) -> usize {
        let mut holds = |pair: &Pair| below(pair.0, &pair.1);
        let chunk = self.chunks.partition_point(|pairs| pairs.last().is_some_and(&mut holds));
        let index = self.chunks.get(chunk).map_or(0, |pairs| pairs.partition_point(holds));
        self.rank_of(Place { chunk, index })
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Score, &Bytes)> {
        self.iter_from(0)
    }

    /// The pairs from this rank on, in order.
    pub fn iter_from(&self, rank: usize) -> impl DoubleEndedIterator<Item = (Score, &Bytes)> {
        let Place { chunk, index } = self.place_of(rank);
        let part = self.chunks.get(chunk).map_or(&[][..], |pairs| &pairs[index..]);
        let whole = self.chunks.get(chunk + 1..).unwrap_or_default();
        part.iter().chain(whole.iter().flatten()).map(as_refs)
    }

    /// The pairs from this rank, or from the last one where there is no such, down to rank 0.
    pub fn iter_back_from(&self, rank: usize) -> impl DoubleEndedIterator<Item = (Score, &Bytes)> {
        let Place { chunk, index } = self.place_of(self.len.min(rank.saturating_add(1)));
        let part = self.chunks.get(chunk).map_or(&[][..], |pairs| &pairs[..index]);
        self.chunks[..chunk].iter().flatten().chain(part).rev().map(as_refs)
    }

    /// Removes a pair; answers its member.
    fn take(&mut self, score: Score, member: &[u8]) -> Option<Bytes> {
        let Place { chunk, index } = self.find(score, member).ok()?;
        let (_, member) = self.chunks[chunk].remove(index);
        self.lens[chunk] -= 1;
        self.len -= 1;
        self.drop_emptied(chunk..chunk + 1);
        Some(member)
    }

    /// Where a pair is, or else where it belongs.
    fn find(&self, score: Score, member: &[u8]) -> Result<Place, Place> {
        let compare = |pair: &Pair| pair.0.cmp(&score).then_with(|| pair.1.as_slice().cmp(member));
        let below = |pairs: &Vec<Pair>| pairs.last().is_some_and(|pair| compare(pair).is_lt());
        let chunk = self.chunks.partition_point(below);
        match self.chunks.get(chunk) {
            Some(pairs) => match pairs.binary_search_by(compare) {
                Ok(index) => Ok(Place { chunk, index }),
                Err(index) => Err(Place { chunk, index }),
            },
            None => Err(self.end()),
        }
    }

    /// Where the pair of a rank is; the end where there is none.
    fn place_of(&self, rank: usize) -> Place {
        if rank >= self.len {
            return self.end();
        }
        let mut index = rank;
        for (chunk, &len) in self.lens.iter().enumerate() {
            match index.checked_sub(len as usize) {
                None => return Place { chunk, index },
                Some(rest) => index = rest,
            }
        }
        self.end()
    }

    fn rank_of(&self, place: Place) -> usize {
        // Unchecked, so that it is done many at a time; it cannot overflow.
        let before = self.lens[..place.chunk].iter().fold(0u32, |sum, len| sum.wrapping_add(*len));
        before as usize + place.index
    }

    /// The end of the last chunk.
    fn end(&self) -> Place {
        let index = self.lens.last().map_or(0, |&len| len as usize);
        Place { chunk: self.lens.len().saturating_sub(1), index }
    }

    /// Ranks that there are.
    fn clamp(&self, ranks: Range<usize>) -> Range<usize> {
        let end = ranks.end.min(self.len);
        ranks.start.min(end)..end
    }

    /// Splits a full chunk; answers where `place` is now. What grows at its end leaves full chunks
    /// behind, not halves.
    fn split(&mut self, place: Place) -> Place {
        let Place { chunk, index } = place;
        let appends = chunk + 1 == self.chunks.len() && index == CHUNK_PAIRS_MAX;
        let middle = if appends { CHUNK_PAIRS_MAX } else { CHUNK_PAIRS_MAX / 2 };
        let upper = self.chunks[chunk].split_off(middle);
        self.lens[chunk] = middle as u32;
        self.lens.insert(chunk + 1, upper.len() as u32);
        self.chunks.insert(chunk + 1, upper);
        if index > middle || appends {
            Place { chunk: chunk + 1, index: index - middle }
        } else {
            place
        }
    }

    /// Drops the chunks of this range that are empty, which lie side by side, and joins what is
    /// small around them.
    fn drop_emptied(&mut self, chunks: Range<usize>) {
        let is_empty = |chunk: &usize| self.lens[*chunk] == 0;
        let emptied = chunks.clone().filter(is_empty);
        let (first, count) = (emptied.clone().next().unwrap_or(chunks.start), emptied.count());
        self.chunks.drain(first..first + count);
        self.lens.drain(first..first + count);
        self.join(chunks.start);
        self.join(chunks.start.saturating_sub(1));
    }

    /// Joins a chunk and the next one if they are small.
    fn join(&mut self, chunk: usize) {
        let Some(&[lower, upper]) = self.lens.get(chunk..chunk + 2) else { return };
        if (lower + upper) as usize <= JOINED_PAIRS_MAX {
            let pairs = self.chunks.remove(chunk + 1);
            self.lens.remove(chunk + 1);
            self.chunks[chunk].extend(pairs);
            self.lens[chunk] = lower + upper;
        }
    }
}

/// Builds the order of pairs that come in any order, each member once. O(n log n).
impl FromIterator<Pair> for Order {
    fn from_iter<I: IntoIterator<Item = Pair>>(pairs: I) -> Order {
        let mut pairs: Vec<Pair> = pairs.into_iter().collect();
        pairs.sort_unstable();
        let mut order = Order { len: pairs.len(), ..Order::default() };
        let mut pairs = pairs.into_iter();
        while pairs.len() > 0 {
            let chunk: Vec<Pair> = pairs.by_ref().take(CHUNK_PAIRS_BUILT).collect();
            order.lens.push(chunk.len() as u32);
            order.chunks.push(chunk);
        }
        order
    }
}

fn as_refs((score, member): &Pair) -> (Score, &Bytes) {
    (*score, member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeSet;

    fn pair(score: usize, member: usize) -> Pair {
        (Score::new(score as f64).unwrap(), Bytes::from(format!("m{member:05}").into_bytes()))
    }

    fn owned((score, member): (Score, &Bytes)) -> Pair {
        (score, member.clone())
    }

    /// Compares all that an order answers with what a sorted list has.
    fn check(order: &Order, expect: &[Pair], rng: &mut Rng) {
        let lens = order.chunks.iter().map(|pairs| pairs.len() as u32);
        assert_eq!(lens.collect::<Vec<_>>(), order.lens);
        assert!(order.lens.iter().all(|len| (1..=CHUNK_PAIRS_MAX as u32).contains(len)));
        assert_eq!((order.len(), order.is_empty()), (expect.len(), expect.is_empty()));
        assert!(order.iter().map(owned).eq(expect.iter().cloned()));
        assert!(order.iter().rev().map(owned).eq(expect.iter().rev().cloned()));
        for rank in [0, 1, rng.index(expect.len() + 2), expect.len(), expect.len() + 1, usize::MAX]
        {
            let from = &expect[rank.min(expect.len())..];
            assert!(order.iter_from(rank).map(owned).eq(from.iter().cloned()));
            assert!(order.iter_from(rank).rev().map(owned).eq(from.iter().rev().cloned()));
            let back = &expect[..expect.len().min(rank.saturating_add(1))];
            assert!(order.iter_back_from(rank).map(owned).eq(back.iter().rev().cloned()));
            assert_eq!(order.at(rank).map(owned).as_ref(), expect.get(rank));
            if let Some((score, member)) = expect.get(rank) {
                assert_eq!(order.rank(*score, member), Some(rank));
                let above = |s: Score, m: &Bytes| (s, m.as_slice()) < (*score, member);
                assert_eq!(order.partition_point(above), rank);
            }
        }
        assert_eq!(order.partition_point(|_, _| true), expect.len());
        assert_eq!(order.partition_point(|_, _| false), 0);
    }

    #[test]
    fn it_is_a_sorted_list() {
        // The larger the domain, the more inserts are new; removals of ranges keep it in bounds.
        for (seed, members) in [(1, 5), (2, 600), (3, 3_000), (4, 20_000)] {
            let mut rng = Rng::new(seed);
            let mut expect: BTreeSet<Pair> = BTreeSet::new();
            let mut order = Order::new();
            for step in 0..20_000 {
                let member = rng.index(members);
                let (score, name) = pair(member % 7, member);
                match rng.index(1_000) {
                    0 => {
                        let start = rng.index(order.len() + 1);
                        let ranks = start..start + rng.index(1_200);
                        let gone = expect.iter().skip(start).take(ranks.len()).cloned();
                        let gone: Vec<Pair> = gone.collect();
                        gone.iter().for_each(|pair| _ = expect.remove(pair));
                        assert_eq!(order.remove_range(ranks), gone);
                    }
                    1..300 => {
                        let gone = expect.remove(&(score, name.clone()));
                        assert_eq!(order.remove(score, &name), gone);
                    }
                    _ => {
                        expect.insert((score, name.clone()));
                        order.insert(score, name);
                    }
                }
                if step % 200 == 0 {
                    let sorted: Vec<Pair> = expect.iter().cloned().collect();
                    check(&order, &sorted, &mut rng);
                    check(&expect.iter().rev().cloned().collect(), &sorted, &mut rng);
                }
            }
        }
    }

    #[test]
    fn growth_at_the_end_fills_chunks() {
        let mut order = Order::new();
        (0..2_000).for_each(|n| {
            let (score, member) = pair(n, n);
            order.insert(score, member);
        });
        assert_eq!(order.lens, [512, 512, 512, 464]);
        assert_eq!(order.rank(pair(1_500, 0).0, &pair(0, 1_500).1), Some(1_500));
        assert_eq!(order.remove_range(1..1_999).len(), 1_998);
        assert_eq!(order.lens, [2]);
        assert_eq!(order.remove_range(5..7), []);
        assert_eq!(order.remove_range(0..usize::MAX).len(), 2);
        assert!(order.chunks.is_empty() && order.at(0).is_none());
    }

    #[test]
    fn a_member_changes_its_score() {
        let mut order: Order = [pair(1, 1), pair(2, 2), pair(3, 3)].into_iter().collect();
        let ((one, member), (four, _)) = (pair(1, 1), pair(4, 0));
        assert!(order.rescore(one, four, &member));
        assert!(!order.rescore(one, four, &member));
        assert_eq!(order.rank(four, &member), Some(2));
        assert_eq!(order.rank(one, &member), None);
    }
}
