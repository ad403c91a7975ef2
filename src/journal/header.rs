//! The header of a segment: the first 512 bytes of its file, one sector.
//!
//! Numbers are little-endian.
//!
//! ```text
//! header = magic:8       "dRJsegm\n"
//!          format:4      = 1
//!          sum:4         CRC-32C of the other 508 bytes
//!          generation:8  orders the segments: each use has a higher one than all before
//!          start:8       which start of the server wrote it (checkpoint.rs)
//!          salt:8        of this use: in each of its frames
//!          first:8       sequence number of the first frame; 0: nothing in the segment is valid
//!          continues:8   1: the first frame continues a chain of an earlier segment; else 0
//!          zero:456
//! ```
//!
//! A recycled segment gets a new header with its first frames; both are in the same sync. A segment
//! that recovery did not keep gets one whose `first` is 0: its generation stays known.

use crate::layout::op::Seq;

use super::frame::{read_u32, read_u64};

/// Bytes of the header: one sector, so that it is written whole or not at all.
pub const HEADER_BYTES: usize = 512;
/// The first bytes of a segment.
pub const MAGIC: [u8; 8] = *b"dRJsegm\n";
/// The version of the header.
pub const FORMAT: u32 = 1;

/// One use of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Orders the segments.
    pub generation: u64,
    /// Which start of the server wrote it.
    pub start: u64,
    /// What its frames carry.
    pub salt: u64,
    /// Sequence number of its first frame; 0 where nothing in it is valid.
    pub first: Seq,
    /// Whether its first frame continues a chain of an earlier segment.
    pub continues: bool,
}

/// What the first sector of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A segment in use, or void (`first` is 0).
    Header(Header),
    /// Zeros: never used.
    New,
    /// Written, and not intact.
    Damaged,
    /// Intact, of a version that this one does not know.
    Unknown(u32),
}

/// The salt of a use: unique as long as no two uses have the same start and generation.
pub fn salt(start: u64, generation: u64, chance: u64) -> u64 {
    let mut salt = chance;
    for number in [start, generation] {
        // The finaliser of splitmix64.
        salt = (salt ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        salt = (salt ^ (salt >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        salt = (salt ^ (salt >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        salt ^= salt >> 31;
    }
    salt
}

/// The sector of a header.
pub fn write(header: &Header) -> [u8; HEADER_BYTES] {
    let mut sector = [0; HEADER_BYTES];
    sector[..8].copy_from_slice(&MAGIC);
    sector[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    let continues = u64::from(header.continues);
    let numbers = [header.generation, header.start, header.salt, header.first, continues];
    for (place, number) in sector[16..56].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let sum = sum(&sector);
    sector[12..16].copy_from_slice(&sum.to_le_bytes());
    sector
}

/// Reads the header at the beginning of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    let Some(sector) = bytes.get(..HEADER_BYTES) else { return Parsed::Damaged };
    if sector.iter().all(|byte| *byte == 0) {
        return Parsed::New;
    }
    if sector[..8] != MAGIC || read_u32(sector, 12) != sum(sector) {
        return Parsed::Damaged;
    }
    match read_u32(sector, 8) {
        FORMAT => Parsed::Header(Header {
            generation: read_u64(sector, 16),
            start: read_u64(sector, 24),
            salt: read_u64(sector, 32),
            first: read_u64(sector, 40),
            continues: read_u64(sector, 48) != 0,
        }),
        format => Parsed::Unknown(format),
    }
}

fn sum(sector: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&sector[..12]), &sector[16..HEADER_BYTES])
}
