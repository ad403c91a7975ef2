//! Expiry hints: which keys to look at in which minute, a derived index of the `expires` files.
//!
//! ```text
//! file   = *line                                     .dredis/expiry/<minute>
//! line   = sum " " db " " name LF | LF
//! sum    = 8( "0".."9" | "a".."f" )                  CRC-32C of what is between it and LF
//! ```
//!
//! Example: `d4c99120 0 session:42`. The name is the full name of `names`, of any length, so no
//! line holds a line feed. Files are only appended to; each append begins with a line feed of its
//! own, so that a line torn by a crash spoils no other. A line whose sum is wrong is passed over: a
//! hint is never the truth, and whoever reads one looks the key up. A minute is Unix time in
//! milliseconds divided by 60,000.
//!
//! The file `complete` says that every deadline in the tree has a hint. Where it is missing
//! (somebody deleted `.dredis`) the server walks all keys slowly, files what it finds and makes
//! it. Hints are not synced one by one: append them before the syncfs of the checkpoint that
//! covers their keys, and replay appends what was lost. Knows nothing of clocks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;

use crate::disk::Disk;
use crate::layout::op::{DATABASES, Db, Key};
use crate::layout::{names, paths};

const CHUNK_BYTES: usize = 64 << 10;

/// Hints read from a file, and where to go on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Keys to look at, in the order they were filed; the same one may come twice.
    pub keys: Vec<(Db, Key)>,
    /// Offset of what is not read yet; none at the end of the file.
    pub next: Option<u64>,
}

/// Files keys under the minutes in which they expire. One append a minute.
pub fn append(disk: &dyn Disk, hints: &[(u64, Db, &[u8])]) -> io::Result<()> {
    let mut files: BTreeMap<u64, String> = BTreeMap::new();
    for &(minute, db, key) in hints {
        let text = files.entry(minute).or_insert_with(|| "\n".to_owned());
        let body = format!(" {db} {}", names::encode_full(key));
        let _ = writeln!(text, "{:08x}{body}", crc32c::crc32c(body.as_bytes()));
    }
    for (minute, text) in files {
        disk.append(&paths::expiry(minute), text.as_bytes())?;
    }
    Ok(())
}

/// Reads hints of a minute from `offset` on until `limit` keys or the end; a missing file is empty.
pub fn read(disk: &dyn Disk, minute: u64, offset: u64, limit: usize) -> io::Result<Hints> {
    let mut hints = Hints::default();
    let file = match disk.open(&paths::expiry(minute)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(hints),
        file => file?,
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut pending: Vec<u8> = Vec::new();
    let (mut at, mut done) = (offset, offset);
    loop {
        let got = file.read_at(at, &mut chunk)?;
        if got == 0 {
            return Ok(hints); // What is pending is a torn tail.
        }
        at += got as u64;
        let mut rest = &chunk[..got];
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            if hints.keys.len() >= limit {
                hints.next = Some(done);
                return Ok(hints);
            }
            pending.extend_from_slice(&rest[..end]);
            hints.keys.extend(parse(&pending));
            done += pending.len() as u64 + 1;
            pending.clear();
            rest = &rest[end + 1..];
        }
        pending.extend_from_slice(rest);
    }
}

/// The minutes that have hints, the earliest first.
pub fn minutes(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let mut minutes = Vec::new();
    disk.list(paths::EXPIRY, 0, &mut |entry| {
        minutes.extend(number(entry.name));
        true
    })?;
    minutes.sort_unstable();
    Ok(minutes)
}

/// Removes the hints of a minute, if there are any.
pub fn remove(disk: &dyn Disk, minute: u64) -> io::Result<()> {
    absent(disk.remove_file(&paths::expiry(minute)))
}

/// Whether every deadline in the tree has a hint.
pub fn is_complete(disk: &dyn Disk) -> io::Result<bool> {
    match disk.stat(paths::EXPIRY_COMPLETE, crate::disk::Wait::Yes) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Records whether every deadline in the tree has a hint.
pub fn set_complete(disk: &dyn Disk, complete: bool) -> io::Result<()> {
    if !complete {
        return absent(disk.remove_file(paths::EXPIRY_COMPLETE));
    }
    match disk.create(paths::EXPIRY_COMPLETE, b"") {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

fn absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// A canonical decimal number.
fn number(name: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(name).ok()?;
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn parse(line: &[u8]) -> Option<(Db, Key)> {
    let (sum, body) = line.split_at_checked(8)?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    if crc32c::crc32c(body) != sum {
        return None;
    }
    let body = body.strip_prefix(b" ")?;
    let space = body.iter().position(|&byte| byte == b' ')?;
    let db = number(&body[..space])?;
    let key = names::decode_full(&body[space + 1..])?;
    (db < u64::from(DATABASES)).then(|| (db as Db, Key::from(key.as_ref())))
}
