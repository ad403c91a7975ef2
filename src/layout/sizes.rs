//! Sizes: how many keys a database has, as long as its directory has not changed.
//!
//! ```text
//! record = inode " " seconds "." nanoseconds " " count LF         .dredis/sizes/<db>
//! ```
//!
//! Example: `131 1763720000.000000042 100000`. Inode and time are those of the database's
//! directory (its ctime: mtimes are restored by copying tools), and `count` what the server knew
//! when everything was in the tree. A record is made only when the directory had then been
//! unchanged for a second by the file system's own clock: two changes can share a clock tick. It is
//! derived: a missing, torn or outdated one means that somebody has to count.

use std::io;
use std::time::{Duration, SystemTime};

use crate::disk::{Disk, Stat, Wait};
use crate::layout::op::Db;
use crate::layout::paths;

/// A directory has to have been unchanged for this long.
const SETTLED: Duration = Duration::from_secs(1);

/// Records that a database has `count` keys. The caller knows that nothing is pending for it and
/// has just synced the tree. Answers false, and leaves no record, where the directory changed less
/// than a second ago: try again at a later checkpoint.
pub fn record(disk: &dyn Disk, db: Db, count: u64) -> io::Result<bool> {
    let path = paths::size(db);
    forget(disk, db)?;
    // The time of the new file is taken before the directory is looked at, not after.
    disk.create(&path, b"")?;
    let now = disk.stat(&path, Wait::Yes)?.changed;
    let dir = disk.stat(&paths::database(db), Wait::Yes)?;
    if now.duration_since(dir.changed).is_ok_and(|age| age >= SETTLED)
        && let Some(state) = state(&dir)
    {
        disk.write_at(&path, 0, format!("{state} {count}\n").as_bytes())?;
        return Ok(true);
    }
    forget(disk, db)?;
    Ok(false)
}

/// The recorded count of a database, if its directory is the same and unchanged.
pub fn trusted(disk: &dyn Disk, db: Db) -> io::Result<Option<u64>> {
    let record = match disk.read(&paths::size(db), Wait::Yes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        record => record?,
    };
    let dir = disk.stat(&paths::database(db), Wait::Yes)?;
    let Some(text) = std::str::from_utf8(&record).ok().and_then(|text| text.strip_suffix('\n'))
    else {
        return Ok(None);
    };
    Ok(text.rsplit_once(' ').and_then(|(recorded, count)| {
        if Some(recorded) == state(&dir).as_deref() { count.parse().ok() } else { None }
    }))
}

/// Removes the record of a database.
pub fn forget(disk: &dyn Disk, db: Db) -> io::Result<()> {
    match disk.remove_file(&paths::size(db)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The directory's identity and time as they stand in a record; none before 1970.
fn state(dir: &Stat) -> Option<String> {
    let since = dir.changed.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(format!("{} {}.{:09}", dir.inode, since.as_secs(), since.subsec_nanos()))
}
