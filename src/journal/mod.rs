//! The write-ahead journal: batches of ops, in order, that survive a power cut.
//!
//! The event loop encodes batches into a [`Group`]; a helper thread appends the group and syncs
//! it; the tree writer tells what the tree has ([`Journal::trim`]), and [`recover()`] gives back
//! what it has not. [`Segments`] keeps records in zero-filled, preallocated, recycled files below
//! `journal/`; behind the trait [`Journal`] nobody else knows of them. The bytes are described in
//! `docs/JOURNAL.md` and at the top of `ops.rs`, `frame.rs`, `header.rs`, `checkpoint.rs` and
//! `backup.rs`.
//!
//! The journal knows the `Disk` seam and how ops look as bytes. It does not know what an op means,
//! what the tree holds, or who waits for a record; it reads no clock and draws no random number.

use crate::layout::op::{Op, Seq};
use std::fmt;
use std::io;

pub mod backup;
pub mod checkpoint;
pub mod frame;
pub mod header;
pub mod ops;
pub mod recover;
pub mod replay;
pub mod segments;

#[cfg(test)]
mod tests;

pub use recover::{Recovered, Report, inspect, recover};
pub use segments::Segments;

/// The folder of the journal below ROOT_DIR.
pub const FOLDER: &str = "journal";
/// The file that takes a segment's kept content at recovery; never lent to appends.
pub const RECOVERING: &str = "journal/recovering";
/// A file being made: removed at recovery, renamed to its name when complete and synced.
pub const MAKING: &str = "journal/making";
/// What segments' names start with; a decimal id follows.
pub const SEGMENT_PREFIX: &[u8] = b"segment.";

/// Path of the segment with this id.
pub fn segment_path(id: u64) -> String {
    format!("{FOLDER}/segment.{id}")
}

/// The smallest size of a segment in bytes.
pub const SEGMENT_BYTES_MIN: u64 = 2048;

/// How the journal is sized.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Size of a segment file: a multiple of 512, at least [`SEGMENT_BYTES_MIN`].
    pub segment_bytes: u64,
    /// Bound of segment files that hold what the tree does not have or wait for use. Segments
    /// held only by a backup are not counted.
    pub segments_max: usize,
    /// Segment files kept for recycling, those in use included; surplus is deleted.
    pub segments_keep: usize,
    /// Spare segments that [`Journal::prepare`] keeps ahead.
    pub spares: usize,
    /// The file system writes elsewhere what is overwritten: segments are made anew instead of
    /// being recycled.
    pub copy_on_write: bool,
    /// Any number, a random one where chance is allowed: it goes into the salts.
    pub chance: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            segment_bytes: 16 << 20,
            segments_max: 128,
            segments_keep: 16,
            spares: 2,
            copy_on_write: false,
            chance: 0,
        }
    }
}

/// One batch as it comes out of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its sequence number.
    pub seq: Seq,
    /// The epoch it was written in: 1 on a single machine.
    pub epoch: u64,
    /// The time of the tick it belongs to, Unix milliseconds.
    pub time_ms: u64,
    /// Its effects, in order.
    pub ops: Vec<Op>,
}

/// What a group knows of one of its records; the body lies in the group's bytes.
#[derive(Clone, Copy, Debug)]
struct Head {
    seq: Seq,
    time_ms: u64,
    len: usize,
}

/// What waits for one write and one sync: encoded records, one behind the other.
#[derive(Debug, Default)]
pub struct Group {
    records: Vec<Head>,
    body: Vec<u8>,
}

impl Group {
    /// A group without records.
    pub fn new() -> Group {
        Group::default()
    }

    /// Encodes a record behind the others. Sequence numbers are consecutive.
    pub fn push(&mut self, seq: Seq, time_ms: u64, ops: &[Op]) {
        assert!(self.last().is_none_or(|last| last + 1 == seq), "records are consecutive");
        let start = self.body.len();
        ops::encode(ops, &mut self.body);
        self.records.push(Head { seq, time_ms, len: self.body.len() - start });
    }

    /// Whether there is no record in it.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes of journal that the group takes, but for the ends of segments it runs over.
    pub fn len_bytes(&self) -> u64 {
        let frames = self.records.len() * (frame::HEADER_BYTES + frame::ALIGN);
        (self.body.len() + frames) as u64
    }

    /// Sequence number of its first record.
    pub fn first(&self) -> Option<Seq> {
        self.records.first().map(|head| head.seq)
    }

    /// Sequence number of its last record.
    pub fn last(&self) -> Option<Seq> {
        self.records.last().map(|head| head.seq)
    }

    /// Forgets the records and keeps the memory, up to `bytes_max` of it.
    pub fn clear(&mut self, bytes_max: usize) {
        self.records.clear();
        self.body.clear();
        self.body.shrink_to(bytes_max);
    }
}

/// Where the journal stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The newest durable sequence number.
    pub durable: Seq,
    /// The newest appended sequence number.
    pub appended: Seq,
    /// The tree has everything up to here.
    pub checkpoint: Seq,
    /// Bytes appended since the checkpoint; rounded up to a sixteenth of a segment.
    pub bytes_live: u64,
    /// Bytes of segment files held by the backup alone.
    pub bytes_pinned: u64,
    /// Bytes that can be appended without a new file.
    pub bytes_room: u64,
    /// Segment files, spare ones included.
    pub segments: usize,
    /// Spare segments.
    pub spares: usize,
    /// First sequence number of the backup under way.
    pub pinned: Option<Seq>,
}

/// The journal as the rest of the server sees it.
pub trait Journal: Send {
    /// Writes the group; nothing of it is durable yet. `Full` changes nothing and may be tried
    /// again; any other error poisons the journal.
    fn append(&mut self, group: &Group) -> Result<(), Error>;
    /// Makes durable what was appended, by fdatasync of each segment written since the last
    /// call, and answers the newest durable sequence number. After an error the journal refuses
    /// everything: whether the bytes are on the disk is not known, and asking again would lie.
    fn sync(&mut self) -> Result<Seq, Error>;
    /// The newest durable sequence number.
    fn durable(&self) -> Seq;
    /// Visits the durable records from `from` on that the journal still has.
    fn read(&mut self, from: Seq, visit: &mut dyn FnMut(Record)) -> Result<(), Error>;
    /// The tree has all up to `applied` and is synced: records the checkpoint durably, then
    /// recycles the segments before it that no backup needs.
    fn trim(&mut self, applied: Seq) -> Result<(), Error>;
    /// Takes the next step of making a spare segment, if fewer than wanted are there; answers
    /// whether there is more to do. `Full` leaves things as they were before the first step.
    fn prepare(&mut self) -> Result<bool, Error>;
    /// A backup begins: writes `journal/backup` durably and keeps every record behind the
    /// checkpoint from now on. Answers the first sequence number kept. The id is one line of text.
    fn begin_backup(&mut self, id: &str) -> Result<Seq, Error>;
    /// The backup ends. False if it is not (any longer) under way: its copy is worth nothing.
    fn end_backup(&mut self, id: &str) -> Result<bool, Error>;
    /// Gives up the backup under way, if any: the journal holds too much for it.
    fn drop_pin(&mut self) -> Result<(), Error>;
    /// Where things stand; cheap.
    fn status(&self) -> Status;
}

/// Why the journal cannot do what was asked.
#[derive(Debug)]
pub enum Error {
    /// The disk failed at this path. Writes must stop.
    Disk {
        /// Path below ROOT_DIR.
        path: String,
        /// What the disk said.
        error: io::Error,
    },
    /// No room for one more file; nothing changed.
    Full {
        /// Size of the file, mostly a segment, that there is no room for.
        bytes: u64,
    },
    /// The journal holds what it should not, or lacks what was durable. Nothing changed.
    Corrupt {
        /// Path below ROOT_DIR.
        file: String,
        /// Byte offset in it.
        offset: u64,
        /// What was expected and what came.
        what: String,
        /// Sequence number that a later record says had been durable.
        durable_claim: Option<Seq>,
    },
    /// An earlier call failed: the journal refuses everything.
    Poisoned,
}

impl Error {
    /// An error of the disk at `path`.
    pub fn disk(path: &str, error: io::Error) -> Error {
        Error::Disk { path: path.to_string(), error }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Disk { path, error } => write!(f, "journal: {path}: {error}"),
            Error::Full { bytes } => {
                write!(f, "journal: no room for a file of {bytes} bytes; free some space")
            }
            Error::Corrupt { file, offset, what, durable_claim } => {
                write!(f, "journal is damaged: {file} at offset {offset}: {what}")?;
                if let Some(seq) = durable_claim {
                    write!(f, "; a later record says that {seq} was durable")?;
                }
                write!(
                    f,
                    "; nothing was changed: restore a backup, or move journal/ away to go on"
                )?;
                write!(f, " with what the tree has")
            }
            Error::Poisoned => {
                write!(f, "journal: stopped by an earlier error; restart the server")
            }
        }
    }
}

impl std::error::Error for Error {}
