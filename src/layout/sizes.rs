//! Sizes: how many entries a directory of names has, as long as it has not changed.
//!
//! ```text
//! record = inode " " seconds "." nanoseconds " " count LF
//!          .dredis/sizes/<db>             how many keys a database has
//!          .dredis/counts/<inode>         how many elements a collection has
//! ```
//!
//! Example: `131 1763720000.000000042 100000`. Inode and time are those of the directory (its
//! ctime: mtimes are restored by copying tools), and `count` what the server knew when everything
//! was in the tree. A record is made only when the directory had then been unchanged for a second
//! by the file system's own clock: two changes can share a clock tick. It is derived: a missing,
//! torn or outdated one means that somebody has to count. Records are worth it for directories
//! that take long to count; what they count is not known here.

use std::io;
use std::time::{Duration, SystemTime};

use crate::base::variant::{Step, step};
use crate::disk::{Disk, Stat, Wait};
use crate::layout::op::Db;
use crate::layout::paths;
use crate::layout::reader::is_absent;

/// A directory has to have been unchanged for this long.
const SETTLED: Duration = Duration::from_secs(1);

/// Records that a database has `count` keys. The caller knows that nothing is pending for it and
/// has just synced the tree. Answers false, and leaves no record, where the directory changed less
/// than a second ago: try again at a later checkpoint.
pub fn record(disk: &dyn Disk, db: Db, count: u64) -> io::Result<bool> {
    make(disk, &paths::size(db), &paths::database(db), count)
}

/// The recorded count of a database, if its directory is the same and unchanged.
pub fn trusted(disk: &dyn Disk, db: Db) -> io::Result<Option<u64>> {
    let dir = disk.stat(&paths::database(db), Wait::Yes)?;
    look(disk, &paths::size(db), &dir)
}

/// Removes the record of a database.
pub fn forget(disk: &dyn Disk, db: Db) -> io::Result<()> {
    remove(disk, &paths::size(db))
}

/// [`record`] for any directory. Where it is missing there is nothing to record: false.
pub fn record_dir(disk: &dyn Disk, dir: &str, count: u64) -> io::Result<bool> {
    match disk.stat(dir, Wait::Yes) {
        Ok(stat) => make(disk, &paths::count(stat.inode), dir, count),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// [`trusted`] for any directory.
pub fn trusted_dir(disk: &dyn Disk, dir: &str) -> io::Result<Option<u64>> {
    match disk.stat(dir, Wait::Yes) {
        Ok(stat) => look(disk, &paths::count(stat.inode), &stat),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// [`forget`] for any directory, which is about to go.
pub fn forget_dir(disk: &dyn Disk, dir: &str) -> io::Result<()> {
    match disk.stat(dir, Wait::Yes) {
        Ok(stat) => remove(disk, &paths::count(stat.inode)),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn make(disk: &dyn Disk, path: &str, dir: &str, count: u64) -> io::Result<bool> {
    remove(disk, path)?;
    // The time of the new file is taken before the directory is looked at, not after.
    disk.create(path, b"")?;
    let now = disk.stat(path, Wait::Yes)?.changed;
    let dir = disk.stat(dir, Wait::Yes)?;
    let age = now.duration_since(dir.changed);
    let settled = age.is_ok_and(|age| age >= SETTLED) || !step(Step::SettleSize);
    if let Some(state) = state(&dir).filter(|_| settled) {
        disk.write_at(path, 0, format!("{state} {count}\n").as_bytes())?;
        return Ok(true);
    }
    remove(disk, path)?;
    Ok(false)
}

fn look(disk: &dyn Disk, path: &str, dir: &Stat) -> io::Result<Option<u64>> {
    let record = match disk.read(path, Wait::Yes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        record => record?,
    };
    let Some(text) = std::str::from_utf8(&record).ok().and_then(|text| text.strip_suffix('\n'))
    else {
        return Ok(None);
    };
    Ok(text.rsplit_once(' ').and_then(|(recorded, count)| {
        if Some(recorded) == state(dir).as_deref() { count.parse().ok() } else { None }
    }))
}

fn remove(disk: &dyn Disk, path: &str) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The directory's identity and time as they stand in a record; none before 1970.
fn state(dir: &Stat) -> Option<String> {
    let since = dir.changed.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(format!("{} {}.{:09}", dir.inode, since.as_secs(), since.subsec_nanos()))
}
