//! The walk over the tree: every entry is ours and sound, or a finding.
//!
//! It goes by path with `walkdir`, follows no link and enters no other file system's directory but
//! to be told so by the reader. Each key's directory is loaded as the server would load it; each
//! other entry is judged by its name and kind. Modes are hints only. It knows what lies where
//! (`docs/LAYOUT.md`); it does not know what the journal is, only which directories it will change.
//! What lies below a key is looked at in `key.rs`.

use super::report::{Database, Kind, Level, Report};
use super::{PROGRESS_ENTRIES, Pending};
use crate::disk::{self, Disk, Wait};
use crate::journal;
use crate::layout::names::{self, Entry};
use crate::layout::op::{DATABASES, Db};
use crate::layout::paths::{self, Part};
use crate::layout::reader::{Loaded, TreeReader, What};
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use walkdir::{DirEntry, WalkDir};

/// Mode of inodes with many names.
const SHARED_MODE: u32 = 0o444;
/// Permissions of others than the owner.
const OTHERS: u32 = 0o077;

/// Walks everything below `root` and adds what it finds to `report`.
///
/// # Errors
/// The markers of the databases cannot be read: no look-up would be right.
pub(super) fn walk(
    root: &Path,
    disk: Arc<dyn Disk>,
    pending: &Pending,
    report: &mut Report,
    progress: &dyn Fn(u64),
) -> io::Result<()> {
    let reader = TreeReader::open(disk.clone())?;
    let mut walk = Walk { root, disk, reader, pending, report, progress, entries: 0 };
    walk.top();
    walk.derived();
    walk.journal();
    for db in 0..DATABASES {
        let counts = walk.database(db);
        walk.report.databases.push(counts);
    }
    Ok(())
}

pub(super) struct Walk<'a> {
    root: &'a Path,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) reader: TreeReader,
    pending: &'a Pending,
    report: &'a mut Report,
    progress: &'a dyn Fn(u64),
    entries: u64,
}

impl Walk<'_> {
    /// What lies directly in ROOT_DIR.
    fn top(&mut self) {
        for entry in self.list("") {
            let name = entry.file_name();
            let is_dir = entry.file_type().is_dir();
            let path = shown(name);
            if name == paths::INCOMPLETE {
                let what = "a backup was being copied here and has not ended: no server opens this";
                self.report.add(Level::Problem, Kind::Incomplete, path, what);
            } else if is_ours(name) {
                match is_dir {
                    true => self.mode(&entry, path),
                    false => self.problem(Kind::Stranger, path, "expected a directory"),
                }
            } else if name.as_bytes().iter().all(u8::is_ascii_digit) {
                self.problem(Kind::Stranger, path, "no database: they are 0 to 15");
            } else {
                self.hint(Kind::Stranger, path, "nothing of a database: left alone");
            }
        }
    }

    /// What lies in `.dredis`: all of it can be made again.
    fn derived(&mut self) {
        let known_dirs =
            [paths::TMP, paths::TRASH, paths::LINKS, paths::EXPIRY, paths::SIZES, paths::COUNTS];
        let known_files = [paths::README, paths::LOCK];
        for entry in self.list(paths::DERIVED) {
            let path = format!("{}/{}", paths::DERIVED, shown(entry.file_name()));
            let kind = entry.file_type();
            let (dir, file) = (known_dirs.contains(&&*path), known_files.contains(&&*path));
            if !kind.is_dir() && !kind.is_file() || dir && !kind.is_dir() || file && kind.is_dir() {
                self.problem(Kind::Stranger, path, "in the way of the server's own: remove it");
            } else if !dir && !file {
                self.hint(Kind::Stranger, path, "nothing of this server: left alone");
            }
        }
        for (dir, fate) in [(paths::TMP, "emptied"), (paths::TRASH, "swept")] {
            let left = self.list(dir).count();
            if left > 0 {
                let what = format!("{left} entries, to be {fate} after the next start");
                self.hint(Kind::Leftover, dir.to_owned(), what);
            }
        }
    }

    /// The names in `journal/`; what the files hold is the journal's to judge.
    fn journal(&mut self) {
        for entry in self.list(paths::JOURNAL) {
            let name = entry.file_name();
            let path = format!("{}/{}", paths::JOURNAL, shown(name));
            let segment = name.as_bytes().starts_with(journal::SEGMENT_PREFIX);
            let file = segment
                || [
                    paths::JOURNAL_RECOVERING,
                    paths::JOURNAL_CHECKPOINT,
                    paths::JOURNAL_BACKUP,
                    journal::MAKING,
                ]
                .contains(&&*path);
            if file && !entry.file_type().is_file() {
                self.problem(Kind::Journal, path, "expected a regular file");
            } else if !file && path != paths::JOURNAL_MOVES {
                self.hint(Kind::Stranger, path, "nothing of the journal: left alone");
            }
        }
    }

    /// The entries of one directory; none where it is missing.
    fn list(&mut self, dir: &str) -> impl Iterator<Item = DirEntry> + use<> {
        let mut entries = Vec::new();
        self.each(dir, |_, entry| entries.push(entry));
        entries.into_iter()
    }

    /// Visits the entries of one directory; none where it is missing.
    pub(super) fn each(&mut self, dir: &str, mut visit: impl FnMut(&mut Self, DirEntry)) {
        for entry in WalkDir::new(self.root.join(dir)).min_depth(1).max_depth(1) {
            self.entries += 1;
            if self.entries.is_multiple_of(PROGRESS_ENTRIES) {
                (self.progress)(self.entries);
            }
            match entry {
                Ok(entry) => visit(self, entry),
                Err(error) => self.unreadable(&error),
            }
        }
    }

    /// A database: its keys, their names, and all else that lies there.
    fn database(&mut self, db: Db) -> Database {
        let mut counts = Database::default();
        self.each(&paths::database(db), |walk, entry| walk.entry(db, &entry, &mut counts));
        counts
    }

    /// An entry of a database.
    fn entry(&mut self, db: Db, entry: &DirEntry, counts: &mut Database) {
        let name = entry.file_name().as_bytes();
        let path = paths::within(&paths::database(db), &shown(entry.file_name()));
        let kind = entry.file_type();
        let stranger = match names::classify(name) {
            Entry::Stranger => "not the name of any key: see docs/LAYOUT.md, \"Names\"",
            Entry::Plain(_) | Entry::Hashed if !kind.is_dir() => {
                "expected a key's directory: no key by this name can be read"
            }
            Entry::Marker | Entry::Companion if !kind.is_file() => "expected a regular file",
            Entry::Marker => return,
            Entry::Companion => return self.companion(&paths::database(db), name, path),
            Entry::Plain(key) => {
                self.mode(entry, path.clone());
                return self.key(db, &key, path, counts);
            }
            Entry::Hashed => {
                self.mode(entry, path.clone());
                match self.resolve(&path) {
                    Ok(key) => return self.key(db, &key, path, counts),
                    Err((kind, what)) => return self.judge(db, &path, path.clone(), kind, what),
                }
            }
        };
        self.problem(Kind::Stranger, path, stranger);
    }

    /// A key's directory, read as the server reads it.
    fn key(&mut self, db: Db, key: &[u8], path: String, counts: &mut Database) {
        let found = self.reader.load(db, key, What::Len, Wait::Yes);
        let dir = self.reader.dir(db, key, Wait::Yes);
        let mut kind = None;
        match (found, dir) {
            (Ok(Some(Loaded { torn: Some(torn), .. })), Ok(dir)) if dir == path => {
                self.judge(db, &path, path.clone(), Kind::Damage, torn);
            }
            (Ok(Some(loaded)), Ok(dir)) if dir == path => {
                counts.keys += 1;
                counts.deadlines += u64::from(loaded.expires.is_some());
                counts.bytes += loaded.len;
                kind = Some(loaded.kind);
            }
            (Ok(Some(_)), Ok(dir)) => {
                let what = format!("the key is read from {dir}: this directory is never seen");
                self.judge(db, &path, path.clone(), Kind::LongName, what);
            }
            (Ok(None), Ok(_)) if self.has_type(&path) => {
                let marker = paths::marker(&paths::database(db));
                let what = format!("not found without the marker {marker}: create it, empty");
                self.judge(db, &path, path.clone(), Kind::LongName, what);
            }
            (Ok(None), Ok(_)) => {
                self.judge(db, &path, path.clone(), Kind::HalfKey, "no file `type`: not a key");
            }
            (Err(error), _) | (_, Err(error)) => {
                self.judge(db, &path, path.clone(), Kind::Damage, error.to_string());
            }
        }
        self.parts(db, key, &path, kind, counts);
    }

    /// The bytes that a hashed name stands for: its companion tells. Otherwise what is wrong.
    pub(super) fn resolve(&self, path: &str) -> Result<Vec<u8>, (Kind, String)> {
        let companion = format!("{path}{}", names::COMPANION);
        let name = path.rsplit('/').next().unwrap_or_default();
        match self.disk.read(&companion, Wait::Yes) {
            Ok(full) => match names::resolve(name.as_bytes(), &full) {
                Some(bytes) => Ok(bytes.into_owned()),
                None => {
                    let what = format!("{companion} is not its full name: it is not listed");
                    Err((Kind::LongName, what))
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err((Kind::LongName, format!("{companion} is missing: it is not listed")))
            }
            Err(error) => Err((Kind::Damage, error.to_string())),
        }
    }

    /// The file that holds a long name: what has it lies beside it.
    pub(super) fn companion(&mut self, dir: &str, name: &[u8], path: String) {
        let hashed = &name[..name.len() - names::COMPANION.len()];
        let named = self.root.join(dir).join(OsStr::from_bytes(hashed));
        if !named.exists() {
            self.hint(Kind::Leftover, path, "the full name of something that is not there");
        }
    }

    fn has_type(&self, dir: &str) -> bool {
        self.disk.stat(&paths::part(dir, Part::Type), Wait::Yes).is_ok()
    }

    /// A problem of a key, at a path; pending where the journal is about to change the key.
    pub(super) fn judge(
        &mut self,
        db: Db,
        key_dir: &str,
        path: String,
        kind: Kind,
        what: impl Into<String>,
    ) {
        let pending = self.pending.covers(db, key_dir);
        let level = if pending { Level::Pending } else { Level::Problem };
        self.report.add(level, kind, path, what);
    }

    pub(super) fn problem(&mut self, kind: Kind, path: String, what: impl Into<String>) {
        self.report.add(Level::Problem, kind, path, what);
    }

    /// How many problems were found until now.
    pub(super) fn problems(&self) -> u64 {
        self.report.count(Level::Problem)
    }

    pub(super) fn hint(&mut self, kind: Kind, path: String, what: impl Into<String>) {
        self.report.add(Level::Hint, kind, path, what);
    }

    /// A hint where others than the owner may read or write.
    pub(super) fn mode(&mut self, entry: &DirEntry, path: String) {
        let mode = match entry.metadata() {
            Ok(metadata) => metadata.permissions().mode() & 0o7777,
            Err(error) => return self.unreadable(&error),
        };
        if mode & OTHERS != 0 && mode != SHARED_MODE {
            let usual = if entry.file_type().is_dir() { "0700" } else { "0600" };
            self.hint(Kind::Mode, path, format!("mode {mode:04o}, usually {usual}"));
        }
    }

    fn unreadable(&mut self, error: &walkdir::Error) {
        let missing = error.io_error().is_some_and(|e| e.kind() == io::ErrorKind::NotFound);
        if missing && error.depth() <= 1 {
            return; // Made at the next start.
        }
        let path = error.path().and_then(|path| path.strip_prefix(self.root).ok());
        let path = path.map(|path| shown(path.as_os_str())).unwrap_or_default();
        let text = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
        let retry = error.io_error().is_some_and(disk::is_out_of_descriptors);
        let what = if retry { format!("{text}: raise the limit with ulimit -n") } else { text };
        self.problem(Kind::Unreadable, path, what);
    }
}

/// Whether this is a name that a server makes in ROOT_DIR, of a directory each.
fn is_ours(name: &OsStr) -> bool {
    name == paths::DERIVED
        || name == paths::JOURNAL
        || (0..DATABASES).any(|db| name == OsStr::new(&paths::database(db)))
}

/// A name as a terminal can show it: what is not text, or steers a terminal, as `\xNN`.
pub(super) fn shown(name: &OsStr) -> String {
    let mut out = String::new();
    let escape = |bytes: &[u8], out: &mut String| {
        for byte in bytes {
            let _ = write!(out, "\\x{byte:02x}"); // Writing to a String cannot fail.
        }
    };
    for chunk in name.as_bytes().utf8_chunks() {
        for one in chunk.valid().chars() {
            match one.is_control() {
                true => escape(one.encode_utf8(&mut [0; 4]).as_bytes(), &mut out),
                false => out.push(one),
            }
        }
        escape(chunk.invalid(), &mut out);
    }
    out
}
