//! What the tests of the tree share: a tree on a real disk, dumps of it, and a disk with faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tempfile::TempDir;

use crate::base::score::Score;
use crate::disk::real::RealDisk;
use crate::disk::{DirEntry, Disk, File, Kind, Space, Stat, Wait};
use crate::layout::groups;
use crate::layout::names::{self, Entry};
use crate::layout::op::{Change, Content, Core, Db, Element, Fate, Key, KeyChange, Type};
use crate::layout::reader::{Loaded, TreeReader, What};
use crate::layout::writer::{Applied, TreeWriter};

/// Everything below the numbered directories that is not an empty database: path and content,
/// directories with a slash.
pub type Dump = BTreeMap<String, Vec<u8>>;

pub fn key(bytes: &[u8]) -> Key {
    Key::from(bytes)
}

/// What a key is to be, owned.
#[derive(Clone, Default)]
pub struct Wanted {
    pub core: Core,
    pub elements: Vec<(Element, Option<Content>)>,
}

/// One part of what a key is to be.
pub enum Bit {
    Value(Content),
    Patch(u64, Content),
    Expires(Option<u64>),
    Element(Element, Option<Content>),
}

pub fn value(bytes: &[u8]) -> Bit {
    Bit::Value(Content::from(bytes))
}

pub fn patch(offset: u64, bytes: &[u8]) -> Bit {
    Bit::Patch(offset, Content::from(bytes))
}

pub fn expires(deadline: Option<u64>) -> Bit {
    Bit::Expires(deadline)
}

pub fn field(name: &[u8], content: &[u8]) -> Bit {
    Bit::Element(Element::Field(key(name)), Some(Content::from(content)))
}

pub fn no_field(name: &[u8]) -> Bit {
    Bit::Element(Element::Field(key(name)), None)
}

pub fn member(name: &[u8]) -> Bit {
    Bit::Element(Element::Member(key(name)), Some(Content::new()))
}

pub fn no_member(name: &[u8]) -> Bit {
    Bit::Element(Element::Member(key(name)), None)
}

pub fn score(value: f64) -> Score {
    Score::new(value).expect("a number")
}

/// What ZADD of a member leaves; `old` is the score that it had.
pub fn scored(name: &[u8], new: f64, old: Option<f64>) -> Vec<Bit> {
    let content = Content::from(score(new).name().into_bytes());
    let mut bits = vec![Bit::Element(Element::Member(key(name)), Some(content))];
    bits.extend(old.map(|old| Bit::Element(Element::Scored(score(old), key(name)), None)));
    bits.push(Bit::Element(Element::Scored(score(new), key(name)), Some(Content::new())));
    bits
}

/// What ZREM of a member leaves.
pub fn unscored(name: &[u8], old: f64) -> Vec<Bit> {
    vec![no_member(name), Bit::Element(Element::Scored(score(old), key(name)), None)]
}

/// A sorted set made anew.
pub fn zset(members: &[(&[u8], f64)]) -> Wanted {
    made(Type::Zset, members.iter().flat_map(|(name, of)| scored(name, *of, None)).collect())
}

/// A dump in which score groups are what they mean: lines in order, be they of a file or of a
/// directory.
pub fn meaning(dump: &Dump) -> Dump {
    let mut groups: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut rest = Dump::new();
    for (path, content) in dump {
        let Some((set, group)) = path.split_once("/scores/").filter(|(_, group)| !group.is_empty())
        else {
            rest.insert(path.clone(), content.clone());
            continue;
        };
        let (group, name) = group.split_once('/').unwrap_or((group, ""));
        let lines = groups.entry(format!("{set}/scores/{group}")).or_default();
        match names::classify(name.as_bytes()) {
            Entry::Stranger => lines.extend(groups::lines(content).map(<[u8]>::to_vec)),
            Entry::Plain(_) | Entry::Hashed => _ = lines.insert(name.as_bytes().to_vec()),
            Entry::Companion | Entry::Marker => {}
        }
    }
    for (path, lines) in groups {
        let lines: Vec<Vec<u8>> = lines.into_iter().collect();
        rest.insert(path, lines.join(&b'\n'));
    }
    rest
}

fn wanted(fate: Fate, bits: Vec<Bit>) -> Wanted {
    let mut wanted = Wanted::default();
    wanted.core.fate = fate;
    for bit in bits {
        let core = &mut wanted.core;
        match bit {
            Bit::Value(content) => {
                core.value = Some(Change { base: Some(content), patches: Vec::new() });
            }
            Bit::Patch(offset, data) => {
                core.value.get_or_insert_default().patches.push((offset, data));
            }
            Bit::Expires(deadline) => core.expires = Some(deadline),
            Bit::Element(element, content) => wanted.elements.push((element, content)),
        }
    }
    wanted
}

/// A key that stays what it is, but for these.
pub fn change(bits: Vec<Bit>) -> Wanted {
    wanted(Fate::Stays, bits)
}

/// A key made anew.
pub fn made(kind: Type, bits: Vec<Bit>) -> Wanted {
    wanted(Fate::Made(kind), bits)
}

/// A key that goes.
pub fn removed() -> Wanted {
    wanted(Fate::Removed, Vec::new())
}

/// A string made anew.
pub fn string(bytes: &[u8]) -> Wanted {
    made(Type::String, vec![value(bytes)])
}

/// One step of a test: databases cleared, then keys of database 0.
pub type Batch = (Vec<Db>, Vec<(Key, Wanted)>);

pub fn batch(changes: Vec<(&[u8], Wanted)>) -> Batch {
    (Vec::new(), changes.into_iter().map(|(name, change)| (key(name), change)).collect())
}

pub fn apply(writer: &mut TreeWriter, (dbs, changes): &Batch) -> io::Result<Applied> {
    writer.apply(dbs, &mut changes.iter().map(|(key, wanted)| wanted.change(key)))
}

impl Wanted {
    fn change<'a>(&'a self, key: &'a Key) -> KeyChange<'a> {
        let elements = self.elements.iter().map(|(element, content)| (element, content.as_ref()));
        KeyChange { db: 0, key, core: &self.core, elements: elements.collect() }
    }
}

/// A tree in a temporary directory, with a writer.
pub struct Tree {
    pub disk: Arc<Faulty>,
    pub writer: TreeWriter,
    pub reader: TreeReader,
    root: TempDir,
}

impl Tree {
    pub fn new() -> Tree {
        let root = tempfile::tempdir().expect("a temporary directory");
        Tree::open(root)
    }

    fn open(root: TempDir) -> Tree {
        let disk = Arc::new(Faulty::new(root.path()));
        let writer = TreeWriter::open(disk.clone()).expect("a writer");
        let reader = writer.reader();
        Tree { disk, writer, reader, root }
    }

    /// The same tree in a new process.
    pub fn reopen(self) -> Tree {
        Tree::open(self.root)
    }

    pub fn apply(&mut self, changes: Vec<(&[u8], Wanted)>) {
        let applied = apply(&mut self.writer, &batch(changes)).expect("applied");
        assert!(applied.failed.is_empty());
    }

    pub fn load(&self, name: &[u8]) -> Option<Loaded> {
        self.reader.load(0, name, What::Value, Wait::Yes).expect("loaded")
    }

    pub fn value(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.load(name).and_then(|loaded| loaded.value).map(|value| value.to_vec())
    }

    pub fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let end = self.reader.keys(0, 0, None, &mut |name, _| {
            keys.push(name.to_vec());
            true
        });
        assert_eq!(end.expect("listed"), None);
        keys.sort();
        keys
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub fn dump(&self) -> Dump {
        let mut dump = Dump::new();
        for db in 0..16 {
            walk(self.root.path(), &self.path(&db.to_string()), &mut dump);
        }
        dump
    }

    /// Nothing temporary is left.
    pub fn assert_tidy(&self) {
        let left: Vec<_> = fs::read_dir(self.path(".dredis/tmp")).expect("tmp").collect();
        assert!(left.is_empty(), "left in tmp: {left:?}");
    }
}

fn walk(root: &Path, dir: &Path, dump: &mut Dump) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
        if path.is_dir() {
            dump.insert(format!("{name}/"), Vec::new());
            walk(root, &path, dump);
        } else {
            dump.insert(name, fs::read(&path).expect("a file"));
        }
    }
}

/// A real disk that stops, is full or refuses links when it is told to, and always refuses
/// names that end in `!refused` (EOVERFLOW, as btrfs).
pub struct Faulty {
    real: RealDisk,
    /// Changing calls until every one of them fails.
    pub left: AtomicI64,
    /// Changing calls so far.
    pub calls: AtomicI64,
    /// Syncs so far.
    pub syncs: AtomicI64,
    /// No room for new files and directories.
    pub full: AtomicBool,
    /// No file gets a second name.
    pub links_refused: AtomicBool,
    /// No database and no key's directory can be renamed (EXDEV, as in a lower layer of overlayfs).
    pub dirs_stay: AtomicBool,
}

impl Faulty {
    fn new(root: &Path) -> Faulty {
        Faulty {
            real: RealDisk::open(root).expect("a real disk"),
            left: AtomicI64::new(i64::MAX),
            calls: AtomicI64::new(0),
            syncs: AtomicI64::new(0),
            full: AtomicBool::new(false),
            links_refused: AtomicBool::new(false),
            dirs_stay: AtomicBool::new(false),
        }
    }

    fn change(&self) -> io::Result<&RealDisk> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.left.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Ok(&self.real);
        }
        Err(io::Error::other("the machine is off"))
    }

    fn grow(&self) -> io::Result<&RealDisk> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.change()
    }
}

fn accept(path: &str) -> io::Result<()> {
    match path.ends_with("!refused") {
        true => Err(io::Error::from_raw_os_error(libc::EOVERFLOW)),
        false => Ok(()),
    }
}

impl Disk for Faulty {
    fn read(&self, path: &str, wait: Wait) -> io::Result<Vec<u8>> {
        self.real.read(path, wait)
    }
    fn stat(&self, path: &str, wait: Wait) -> io::Result<Stat> {
        self.real.stat(path, wait)
    }
    fn list(
        &self,
        dir: &str,
        position: u64,
        visit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> io::Result<bool> {
        self.real.list(dir, position, visit)
    }
    fn create(&self, path: &str, content: &[u8]) -> io::Result<()> {
        accept(path)?;
        self.grow()?.create(path, content)
    }
    fn create_shared(&self, path: &str, content: &[u8]) -> io::Result<()> {
        self.grow()?.create_shared(path, content)
    }
    fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change()?.write_at(path, offset, data)
    }
    fn append(&self, path: &str, data: &[u8]) -> io::Result<()> {
        self.grow()?.append(path, data)
    }
    fn create_zeroed(&self, path: &str, len: u64) -> io::Result<()> {
        self.grow()?.create_zeroed(path, len)
    }
    fn create_dir(&self, path: &str) -> io::Result<()> {
        accept(path)?;
        self.grow()?.create_dir(path)
    }
    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        if self.links_refused.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::EMLINK));
        }
        accept(to)?;
        self.change()?.link(from, to)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let stays = self.dirs_stay.load(Ordering::Relaxed) && from.as_bytes()[0].is_ascii_digit();
        if stays && self.stat(from, Wait::Yes)?.kind == Kind::Dir {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        }
        self.change()?.rename(from, to)
    }
    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        self.change()?.exchange(a, b)
    }
    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.change()?.remove_file(path)
    }
    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.change()?.remove_dir(path)
    }
    fn open(&self, path: &str) -> io::Result<Box<dyn File>> {
        self.real.open(path)
    }
    fn sync_file(&self, path: &str) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.change()?.sync_file(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.change()?.sync_dir(path)
    }
    fn sync_all(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.change()?.sync_all()
    }
    fn space(&self) -> io::Result<Space> {
        let mut space = self.real.space()?;
        if self.full.load(Ordering::Relaxed) {
            space.bytes_free = 0;
        }
        Ok(space)
    }
}
