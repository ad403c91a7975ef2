//! The tree reader: what the files below ROOT_DIR say of keys.
//!
//! It answers from the tree alone; what the backlog knows better is merged by its callers. With
//! [`Wait::No`] it serves the event loop, else and for every listing the helper threads. It knows
//! names and parts, and deliberately nothing of caches, of commands, or of what the writer is about
//! to do. It shares with the writer one bit a database: whether the marker says that some names lie
//! there hashed. Files are decided by name only; a directory without `type` is not a key, and an
//! error is never "absent". What collections hold is read in [`super::collections`].

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::{Disk, Kind, Wait};
use crate::layout::listing::{Listing, Spans};
use crate::layout::op::{Content, DATABASES, Db, Key, Type};
use crate::layout::paths::Part;
use crate::layout::{names, paths};

/// How often a load that meets a key on its way out looks again.
const LOAD_TRIES_MAX: usize = 4;

/// So many files are read at once where a device is waited for: it answers several together.
pub const AHEAD_FILES: usize = 64;

/// What reading a file gave.
pub type FileRead = io::Result<Vec<u8>>;

/// How much of a key to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its type and deadline.
    Meta,
    /// These and the length of its value.
    Len,
    /// These and its value; of a collection only these.
    Value,
}

/// What the tree holds of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its type.
    pub kind: Type,
    /// Its deadline: Unix time in milliseconds.
    pub expires: Option<u64>,
    /// What is wrong with the file of the deadline. Where the backlog has the deadline it means
    /// nothing: the file may be torn by a power cut, or is just being written.
    pub torn: Option<String>,
    /// A string's value, with [`What::Value`].
    pub value: Option<Content>,
    /// Bytes of a string's value; 0 with [`What::Meta`].
    pub len: u64,
}

/// In which databases a marker lies: there the hashed name of a key is tried after the plain one.
#[derive(Debug, Default)]
pub(super) struct Markers([AtomicBool; DATABASES as usize]);

impl Markers {
    /// Looks for the markers of all databases.
    pub(super) fn find(disk: &dyn Disk) -> io::Result<Markers> {
        let markers = Markers::default();
        for db in 0..DATABASES {
            match disk.stat(&paths::marker(&paths::database(db)), Wait::Yes) {
                Ok(_) => markers.set(db, true),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(markers)
    }

    pub(super) fn set(&self, db: Db, there: bool) {
        self.0[usize::from(db)].store(there, Ordering::Release);
    }

    pub(super) fn get(&self, db: Db) -> bool {
        self.0[usize::from(db)].load(Ordering::Acquire)
    }
}

/// Reads the tree, from any number of threads at once. A clone shares everything.
#[derive(Clone)]
pub struct TreeReader {
    pub(super) disk: Arc<dyn Disk>,
    markers: Arc<Markers>,
    pub(super) spans: Spans,
}

impl TreeReader {
    /// A reader of a tree that no writer of this process changes. Beside a writer take
    /// [`super::writer::TreeWriter::reader`], which learns of new markers.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<TreeReader> {
        let markers = Arc::new(Markers::find(&*disk)?);
        Ok(TreeReader::with_markers(disk, markers))
    }

    pub(super) fn with_markers(disk: Arc<dyn Disk>, markers: Arc<Markers>) -> TreeReader {
        TreeReader { disk, markers, spans: Spans::default() }
    }

    /// What the tree holds of a key; none where there is no such key. One read for a key that is
    /// not there, two for [`What::Meta`], three otherwise.
    ///
    /// `WouldBlock` (with [`Wait::No`]): ask again on a helper. `InvalidData`: the tree is damaged
    /// there; the text says which path, what was expected and what came. Any other error names
    /// its path too.
    pub fn load(&self, db: Db, key: &[u8], what: What, wait: Wait) -> io::Result<Option<Loaded>> {
        self.find(db, key, |dir| self.load_dir(dir, what, wait))
    }

    /// Whether there is such a key. One read.
    pub fn is_key(&self, db: Db, key: &[u8], wait: Wait) -> io::Result<bool> {
        let found = self.find(db, key, |dir| self.optional(dir, Part::Type, wait))?;
        Ok(found.is_some())
    }

    /// The directory of a key below ROOT_DIR; where there is no such key, where it would lie. Asks
    /// the disk only in a database where some names lie hashed.
    pub fn dir(&self, db: Db, key: &[u8], wait: Wait) -> io::Result<String> {
        if !self.markers.get(db) {
            return Ok(paths::key_dir(db, &names::encode(key)));
        }
        let found = self.find(db, key, |dir| {
            Ok(self.optional(dir, Part::Type, wait)?.map(|_| dir.to_owned()))
        })?;
        Ok(found.unwrap_or_else(|| paths::key_dir(db, &names::encode(key))))
    }

    /// Reads files in their order. Those that are not in the kernel's caches are asked for together
    /// before the first of them is waited for; [`AHEAD_FILES`] are a good number. Large ones are
    /// held one at a time. May wait for the disk.
    pub(super) fn read_each(&self, paths: Vec<String>) -> impl Iterator<Item = FileRead> {
        let ahead: Vec<FileRead> =
            paths.iter().map(|path| self.disk.read(path, Wait::Ahead)).collect();
        ahead.into_iter().zip(paths).map(|(read, path)| match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.disk.read(&path, Wait::Yes)
            }
            read => read,
        })
    }

    /// Visits the names of a database from a directory position on (0 is the beginning), each with
    /// the position behind it, until `visit` answers false. About `limit` entries are looked at:
    /// the walk goes on until [`super::cursor::may_end`]. Answers the position to go on from; none
    /// at the end of the directory. May wait for the disk. A name is that of a directory, which
    /// [`TreeReader::is_key`] confirms to be a key: a half-made one has no `type`.
    pub fn keys(
        &self,
        db: Db,
        position: u64,
        limit: Option<usize>,
        visit: &mut dyn FnMut(&[u8], u64) -> bool,
    ) -> io::Result<Option<u64>> {
        self.listing(&paths::database(db))
            .visit(position, limit, &mut |found| Ok(visit(found.bytes, found.next)))
    }

    /// Counts the names of a database: a walk over its directory. May wait for the disk.
    pub fn count(&self, db: Db) -> io::Result<u64> {
        self.listing(&paths::database(db)).count(u64::MAX).map(|(count, _)| count)
    }

    /// Up to `limit` names of a database, a small number, that follow a place chosen by `seed`, and
    /// from the beginning on where that is near the end; all of them where there are no more. May
    /// wait for the disk. Names as with [`TreeReader::keys`].
    pub fn sample(&self, db: Db, seed: u64, limit: usize) -> io::Result<Vec<Key>> {
        self.listing(&paths::database(db)).sample(&self.spans, seed, limit)
    }

    fn listing<'a>(&'a self, dir: &'a str) -> Listing<'a> {
        Listing { disk: &*self.disk, dir, kind: Kind::Dir }
    }

    /// Asks `ask` for the plain name's directory and, where a marker lies, for the hashed one's.
    fn find<T>(
        &self,
        db: Db,
        key: &[u8],
        ask: impl Fn(&str) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        let name = names::encode(key);
        let answer = ask(&paths::key_dir(db, &name));
        let other = match &answer {
            Ok(found) => found.is_none(),
            Err(error) => error.kind() == io::ErrorKind::InvalidInput,
        };
        if !other || name.is_hashed() || !self.markers.get(db) {
            return answer;
        }
        match ask(&paths::key_dir(db, &name.hashed()))? {
            None => answer,
            found => Ok(found),
        }
    }

    fn load_dir(&self, dir: &str, what: What, wait: Wait) -> io::Result<Option<Loaded>> {
        for _ in 0..LOAD_TRIES_MAX {
            let Some(name) = self.optional(dir, Part::Type, wait)? else { return Ok(None) };
            let Some(kind) = Type::from_name(&name) else {
                return Err(damaged(dir, Part::Type, "the name of a type", &name));
            };
            let (expires, torn) = match self.expires(dir, wait) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    (None, Some(error.to_string()))
                }
                found => (found?, None),
            };
            let mut loaded = Loaded { kind, expires, torn, value: None, len: 0 };
            if kind != Type::String {
                return Ok(Some(loaded));
            }
            if self.load_value(dir, what, wait, &mut loaded)?.is_continue() {
                return Ok(Some(loaded));
            }
            // On its way out: `type` goes first. Or damage, if `type` stays.
        }
        Err(damaged(dir, Part::Value, "the value of a string", b""))
    }

    /// Fills in the value, as far as it is asked for; breaks where there is none.
    fn load_value(
        &self,
        dir: &str,
        what: What,
        wait: Wait,
        loaded: &mut Loaded,
    ) -> io::Result<ControlFlow<()>> {
        match what {
            What::Meta => {}
            What::Len => {
                let path = paths::part(dir, Part::Value);
                match self.disk.stat(&path, wait) {
                    Ok(stat) if stat.kind == Kind::File => loaded.len = stat.len,
                    Ok(_) => return Err(damaged(dir, Part::Value, "a file", b"something else")),
                    Err(error) if is_absent(&error) => return Ok(ControlFlow::Break(())),
                    Err(error) => return Err(error),
                }
            }
            What::Value => match self.optional(dir, Part::Value, wait)? {
                None => return Ok(ControlFlow::Break(())),
                Some(value) => {
                    loaded.len = value.len() as u64;
                    loaded.value = Some(Content::from(value));
                }
            },
        }
        Ok(ControlFlow::Continue(()))
    }

    fn expires(&self, dir: &str, wait: Wait) -> io::Result<Option<u64>> {
        let Some(text) = self.optional(dir, Part::Expires, wait)? else { return Ok(None) };
        let digits = text.strip_suffix(b"\n").unwrap_or(&text);
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        match number {
            Some(number) if digits[0].is_ascii_digit() => Ok(Some(number)),
            _ => Err(damaged(dir, Part::Expires, "a Unix time in milliseconds", &text)),
        }
    }

    /// The content of a part; none where it is absent.
    fn optional(&self, dir: &str, part: Part, wait: Wait) -> io::Result<Option<Vec<u8>>> {
        let path = paths::part(dir, part);
        match self.disk.read(&path, wait) {
            Ok(content) => Ok(Some(content)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether the error means that nothing is there: a file in the way of a directory is a stranger.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn damaged(dir: &str, part: Part, expected: &str, came: &[u8]) -> io::Error {
    damage(&paths::part(dir, part), expected, came)
}

/// The error of a file that is not what it has to be.
pub(super) fn damage(path: &str, expected: &str, came: &[u8]) -> io::Error {
    let came = match came {
        b"" => "nothing".to_owned(),
        came => names::encode_full(&came[..came.len().min(64)]),
    };
    io::Error::new(io::ErrorKind::InvalidData, format!("{path}: expected {expected}, got {came}"))
}
