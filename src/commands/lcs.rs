//! The longest common subsequence of two byte strings, as LCS replies it.
//!
//! Of several longest ones it finds the one that Redis finds. Redis keeps a table of 32-bit
//! lengths; going back through it only asks which of two neighbours is longer, so one bit a cell
//! and two rows of lengths are enough here. Knows nothing of keys and replies.

/// Bytes that a cell of Redis' table takes: what its limit counts.
const CELL_BYTES: u64 = 4;

/// A stretch that both strings have, without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Where it begins in the first string.
    pub a: usize,
    /// Where it begins in the second string.
    pub b: usize,
    /// Its bytes.
    pub len: usize,
}

/// Whether Redis' table for two strings of these lengths would stay within `bytes_max`. This
/// bounds the time, and the memory to a 32nd of it.
pub fn fits(a: usize, b: usize, bytes_max: u64) -> bool {
    let cells = (a as u64 + 1).checked_mul(b as u64 + 1);
    cells.and_then(|cells| cells.checked_mul(CELL_BYTES)).is_some_and(|bytes| bytes <= bytes_max)
}

/// The length of the longest common subsequence. Time is the product of both lengths.
pub fn length(a: &[u8], b: &[u8]) -> usize {
    sweep(a, b, |_, _| {}) as usize
}

/// The stretches of the longest common subsequence, the last one first. Time is the product of
/// both lengths, memory as many bits.
pub fn matches(a: &[u8], b: &[u8]) -> Vec<Match> {
    let row_words = b.len().div_ceil(64);
    let mut up = vec![0u64; a.len() * row_words];
    sweep(a, b, |i, j| up[i * row_words + j / 64] |= 1 << (j % 64));

    let (mut i, mut j) = (a.len(), b.len());
    let mut found = Vec::new();
    while i > 0 && j > 0 {
        let equal = a[..i].iter().rev().zip(b[..j].iter().rev());
        let len = equal.take_while(|(x, y)| x == y).count();
        if len > 0 {
            i -= len;
            j -= len;
            found.push(Match { a: i, b: j, len });
        } else if up[(i - 1) * row_words + (j - 1) / 64] >> ((j - 1) % 64) & 1 == 1 {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    found
}

/// Fills the table row by row and answers its last length. `up` is called for each cell (of the
/// bytes at these two positions, which differ) where leaving out the byte of `a` is the better
/// choice; where both choices are as good, the byte of `b` is left out.
fn sweep(a: &[u8], b: &[u8], mut up: impl FnMut(usize, usize)) -> u32 {
    let mut above = vec![0u32; b.len() + 1];
    for (i, x) in a.iter().enumerate() {
        let mut corner = 0; // The length before both bytes.
        let mut left = 0;
        for (j, y) in b.iter().enumerate() {
            let top = above[j + 1];
            let here = if x == y {
                corner + 1
            } else {
                if top > left {
                    up(i, j);
                }
                top.max(left)
            };
            above[j + 1] = here;
            corner = top;
            left = here;
        }
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, expect: &[(usize, usize, usize)]) {
        let found: Vec<_> =
            matches(a.as_bytes(), b.as_bytes()).iter().map(|m| (m.a, m.b, m.len)).collect();
        assert_eq!(found, expect, "{a} and {b}");
        let sum: usize = expect.iter().map(|(_, _, len)| len).sum();
        assert_eq!(length(a.as_bytes(), b.as_bytes()), sum, "{a} and {b}");
    }

    #[test]
    fn stretches_are_found_from_the_end() {
        check("ohmytext", "mynewtext", &[(4, 5, 4), (2, 0, 2)]);
        check("", "abc", &[]);
        check("abc", "", &[]);
        check("abc", "abc", &[(0, 0, 3)]);
        check("abc", "xyz", &[]);
    }

    #[test]
    fn rows_longer_than_a_word_of_bits_work() {
        let a = format!("{}{}", "x".repeat(100), "needle");
        let b = format!("{}{}{}", "y".repeat(130), "needle", "z".repeat(70));
        check(&a, &b, &[(100, 130, 6)]);
    }

    #[test]
    fn the_limit_is_that_of_redis() {
        let bytes_max = 512 << 20;
        assert!(fits(11_584, 11_584, bytes_max));
        assert!(!fits(11_585, 11_585, bytes_max));
        assert!(!fits(1 << 40, 1 << 40, bytes_max));
    }
}
