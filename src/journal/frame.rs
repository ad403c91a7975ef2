//! Frames: a record, or a piece of one, as it lies in a segment.
//!
//! Numbers are little-endian. Frames start at multiples of 8 and never leave their segment.
//!
//! ```text
//! frame   = magic:4  "dRJf"
//!           format:1 = 1                        of this header and of the ops
//!           kind:1   1 Full | 2 First | 3 Middle | 4 Last
//!           zero:2
//!           len:4                               bytes of the body
//!           sum:4                               CRC-32C of the other 60 bytes and the body
//!           seq:8 epoch:8
//!           durable:8                           newest sequence number durable at the writing
//!           time:8                              of the tick, Unix milliseconds
//!           salt:8                              of this use of the segment (header.rs)
//!           offset:8                            of the body in the record; 0 in Full and First
//!           body:len zero:0..7                  ops (ops.rs), padding
//! record  = Full | First Middle* Last           a chain may run over several segments
//! ```
//!
//! An example with every byte is in `docs/JOURNAL.md`.
//!
//! Whatever fails a check before the checksum, or the checksum, is not a frame; what passes it and
//! has an unknown format or kind was written by a newer version and is refused.

use crate::base::variant::{Step, step};
use crate::layout::op::Seq;

/// The first bytes of a frame.
pub const MAGIC: [u8; 4] = *b"dRJf";
/// The version of frames and ops.
pub const FORMAT: u8 = 1;
/// Bytes before the body.
pub const HEADER_BYTES: usize = 64;
/// Frames start at multiples of this.
pub const ALIGN: usize = 8;

/// Which piece of its record a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All of it.
    Full = 1,
    /// The first of several.
    First = 2,
    /// Neither the first nor the last.
    Middle = 3,
    /// The last one, which makes the record valid.
    Last = 4,
}

/// A frame without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which piece of the record.
    pub kind: Kind,
    /// The record's sequence number.
    pub seq: Seq,
    /// The record's epoch.
    pub epoch: u64,
    /// The newest sequence number known durable when this was written.
    pub durable: Seq,
    /// The record's time, Unix milliseconds.
    pub time_ms: u64,
    /// Salt of the segment.
    pub salt: u64,
    /// Offset of the body in the record.
    pub offset: u64,
}

/// What lies at some offset of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A frame, its body, and the offset behind it.
    Frame(Frame, &'a [u8], usize),
    /// No frame, and why.
    Bad(&'static str),
    /// An intact frame that this version does not understand.
    Unknown(String),
}

/// Bytes that a frame with a body of `len` bytes takes.
pub fn framed_bytes(len: usize) -> usize {
    HEADER_BYTES + len.next_multiple_of(ALIGN)
}

/// Appends a frame with its padding to `out`.
pub fn write(frame: &Frame, body: &[u8], out: &mut Vec<u8>) {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[4] = FORMAT;
    header[5] = frame.kind as u8;
    let len = u32::try_from(body.len()).expect("a frame is smaller than a segment");
    header[8..12].copy_from_slice(&len.to_le_bytes());
    let numbers = [frame.seq, frame.epoch, frame.durable, frame.time_ms, frame.salt, frame.offset];
    for (place, number) in header[16..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let sum = sum(&header, body);
    header[12..16].copy_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
    out.resize(out.len() + body.len().next_multiple_of(ALIGN) - body.len(), 0);
}

/// Reads the frame at `at` of a segment's bytes. With a salt, only frames of that salt are.
pub fn parse(segment: &[u8], at: usize, salt: Option<u64>) -> Parsed<'_> {
    let Some(header) = segment.get(at..at.saturating_add(HEADER_BYTES)) else {
        return Parsed::Bad("the segment ends");
    };
    if header[..4] != MAGIC {
        return Parsed::Bad(if header.iter().all(|b| *b == 0) { "zeros" } else { "no frame" });
    }
    let number = |i: usize| read_u64(header, 16 + 8 * i);
    if step(Step::CheckSalt) && salt.is_some_and(|salt| salt != number(4)) {
        return Parsed::Bad("a frame of an earlier use of the segment");
    }
    let len = read_u32(header, 8) as usize;
    let start = at + HEADER_BYTES;
    let Some(body) = segment.get(start..start.saturating_add(len)) else {
        return Parsed::Bad("a frame longer than its segment");
    };
    if step(Step::CheckFrameSum) && read_u32(header, 12) != sum(header, body) {
        return Parsed::Bad("a frame with a wrong checksum");
    }
    let kind = match (header[4], header[5]) {
        (FORMAT, 1) => Kind::Full,
        (FORMAT, 2) => Kind::First,
        (FORMAT, 3) => Kind::Middle,
        (FORMAT, 4) => Kind::Last,
        (FORMAT, kind) => return Parsed::Unknown(format!("a frame of the unknown kind {kind}")),
        (format, _) => return Parsed::Unknown(format!("a frame of the unknown format {format}")),
    };
    let frame = Frame {
        kind,
        seq: number(0),
        epoch: number(1),
        durable: number(2),
        time_ms: number(3),
        salt: number(4),
        offset: number(5),
    };
    Parsed::Frame(frame, body, start + len.next_multiple_of(ALIGN))
}

/// Finds, from `from` on, an intact frame that says that `seq` had been durable. Answers its
/// offset and what it says.
pub fn find_claim(
    segment: &[u8],
    from: usize,
    salt: Option<u64>,
    seq: Seq,
) -> Option<(usize, Seq)> {
    let mut at = from.next_multiple_of(ALIGN);
    while at + HEADER_BYTES <= segment.len() {
        // The checksum, which may cover megabytes, is worth it only for what would be a claim.
        let header = &segment[at..at + HEADER_BYTES];
        if header[..4] == MAGIC
            && read_u64(header, 32) >= seq
            && let Parsed::Frame(frame, ..) = parse(segment, at, salt)
        {
            return Some((at, frame.durable));
        }
        at += ALIGN;
    }
    None
}

/// CRC-32C of the header, its own place left out, and the body.
fn sum(header: &[u8], body: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&header[..12]);
    let sum = crc32c::crc32c_append(sum, &header[16..HEADER_BYTES]);
    crc32c::crc32c_append(sum, body)
}

/// A little-endian number of 4 bytes.
pub fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// A little-endian number of 8 bytes.
pub fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
