//! `dredis repair`: mends in the tree of a cleanly stopped server what has one right answer.
//!
//! | what is wrong | what is done |
//! |---|---|
//! | `scores/` is missing or says something else than `values/` | it is made anew from `values/` |
//! | no `type`, or an empty one, and a content of one type only | the key gets its `type` |
//! | no `type` and no content | the directory goes |
//! | a collection without any element | the key goes |
//!
//! Of one type only are: `value` (string), `fields/` (hash), `values/` with empty files (set),
//! `values/` with scores beside `scores/` (sorted set). A directory with anything that is not part
//! of its key keeps it. Everything else is left, and told: what is damaged is not guessed, and
//! strangers are not touched. Afterwards the tree is checked as `dredis
//! check` does it. Needs the lock and a journal with nothing to replay, for that knows better.

use super::index::{self, Index};
use super::key::part_is_dir;
use super::report::{LISTED_MAX, Level, Report};
use super::{EXIT_PROBLEMS, EXIT_SOUND, EXIT_UNREADABLE, holds_database, look};
use crate::base::score::Score;
use crate::disk::real::{RealDisk, lock};
use crate::disk::{Disk, Kind, Wait};
use crate::journal;
use crate::layout::names::{self, Entry};
use crate::layout::op::{DATABASES, Db, Key, Type};
use crate::layout::paths::{self, Part};
use crate::layout::reader::{TreeReader, What};
use crate::layout::writer::TreeWriter;
use crate::layout::{hints, sizes};
use serde_json::{Value, json};
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Keys that are listed before they are looked at.
const BATCH_KEYS: usize = 1024;

/// What a repair did, and what it left.
pub struct Repaired {
    /// Where, and what was done there; the first [`LISTED_MAX`] of them.
    pub done: Vec<(String, String)>,
    /// How many of them there are.
    pub count: u64,
    /// What a check says of the tree as it is now.
    pub report: Report,
}

/// Repairs a directory, prints what was done, and answers the exit code.
pub fn run(dir: &Path, json: bool) -> u8 {
    let bar = super::progress_bar();
    let result = repair(dir, &|entries| bar.set_position(entries));
    bar.finish_and_clear();
    match result {
        Ok(repaired) => {
            let text = if json { format!("{:#}\n", repaired.json()) } else { repaired.text() };
            // Nobody reads on (`| head`): the exit code still tells.
            let _ = io::Write::write_all(&mut io::stdout(), text.as_bytes());
            if repaired.report.is_sound() { EXIT_SOUND } else { EXIT_PROBLEMS }
        }
        Err(text) => {
            eprintln!("dredis: {text}");
            EXIT_UNREADABLE
        }
    }
}

/// Repairs a directory. `progress` is told now and then how many entries were looked at.
///
/// # Errors
/// One line: there is no database, a server is using it, its journal has to be replayed first, or
/// the disk failed; what was done until then is sound.
pub fn repair(dir: &Path, progress: &dyn Fn(u64)) -> Result<Repaired, String> {
    let shown = dir.display();
    let failed = |error: io::Error| format!("cannot repair {shown}: {error}");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir).map_err(failed)?);
    holds_database(dir)?;
    let _lock = lock(dir).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => format!("a server is using {shown}: stop it first"),
        _ => failed(error),
    })?;
    if disk.stat(paths::INCOMPLETE, Wait::Yes).is_ok() {
        return Err(format!("{shown} is a backup that was interrupted: run scripts/backup again"));
    }
    if disk.stat(paths::JOURNAL, Wait::Yes).is_ok() {
        let journal = journal::inspect(&*disk, &mut |_| {});
        if let Some(problem) = journal.problems.first() {
            return Err(format!("cannot repair {shown}: {problem}"));
        }
        if journal.records > 0 || journal.from_backup {
            return Err(format!(
                "the journal of {shown} has records to replay: start and stop the server first"
            ));
        }
    }
    let mut repair = Repair::open(disk.clone()).map_err(failed)?;
    let mended = (0..DATABASES).try_for_each(|db| repair.database(db));
    mended.and_then(|()| repair.writer.sync()).map_err(|error| match repair.count {
        0 => failed(error),
        count => format!("{}; {count} were mended before", failed(error)),
    })?;
    let report = look(dir, disk, progress)?;
    Ok(Repaired { done: repair.done, count: repair.count, report })
}

impl Repaired {
    /// What was done and what is left, as lines of text.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n\n", self.report.root);
        for (path, what) in &self.done {
            let _ = writeln!(out, "{path}: {what}"); // Writing to a String cannot fail.
        }
        let unlisted = self.count - self.done.len() as u64;
        if unlisted > 0 {
            let _ = writeln!(out, "and {unlisted} more");
        }
        let _ = writeln!(out, "{} mended", self.count);
        self.report.text_of_level(Level::Problem, &mut out);
        out
    }

    /// The same as a JSON value.
    pub fn json(&self) -> Value {
        let done = self.done.iter().map(|(path, what)| json!({ "path": path, "what": what }));
        let mut out = self.report.json();
        out["mended_count"] = json!(self.count);
        out["mended"] = done.collect();
        out
    }
}

/// Whether an error says what lies in the tree (a symbolic link, a mount point, a content that is
/// none), and not that the disk failed.
fn speaks_of_the_tree(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, IsADirectory, NotADirectory};
    matches!(error.kind(), InvalidData | InvalidInput | IsADirectory | NotADirectory)
}

struct Repair {
    disk: Arc<dyn Disk>,
    writer: TreeWriter,
    reader: TreeReader,
    done: Vec<(String, String)>,
    count: u64,
}

/// What lies in a key's directory.
#[derive(Default)]
struct Parts {
    /// The parts but for `type` and `expires`, in the order of their names.
    names: Vec<String>,
    expires: bool,
    strangers: bool,
}

impl Repair {
    fn open(disk: Arc<dyn Disk>) -> io::Result<Repair> {
        let writer = TreeWriter::open(disk.clone())?;
        let reader = writer.reader();
        Ok(Repair { disk, writer, reader, done: Vec::new(), count: 0 })
    }

    fn database(&mut self, db: Db) -> io::Result<()> {
        let before = self.count;
        let mut position = Some(0);
        while let Some(from) = position {
            let mut keys: Vec<Key> = Vec::new();
            position = self.reader.keys(db, from, Some(BATCH_KEYS), &mut |name, _| {
                keys.push(Key::from(name));
                true
            })?;
            for key in &keys {
                match self.key(db, key) {
                    // The check at the end tells what is wrong.
                    Err(error) if speaks_of_the_tree(&error) => {}
                    done => done?,
                }
            }
        }
        if self.count > before {
            // A key that comes or goes inside its directory does not change that of the database.
            sizes::forget(&*self.disk, db)?;
        }
        Ok(())
    }

    fn key(&mut self, db: Db, key: &Key) -> io::Result<()> {
        let dir = self.reader.dir(db, key, Wait::Yes)?;
        match self.reader.load(db, key, What::Meta, Wait::Yes) {
            Ok(Some(loaded)) if loaded.kind == Type::String => Ok(()),
            Ok(Some(loaded)) => self.collection(db, key, &dir, loaded.kind),
            Ok(None) => self.half_key(db, key, &dir),
            Err(_) => match self.disk.read(&paths::part(&dir, Part::Type), Wait::Yes) {
                Ok(name) if name.is_empty() => self.half_key(db, key, &dir),
                // The check at the end tells what is wrong.
                _ => Ok(()),
            },
        }
    }

    /// A key with a type that has elements.
    fn collection(&mut self, db: Db, key: &Key, dir: &str, kind: Type) -> io::Result<()> {
        if self.reader.count_upto(db, key, kind, 1)?.0 == 0 {
            return self.emptied(db, key, dir, kind);
        }
        if kind != Type::Zset {
            return Ok(());
        }
        // What cannot be compared is left, and the check at the end tells of it.
        let what = match index::look(&*self.disk, &self.reader, db, key, dir) {
            Ok(Index::Missing) => "was missing".to_owned(),
            Ok(Index::Wrong(what)) => what,
            Ok(Index::Sound) | Err(_) => return Ok(()),
        };
        let built = self.writer.build_scores(db, key)?;
        let what = format!("{what}; made anew from {} members", built.members);
        self.note(paths::scores(dir), what);
        Ok(())
    }

    /// A collection without any element: it goes, unless something lies where they would, or what
    /// is there is of another type.
    fn emptied(&mut self, db: Db, key: &Key, dir: &str, kind: Type) -> io::Result<()> {
        let parts = self.parts(dir, Some(kind))?;
        if parts.strangers {
            return Ok(());
        }
        for part in &parts.names {
            if !self.is_empty(&paths::within(dir, part))? {
                return Ok(());
            }
        }
        self.writer.remove_key(db, key, dir)?;
        self.note(dir.to_owned(), format!("a {} without any element; removed", kind.name()));
        Ok(())
    }

    /// A directory without a type.
    fn half_key(&mut self, db: Db, key: &Key, dir: &str) -> io::Result<()> {
        if !self.is_dir(dir)? {
            return Ok(());
        }
        let parts = self.parts(dir, None)?;
        if parts.strangers {
            return Ok(());
        }
        let names: Vec<&str> = parts.names.iter().map(String::as_str).collect();
        let mut nothing = true;
        for part in &names {
            let path = paths::within(dir, part);
            nothing &= self.is_dir(&path)? && self.is_empty(&path)?;
        }
        if nothing {
            self.writer.remove_key(db, key, dir)?;
            self.note(dir.to_owned(), "no type and no content; removed".to_owned());
            return Ok(());
        }
        let Some(kind) = self.kind(db, key, &names)? else { return Ok(()) };
        if parts.expires {
            hints::set_complete(&*self.disk, false)?;
        }
        self.writer.put_type(dir, kind)?;
        self.note(paths::part(dir, Part::Type), format!("was missing; a {}", kind.name()));
        match kind {
            Type::Zset => self.collection(db, key, dir, kind),
            Type::String | Type::Hash | Type::Set => Ok(()),
        }
    }

    /// The only type that a key with these parts can have.
    fn kind(&self, db: Db, key: &Key, parts: &[&str]) -> io::Result<Option<Type>> {
        let kind = match parts {
            ["value"] => return Ok(Some(Type::String)),
            ["fields"] => Type::Hash,
            ["values"] => Type::Set,
            ["scores", "values"] => Type::Zset,
            _ => return Ok(None),
        };
        let (mut count, mut fit) = (0, true);
        // The contents of what is listed as a sorted set come along.
        let contents = if kind == Type::Set { Type::Zset } else { kind };
        self.reader.list_elements(
            db,
            key,
            contents,
            0,
            None,
            kind != Type::Hash,
            &mut |_, of| {
                count += 1;
                fit = match (kind, of) {
                    (Type::Set, Some(content)) => content.is_empty(),
                    (Type::Zset, Some(content)) => Score::from_content(&content).is_some(),
                    _ => true,
                };
                fit
            },
        )?;
        Ok(Some(kind).filter(|_| count > 0 && fit))
    }

    fn parts(&self, dir: &str, kind: Option<Type>) -> io::Result<Parts> {
        let mut parts = Parts::default();
        self.disk.list(dir, 0, &mut |entry| {
            match (part_is_dir(entry.name, kind), names::classify(entry.name)) {
                (Some(_), _) if entry.name == b"type" => {}
                (Some(_), _) if entry.name == b"expires" => parts.expires = true,
                (Some(is_dir), Entry::Plain(name)) if is_dir == (entry.kind == Kind::Dir) => {
                    parts.names.push(String::from_utf8_lossy(&name).into_owned());
                }
                _ => parts.strangers = true,
            }
            true
        })?;
        parts.names.sort_unstable();
        Ok(parts)
    }

    fn is_dir(&self, path: &str) -> io::Result<bool> {
        match self.disk.stat(path, Wait::Yes) {
            Ok(stat) => Ok(stat.kind == Kind::Dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn is_empty(&self, dir: &str) -> io::Result<bool> {
        self.disk.list(dir, 0, &mut |_| false)
    }

    fn note(&mut self, path: String, what: String) {
        self.count += 1;
        if self.count <= LISTED_MAX {
            self.done.push((path, what));
        }
    }
}
