//! `dredis check`: looks at the directory of a stopped server and reports what is wrong with it.
//!
//! It reads the journal, walks the databases and writes nothing. Whether a key can be read
//! is asked of the code that serves it ([`crate::layout::reader`]); what the walk adds is
//! everything that code passes over: strangers, half keys, lost names. `report.rs` says how
//! findings are shown, `tree.rs`, `key.rs` and `index.rs` look for them. [`repair`] mends some of
//! what a check finds, and is the only part that writes. Nothing here knows of the engine or of
//! clients.

mod index;
mod key;
pub mod repair;
mod report;
#[cfg(test)]
mod tests;
mod tree;

use crate::disk::Disk;
use crate::disk::real::RealDisk;
use crate::journal;
use crate::layout::op::{DATABASES, Db, Key, Op};
use crate::layout::{names, paths};
use indicatif::{ProgressBar, ProgressStyle};
pub use report::{Database, Finding, Kind, LISTED_MAX, Level, Report};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Exit code: nothing is lost or damaged.
pub const EXIT_SOUND: u8 = 0;
/// Exit code: problems were found.
pub const EXIT_PROBLEMS: u8 = 1;
/// Exit code: the directory could not be checked.
pub const EXIT_UNREADABLE: u8 = 2;

/// How often the count on the terminal moves.
const PROGRESS_TICK: Duration = Duration::from_millis(100);
/// The count on the terminal is told of every so many entries.
const PROGRESS_ENTRIES: u64 = 1_000;

/// Checks a directory, prints the report, and answers the exit code.
pub fn run(dir: &Path, json: bool) -> u8 {
    let bar = progress_bar();
    let result = examine(dir, &|entries| bar.set_position(entries));
    bar.finish_and_clear();
    match result {
        Ok(report) => {
            let text = if json { format!("{:#}\n", report.json()) } else { report.text() };
            // Nobody reads on (`| head`): the exit code still tells.
            let _ = io::Write::write_all(&mut io::stdout(), text.as_bytes());
            if report.is_sound() { EXIT_SOUND } else { EXIT_PROBLEMS }
        }
        Err(text) => {
            eprintln!("dredis: {text}");
            EXIT_UNREADABLE
        }
    }
}

/// A count on stderr; nothing where that is no terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} entries, {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(PROGRESS_TICK);
    bar
}

/// Checks a directory. `progress` is told now and then how many entries were looked at.
///
/// # Errors
/// One line: there is no database, a server is using it, or it cannot be read.
pub fn examine(dir: &Path, progress: &dyn Fn(u64)) -> Result<Report, String> {
    let shown = dir.display();
    let disk = RealDisk::open(dir).map_err(|error| format!("cannot check {shown}: {error}"))?;
    let _lock = lock_shared(dir)?;
    holds_database(dir)?;
    look(dir, Arc::new(disk), progress)
}

/// Whether something is there by that name.
fn here(dir: &Path, name: &str) -> bool {
    dir.join(name).symlink_metadata().is_ok()
}

/// Refuses what is no ROOT_DIR.
fn holds_database(dir: &Path) -> Result<(), String> {
    let any = (0..DATABASES).any(|db| here(dir, &paths::database(db)));
    match any || here(dir, paths::JOURNAL) {
        true => Ok(()),
        false => {
            Err(format!("{} holds no database: none of the directories 0 to 15", dir.display()))
        }
    }
}

/// The check itself, of a directory that no server uses.
fn look(dir: &Path, disk: Arc<dyn Disk>, progress: &dyn Fn(u64)) -> Result<Report, String> {
    let shown = dir.display();
    let mut report = Report::new(shown.to_string());
    let pending = read_journal(&*disk, here(dir, paths::JOURNAL), &mut report);
    tree::walk(dir, disk, &pending, &mut report, progress)
        .map_err(|error| format!("cannot check {shown}: {error}"))?;
    Ok(report)
}

/// Keeps servers away while the check lasts; none where no server ever ran.
fn lock_shared(dir: &Path) -> Result<Option<File>, String> {
    let path = dir.join(paths::LOCK);
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot open {}: {error}", path.display())),
    };
    match fs2::FileExt::try_lock_shared(&file) {
        Ok(()) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(format!(
            "a server is using {}: stop it first, or check a copy made by scripts/backup",
            dir.display()
        )),
        Err(error) => Err(format!("cannot lock {}: {error}", path.display())),
    }
}

/// What the journal is about to change, by where it lies.
#[derive(Default)]
struct Pending {
    dirs: HashSet<String>,
    databases: HashSet<Db>,
}

impl Pending {
    fn note(&mut self, op: &Op) {
        for place in op.places() {
            match place {
                (db, Some(key)) => self.note_key(db, key),
                (db, None) => {
                    self.databases.insert(db);
                }
            }
        }
    }

    /// A key lies under its name or, where the file system refused that, under the hashed one.
    fn note_key(&mut self, db: Db, key: &Key) {
        let name = names::encode(key);
        self.dirs.insert(paths::key_dir(db, &name));
        self.dirs.insert(paths::key_dir(db, &name.hashed()));
    }

    /// Whether replay writes anew, or removes, what lies in this directory of a key.
    fn covers(&self, db: Db, dir: &str) -> bool {
        self.databases.contains(&db) || self.dirs.contains(dir)
    }
}

fn read_journal(disk: &dyn Disk, exists: bool, report: &mut Report) -> Pending {
    let mut pending = Pending::default();
    if !exists {
        return pending;
    }
    let journal = journal::inspect(disk, &mut |record| {
        record.ops.iter().for_each(|op| pending.note(op));
    });
    for problem in &journal.problems {
        report.add(Level::Problem, Kind::Journal, paths::JOURNAL.to_owned(), problem);
    }
    report.journal = Some(journal);
    pending
}
