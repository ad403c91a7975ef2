//! The checkpoint: up to which sequence number the tree has everything.
//!
//! The file `journal/checkpoint` has two sectors, written in turn, so that the older one is whole
//! whatever happens to the newer. Numbers are little-endian.
//!
//! ```text
//! file   = sector sector          a checkpoint of counter c is in sector c mod 2
//! sector = magic:8    "dRJchek\n"
//!          format:4   = 1
//!          sum:4      CRC-32C of the other 508 bytes
//!          counter:8  the higher one counts
//!          start:8    counts the starts of the server: salts of two starts differ (header.rs)
//!          seq:8
//!          zero:472
//! ```
//!
//! Nothing here knows what is done with segments before a checkpoint, or when the tree is synced.

use super::frame::{read_u32, read_u64};
use super::segments::make;
use super::{Error, MAKING};
use crate::base::variant::{Step, step};
use crate::disk::{Disk, File, Wait};
use crate::layout::op::Seq;
use std::io;

/// Path of the file.
pub const PATH: &str = "journal/checkpoint";
const SECTOR_BYTES: usize = 512;
const MAGIC: [u8; 8] = *b"dRJchek\n";
const FORMAT: u32 = 1;

/// One state of the checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Counts the writes.
    pub counter: u64,
    /// Counts the starts of the server.
    pub start: u64,
    /// The tree has everything up to here.
    pub seq: Seq,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is none: the journal was never completely made.
    Missing,
    /// Neither sector is intact.
    Damaged,
    /// The newer intact one.
    Checkpoint(Checkpoint),
}

/// Reads the newest checkpoint.
pub fn read(disk: &dyn Disk) -> Result<Found, Error> {
    let bytes = match disk.read(PATH, Wait::Yes) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
        Err(error) => return Err(Error::disk(PATH, error)),
    };
    let newest = bytes.chunks_exact(SECTOR_BYTES).filter_map(decode).max_by_key(|c| c.counter);
    Ok(newest.map_or(Found::Damaged, Found::Checkpoint))
}

/// Makes the file durably but for its name, which the next sync of the folder keeps.
pub fn create(disk: &dyn Disk, checkpoint: &Checkpoint) -> Result<(), Error> {
    let mut content = [0; 2 * SECTOR_BYTES];
    let at = place(checkpoint) as usize;
    content[at..at + SECTOR_BYTES].copy_from_slice(&encode(checkpoint));
    make(disk, PATH, content.len() as u64, || {
        disk.create(MAKING, &content).and_then(|()| disk.sync_file(MAKING))
    })
}

/// Writes checkpoints into the file.
pub struct Writer {
    file: Box<dyn File>,
    newest: Checkpoint,
}

impl Writer {
    /// Goes on behind `newest`.
    pub fn open(disk: &dyn Disk, newest: Checkpoint) -> Result<Writer, Error> {
        let file = disk.open(PATH).map_err(|error| Error::disk(PATH, error))?;
        Ok(Writer { file, newest })
    }

    /// Writes the next checkpoint and syncs it. After an error it must not be used again.
    pub fn write(&mut self, start: u64, seq: Seq) -> Result<(), Error> {
        let next = Checkpoint { counter: self.newest.counter + 1, start, seq };
        let mut result = self.file.write_at(place(&next), &encode(&next));
        if result.is_ok() && step(Step::SyncCheckpoint) {
            result = self.file.sync_data();
        }
        result.map_err(|error| Error::disk(PATH, error))?;
        self.newest = next;
        Ok(())
    }

    /// The newest checkpoint written.
    pub fn newest(&self) -> Checkpoint {
        self.newest
    }
}

fn place(checkpoint: &Checkpoint) -> u64 {
    checkpoint.counter % 2 * SECTOR_BYTES as u64
}

fn encode(checkpoint: &Checkpoint) -> [u8; SECTOR_BYTES] {
    let mut sector = [0; SECTOR_BYTES];
    sector[..8].copy_from_slice(&MAGIC);
    sector[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    let numbers = [checkpoint.counter, checkpoint.start, checkpoint.seq];
    for (place, number) in sector[16..40].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let sum = sum(&sector);
    sector[12..16].copy_from_slice(&sum.to_le_bytes());
    sector
}

fn decode(sector: &[u8]) -> Option<Checkpoint> {
    let intact = sector[..8] == MAGIC
        && read_u32(sector, 8) == FORMAT
        && read_u32(sector, 12) == sum(sector);
    intact.then(|| Checkpoint {
        counter: read_u64(sector, 16),
        start: read_u64(sector, 24),
        seq: read_u64(sector, 32),
    })
}

fn sum(sector: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&sector[..12]), &sector[16..])
}
