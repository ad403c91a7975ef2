//! The mark of a backup: from where on a copy of the tree needs the journal.
//!
//! The file `journal/backup` is text, four lines:
//!
//! ```text
//! id <one line of text>
//! first <sequence number>
//! device <number>
//! inode <number>
//! ```
//!
//! Example: `id 7f3a`, `first 1042`, `device 2049`, `inode 131`. Device and inode are those of the
//! folder `journal/` of the live server. In the folder with that device and inode it is what a
//! crashed server left behind; anywhere else the folder is a copy, and replay starts at `first`.

use super::segments::make;
use super::{Error, FOLDER, MAKING};
use crate::disk::{Disk, Wait};
use crate::layout::op::Seq;
use std::io;

/// Path of the file.
pub const PATH: &str = "journal/backup";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The name of the backup.
    pub id: String,
    /// The first sequence number that a copy needs.
    pub first: Seq,
    device: u64,
    inode: u64,
}

/// The backup that this folder is a copy of or, with `false`, what a live server left behind.
pub fn read(disk: &dyn Disk) -> Result<Option<(Backup, bool)>, Error> {
    let bytes = match disk.read(PATH, Wait::Yes) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::disk(PATH, error)),
    };
    let Some(backup) = decode(&bytes) else {
        return Err(Error::Corrupt {
            file: PATH.to_string(),
            offset: 0,
            what: "expected the lines id, first, device and inode".to_string(),
            durable_claim: None,
        });
    };
    let (device, inode) = identity(disk)?;
    let copy = (backup.device, backup.inode) != (device, inode);
    Ok(Some((backup, copy)))
}

/// Writes the file durably but for its name, which the next sync of the folder keeps.
pub fn write(disk: &dyn Disk, id: &str, first: Seq) -> Result<(), Error> {
    assert!(!id.contains('\n'), "the id of a backup is one line");
    let (device, inode) = identity(disk)?;
    let text = format!("id {id}\nfirst {first}\ndevice {device}\ninode {inode}\n");
    make(disk, PATH, text.len() as u64, || {
        disk.create(MAKING, text.as_bytes()).and_then(|()| disk.sync_file(MAKING))
    })
}

/// Removes the file; the next sync of the folder makes it last.
pub fn remove(disk: &dyn Disk) -> Result<(), Error> {
    match disk.remove_file(PATH) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::disk(PATH, error)),
        _ => Ok(()),
    }
}

fn identity(disk: &dyn Disk) -> Result<(u64, u64), Error> {
    let stat = disk.stat(FOLDER, Wait::Yes).map_err(|error| Error::disk(FOLDER, error))?;
    Ok((stat.device, stat.inode))
}

fn decode(bytes: &[u8]) -> Option<Backup> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let id = value("id")?.to_string();
    let first = value("first")?.parse().ok().filter(|first| *first > 0)?;
    let device = value("device")?.parse().ok()?;
    let inode = value("inode")?.parse().ok()?;
    Some(Backup { id, first, device, inode })
}
