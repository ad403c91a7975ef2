//! The longest common subsequence of two byte strings, as LCS replies it.
//!
//! Of several longest ones it finds the one that Redis finds. Redis keeps a table of 32-bit
//! lengths; going back through it only asks which of two neighbours is longer, so one bit a cell
//! and one row of lengths are enough here. Knows nothing of keys and replies.

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

/// The length of the longest common subsequence. Time is the product of both lengths, memory that
/// of the shorter string.
pub fn length(a: &[u8], b: &[u8]) -> usize {
    let (long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
    sweep(long, short, |_, _, _, _| {}) as usize
}

/// The stretches of the longest common subsequence, the last one first. Time is the product of
/// both lengths, memory as many bits.
pub fn matches(a: &[u8], b: &[u8]) -> Vec<Match> {
    let without_a = better_without_a(a, b);
    let (mut i, mut j) = (a.len(), b.len());
    let mut found = Vec::new();
    while i > 0 && j > 0 {
        let equal = a[..i].iter().rev().zip(b[..j].iter().rev());
        let len = equal.take_while(|(x, y)| x == y).count();
        if len > 0 {
            i -= len;
            j -= len;
            found.push(Match { a: i, b: j, len });
        } else if without_a.has((i - 1) * b.len() + j - 1) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    found
}

/// One bit for each pair of positions whose bytes differ: whether leaving out the byte of `a` is
/// the better choice. Where both choices are as good, the byte of `b` is left out.
fn better_without_a(a: &[u8], b: &[u8]) -> Bits {
    let mut bits = Bits(vec![0; (a.len() * b.len()).div_ceil(64)]);
    if b.len() <= a.len() {
        sweep(a, b, |i, j, above, left| bits.put(i * b.len() + j, above > left));
    } else {
        sweep(b, a, |j, i, above, left| bits.put(i * b.len() + j, left > above));
    }
    bits
}

struct Bits(Vec<u64>);

impl Bits {
    fn put(&mut self, at: usize, bit: bool) {
        self.0[at / 64] |= u64::from(bit) << (at % 64);
    }

    fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }
}

/// Goes through the table of lengths, a row for each byte of `down`, a column for each byte of
/// `across`, and answers the last length. `differ` is called where the bytes of a row and a column
/// differ, with both positions, the length above and the length to the left.
fn sweep(down: &[u8], across: &[u8], mut differ: impl FnMut(usize, usize, u32, u32)) -> u32 {
    let mut lengths = vec![0u32; across.len() + 1];
    for (row, x) in down.iter().enumerate() {
        let (mut corner, mut left) = (0, 0);
        for (column, y) in across.iter().enumerate() {
            let above = lengths[column + 1];
            let here = if x == y {
                corner + 1
            } else {
                differ(row, column, above, left);
                above.max(left)
            };
            lengths[column + 1] = here;
            (corner, left) = (above, here);
        }
    }
    lengths[across.len()]
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
    fn of_equals_the_byte_of_the_second_string_is_left_out() {
        check("ab", "ba", &[(1, 0, 1)]);
        check("abc", "ba", &[(1, 0, 1)]);
        check("ab", "bac", &[(1, 0, 1)]);
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
