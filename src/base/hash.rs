//! Hashes of bytes: the cluster's slot of a key, a fast 64-bit hash, and one for tables of names.
//!
//! The first two are the same on every machine and in every run; the last one differs from run to
//! run, so that clients cannot choose names that collide. None is for secrets.

use hashbrown::DefaultHashBuilder;
use std::hash::BuildHasher;
use std::sync::LazyLock;

/// Number of slots that keys fall into, as in Redis Cluster.
pub const SLOTS: u16 = 16_384;

/// CRC-16/XMODEM, one byte at a time.
const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// The slot of a key: of what stands between its first `{` and the next `}` where that is not
/// empty, else of all of it.
pub fn slot(key: &[u8]) -> u16 {
    crc16(tag(key)) % SLOTS
}

fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else { return key };
    let inner = &key[open + 1..];
    match inner.iter().position(|&byte| byte == b'}') {
        Some(len) if len > 0 => &inner[..len],
        _ => key,
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| (crc << 8) ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)])
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const ADDEND: u64 = 0xd1b5_4a32_d192_ed03;

/// A 64-bit hash of `bytes`; all of its bits are good. Another seed is another function: one that
/// clients do not know keeps them from choosing keys that collide.
#[inline]
pub fn hash64(bytes: &[u8], seed: u64) -> u64 {
    let mut hash = fold(seed ^ ADDEND, MULTIPLIER ^ bytes.len() as u64);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word), MULTIPLIER).wrapping_add(ADDEND);
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    hash = fold(hash ^ u64::from_le_bytes(last), MULTIPLIER).wrapping_add(ADDEND);
    fold(hash ^ (hash >> 32), ADDEND | 1)
}

/// The hash of a name in the tables of this process.
#[inline]
pub fn name_hash(name: &[u8]) -> u64 {
    static HASHER: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);
    HASHER.hash_one(name)
}

/// Both halves of the product, folded into one.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn slots_are_redis_own() {
        // As CLUSTER KEYSLOT answers.
        for (key, expect) in [
            (&b"foo"[..], 12_182),
            (b"", 0),
            (b"123456789", 12_739),
            (b"{user1000}.following", 3_443),
            (b"{user1000}.followers", 3_443),
        ] {
            assert_eq!(slot(key), expect, "{}", key.escape_ascii());
        }
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
    }

    #[test]
    fn hashes_spread() {
        let keys = (0..100_000u32).map(|n| format!("key:{n:06}"));
        let hashes: Vec<u64> = keys.map(|key| hash64(key.as_bytes(), 0)).collect();
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len());
        for bit in 0..64 {
            let ones = hashes.iter().filter(|hash| *hash >> bit & 1 == 1).count();
            assert!((49_000..51_000).contains(&ones), "bit {bit}: {ones}");
        }
        for len in 0..40 {
            assert_ne!(hash64(&vec![0; len], 0), hash64(&vec![0; len + 1], 0));
            assert_ne!(hash64(&vec![0; len], 0), hash64(&vec![0; len], 1));
        }
    }
}
