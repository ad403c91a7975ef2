//! The tree writer: brings the files below ROOT_DIR up to what the ops say.
//!
//! It takes what is durable in the journal, coalesced a key at a time, and makes it true of the
//! tree; whatever was there before, and however often it is applied, the same tree comes out. It
//! decides how a name is encoded, hashed or linked, and whether a file is overwritten in place,
//! and knows nothing of the journal, of sequence numbers or of when it had better run.
//!
//! Order, for people who look: a key's other files come first and `type` last, and `type` goes
//! first. After a power cut that order means nothing, so nothing is skipped because it exists.
//! Only what is made from old content of the tree is synced before it replaces the old; all else
//! is durable at the next [`TreeWriter::sync`] that succeeds.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use crate::base::variant::{Step, step};
use crate::disk::{self, Disk, Kind, Wait};
use crate::layout::links::{Linked, Links};
use crate::layout::names::{self, Entry, Name};
use crate::layout::op::{Change, Content, DATABASES, Db, Fate, Key, KeyChange, Type};
use crate::layout::paths::{self, Part};
use crate::layout::reader::{Markers, TreeReader, is_absent};
use crate::layout::trash::{self, Trash};

pub use crate::layout::trash::Sweeper;

/// New content up to this size goes in place of what is not longer.
const IN_PLACE_BYTES_MAX: usize = 4096;
/// A key with more entries than this in its directory is removed by a rename.
const REMOVE_ENTRIES_MAX: usize = 1000;
/// How often, and after which pause, an operation that found no free descriptor is tried again.
const DESCRIPTOR_TRIES_MAX: usize = 3000;
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(10);
/// With this much room left, "no space" is the answer of a directory that takes no more names.
const ROOM_BYTES_MIN: u64 = 8 << 20;
const ROOM_INODES_MIN: u64 = 1024;

const README_TEXT: &str = "\
This directory belongs to the dredis server whose database is the directory above. Everything in
here can be made again from the numbered directories; leave it out of backups. It is safe to
delete while the server is stopped. In the tree, replace a `type` file instead of editing it: many
keys share one inode. docs/LAYOUT.md of dredis describes every file.
";

/// What a call of [`TreeWriter::apply`] did.
#[derive(Debug, Default)]
pub struct Applied {
    /// How many keys were brought up to date.
    pub keys: u64,
    /// Keys for which there was no room: apply their changes again once there is.
    pub failed: Vec<(Db, Key)>,
    /// The first error that said so.
    pub full: Option<io::Error>,
}

/// Writes the tree. One of them exists a ROOT_DIR.
pub struct TreeWriter {
    disk: Arc<dyn Disk>,
    reader: TreeReader,
    markers: Arc<Markers>,
    trash: Trash,
    links: Links,
    tmp_next: u64,
}

/// What came of making a key's directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    New,
    There,
    /// The file system does not take this name here.
    Refused,
}

impl TreeWriter {
    /// Makes the numbered directories and `.dredis` where they are missing, removes what an
    /// interrupted run left in `tmp` and `links`, and syncs ROOT_DIR. The trash stays for a
    /// [`Sweeper`]. No walk over keys. The caller holds the lock of ROOT_DIR.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<TreeWriter> {
        for dir in
            [paths::DERIVED, paths::TMP, paths::TRASH, paths::LINKS, paths::EXPIRY, paths::SIZES]
        {
            there(disk.create_dir(dir))?;
        }
        for db in 0..DATABASES {
            there(disk.create_dir(&paths::database(db)))?;
        }
        match there(disk.create(paths::README, README_TEXT.as_bytes())) {
            Err(error) if !disk::is_full(&error) => return Err(error),
            _ => {}
        }
        let mut trash = Trash::open(disk.clone())?;
        for (path, kind) in trash::entries(&*disk, paths::TMP, usize::MAX)? {
            match kind {
                Kind::Dir => trash.discard(&path)?,
                _ => absent(disk.remove_file(&path))?,
            }
        }
        let mut links = Links::open(disk.clone())?;
        // Ahead of the first key, whose reply waits for its files.
        links.provide(Type::String.name())?;
        disk.sync_dir(paths::DERIVED)?;
        disk.sync_dir("")?;
        let markers = Arc::new(Markers::find(&*disk)?);
        let reader = TreeReader::with_markers(disk.clone(), markers.clone());
        Ok(TreeWriter { disk, reader, markers, trash, links, tmp_next: 1 })
    }

    /// A reader for any thread that learns of the markers this writer makes.
    pub fn reader(&self) -> TreeReader {
        self.reader.clone()
    }

    /// Empties these databases and then brings about each change. A key that needs more room than
    /// there is, is reported, and the others go on; any other error leaves the rest undone, and
    /// what is done is not to be trusted: the server stops.
    pub fn apply<'a>(
        &mut self,
        cleared_dbs: &[Db],
        changes: &mut dyn Iterator<Item = KeyChange<'a>>,
    ) -> io::Result<Applied> {
        let mut applied = Applied::default();
        if step(Step::RemovalFirst) {
            self.clear(cleared_dbs)?;
        }
        for change in changes {
            match self.patiently(|writer| writer.apply_key(&change)) {
                Ok(()) => applied.keys += 1,
                Err(error) if disk::is_full(&error) => {
                    applied.failed.push((change.db, change.key.clone()));
                    applied.full.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        if !step(Step::RemovalFirst) {
            self.clear(cleared_dbs)?;
        }
        Ok(applied)
    }

    /// Makes all that was applied durable (syncfs). After an error nothing written since the last
    /// success is to be trusted: the server stops.
    pub fn sync(&mut self) -> io::Result<()> {
        if step(Step::SyncTree) { self.disk.sync_all() } else { Ok(()) }
    }

    /// Tries again while descriptors run out: that is no answer about the tree.
    fn patiently<T>(&mut self, work: impl Fn(&mut Self) -> io::Result<T>) -> io::Result<T> {
        for _ in 1..DESCRIPTOR_TRIES_MAX {
            match work(self) {
                Err(error) if disk::is_out_of_descriptors(&error) => {
                    thread::sleep(DESCRIPTOR_PAUSE);
                }
                done => return done,
            }
        }
        work(self)
    }

    fn clear(&mut self, dbs: &[Db]) -> io::Result<()> {
        dbs.iter().try_for_each(|&db| self.patiently(|writer| writer.clear_db(db)))
    }

    /// Exchanges a database for an empty directory, so that there is one at any moment.
    fn clear_db(&mut self, db: Db) -> io::Result<()> {
        let dir = paths::database(db);
        match self.disk.list(&dir, 0, &mut |_| false) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if is_absent(&error) => return self.disk.create_dir(&dir),
            Err(error) => return Err(error),
        }
        let new = self.tmp();
        match self.disk.create_dir(&new) {
            Err(error) if disk::is_full(&error) => self.clear_in_place(&dir)?,
            Err(error) => return Err(error),
            Ok(()) => match self.disk.exchange(&dir, &new) {
                Ok(()) => self.trash.discard(&new)?,
                Err(_) => {
                    // This file system cannot exchange; a start makes what a crash leaves out.
                    self.trash.discard(&dir)?;
                    self.disk.rename(&new, &dir)?;
                }
            },
        }
        self.markers.set(db, false);
        Ok(())
    }

    /// Empties a database entry by entry, which takes no room.
    fn clear_in_place(&mut self, dir: &str) -> io::Result<()> {
        loop {
            let entries = trash::entries(&*self.disk, dir, REMOVE_ENTRIES_MAX)?;
            if entries.is_empty() {
                return Ok(());
            }
            for (path, _) in entries {
                self.trash.discard(&path)?;
            }
        }
    }

    fn apply_key(&mut self, change: &KeyChange<'_>) -> io::Result<()> {
        let db = change.db;
        let name = names::encode(change.key);
        if !has_content(change) {
            if self.markers.get(db) && !name.is_hashed() {
                self.remove(db, &name.hashed(), change)?;
            }
            return self.remove(db, &name, change);
        }
        let settled = !name.is_hashed() && self.markers.get(db) && self.lies_hashed(db, &name)?;
        let name = if settled { name.hashed() } else { name };
        if self.write(db, &name, change)? == Made::Refused {
            self.mark(db)?;
            self.write(db, &name.hashed(), change)?;
        }
        Ok(())
    }

    /// Whether a key of a database with a marker lies under its hashed name.
    fn lies_hashed(&self, db: Db, name: &Name) -> io::Result<bool> {
        Ok(!self.is_dir(&paths::key_dir(db, name))?
            && self.is_dir(&paths::key_dir(db, &name.hashed()))?)
    }

    fn is_dir(&self, path: &str) -> io::Result<bool> {
        match self.disk.stat(path, Wait::Yes) {
            Ok(stat) => Ok(stat.kind == Kind::Dir),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a database's marker. It is synced before the first hashed name: were it lost and the
    /// name not, the key would be there twice.
    fn mark(&mut self, db: Db) -> io::Result<()> {
        if !self.markers.get(db) {
            there(self.disk.create(&paths::marker(db), b""))?;
            self.disk.sync_dir(&paths::database(db))?;
            self.markers.set(db, true);
        }
        Ok(())
    }

    /// Brings about a change of which nothing has content: the key goes, or some of its parts.
    fn remove(&mut self, db: Db, name: &Name, change: &KeyChange<'_>) -> io::Result<()> {
        let dir = paths::key_dir(db, name);
        if !change.core.fate.clears() {
            return self.remove_parts(&dir, change);
        }
        for part in [Part::Type, Part::Value] {
            self.remove_inline(&paths::part(&dir, part))?;
        }
        let mut removed = self.disk.remove_dir(&dir);
        if is_not_empty(&removed)
            && self.disk.remove_file(&paths::part(&dir, Part::Expires)).is_ok()
        {
            removed = self.disk.remove_dir(&dir);
        }
        if is_not_empty(&removed) {
            self.empty(&dir, &[])?;
            removed = self.disk.remove_dir(&dir);
        }
        if is_not_empty(&removed) {
            return Ok(()); // Strangers.
        }
        absent(removed)?;
        match name.is_hashed() {
            true => absent(self.disk.remove_file(&paths::companion(db, name))),
            false => Ok(()),
        }
    }

    /// Removes the absent parts of a change.
    fn remove_parts(&mut self, dir: &str, change: &KeyChange<'_>) -> io::Result<()> {
        match change.core.expires {
            Some(None) => self.remove_inline(&paths::part(dir, Part::Expires)),
            _ => Ok(()),
        }
    }

    /// Removes a file now, a directory by way of the trash.
    fn remove_inline(&mut self, path: &str) -> io::Result<()> {
        match self.disk.remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => self.trash.discard(path),
            done => absent(done),
        }
    }

    /// Removes what is in a key's directory but the entries named in `keep`, and strangers. A
    /// directory of many entries of which none is kept goes as a whole.
    fn empty(&mut self, dir: &str, keep: &[&str]) -> io::Result<()> {
        loop {
            let mut entries = trash::entries(&*self.disk, dir, REMOVE_ENTRIES_MAX)?;
            let more = entries.len() == REMOVE_ENTRIES_MAX;
            if more && keep.is_empty() {
                return self.trash.discard(dir);
            }
            entries.retain(|(path, _)| {
                let name = &path[dir.len() + 1..];
                let stranger = matches!(names::classify(name.as_bytes()), Entry::Stranger);
                !stranger && !keep.contains(&name)
            });
            for (path, kind) in &entries {
                match kind {
                    Kind::Dir => self.trash.discard(path)?,
                    _ => absent(self.disk.remove_file(path))?,
                }
            }
            if !more || entries.is_empty() {
                return Ok(());
            }
        }
    }

    /// Brings about a change of which something has content, under this name.
    fn write(&mut self, db: Db, name: &Name, change: &KeyChange<'_>) -> io::Result<Made> {
        let dir = paths::key_dir(db, name);
        let whole = change.core.fate.clears();
        let mut made = if whole { self.make_dir(db, name)? } else { Made::There };
        if made == Made::Refused {
            return Ok(made);
        }
        let mut written = self.write_parts(&dir, change, made);
        if !whole && matches!(&written, Err(e) if e.kind() == io::ErrorKind::NotFound) {
            made = self.make_dir(db, name)?;
            if made == Made::Refused {
                return Ok(made);
            }
            written = self.write_parts(&dir, change, made);
        }
        match written {
            Ok(()) => Ok(made),
            // A file has the name of the key's directory: a stranger, and not to be touched.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory && !name.is_hashed() => {
                Ok(Made::Refused)
            }
            Err(error) => {
                if made == Made::New {
                    // No half key where there was nothing; what cannot be removed is replayed.
                    let _ = self.empty(&dir, &[]);
                    let _ = self.disk.remove_dir(&dir);
                }
                Err(error)
            }
        }
    }

    fn make_dir(&mut self, db: Db, name: &Name) -> io::Result<Made> {
        if let Some(full) = name.full() {
            self.put(&paths::companion(db, name), full.as_bytes(), Made::New)?;
        }
        match self.disk.create_dir(&paths::key_dir(db, name)) {
            Ok(()) => Ok(Made::New),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Made::There),
            Err(error) if !name.is_hashed() && self.is_refusal(&error)? => {
                // A key must never come to lie in two places.
                let there = self.is_dir(&paths::key_dir(db, name))?;
                Ok(if there { Made::There } else { Made::Refused })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether an error of mkdir speaks of the name and not of the disk (RELIABILITY, 10).
    fn is_refusal(&mut self, error: &io::Error) -> io::Result<bool> {
        if disk::is_full(error) {
            let space = self.disk.space()?;
            if space.bytes_free < ROOM_BYTES_MIN || space.inodes_free < ROOM_INODES_MIN {
                return Ok(false);
            }
            // A quota, or room in pieces too small, does not show in the numbers.
            let elsewhere = self.tmp();
            return match self.disk.create_dir(&elsewhere) {
                Err(error) if disk::is_full(&error) => Ok(false),
                made => made.and_then(|()| self.disk.remove_dir(&elsewhere)).map(|()| true),
            };
        }
        let refusals = [Errno::OVERFLOW, Errno::NAMETOOLONG, Errno::INVAL, Errno::ILSEQ];
        let errno = disk::errno(error);
        Ok(refusals.iter().any(|refusal| errno == Some(refusal.raw_os_error())))
    }

    fn write_parts(&mut self, dir: &str, change: &KeyChange<'_>, made: Made) -> io::Result<()> {
        if step(Step::RemovalFirst) {
            self.strip(dir, change, made)?;
        }
        let core = change.core;
        let skip = core.fate.clears() && !step(Step::ReplayRewrites);
        let value = paths::part(dir, Part::Value);
        let exists = skip && self.disk.stat(&value, Wait::Yes).is_ok();
        if let Some(Change { base, patches }) = core.value.as_ref().filter(|_| !exists) {
            match base {
                Some(base) if patches.is_empty() => self.put(&value, base, made)?,
                Some(base) => self.put(&value, &patched(base, patches), made)?,
                None if core.fate.clears() => self.put(&value, &patched(&[], patches), made)?,
                None => self.patch(&value, patches)?,
            }
        }
        if let Some(Some(ms)) = core.expires {
            self.put(&paths::part(dir, Part::Expires), ms.to_string().as_bytes(), made)?;
        }
        if let Fate::Made(kind) = core.fate {
            self.put_type(&paths::part(dir, Part::Type), kind)?;
        }
        if !step(Step::RemovalFirst) {
            self.strip(dir, change, made)?;
        }
        Ok(())
    }

    /// Removes from a key's directory what a change with content removes, `type` first.
    fn strip(&mut self, dir: &str, change: &KeyChange<'_>, made: Made) -> io::Result<()> {
        if made == Made::New {
            return Ok(());
        }
        let core = change.core;
        if !core.fate.clears() {
            return self.remove_parts(dir, change);
        }
        if core.fate == Fate::Removed {
            absent(self.disk.remove_file(&paths::part(dir, Part::Type)))?;
        }
        // Without the step, removals come late and take what they should have come before.
        let first = step(Step::RemovalFirst);
        let kept = [
            (Part::Type, matches!(core.fate, Fate::Made(_))),
            (Part::Value, core.value.is_some()),
            (Part::Expires, matches!(core.expires, Some(Some(_)))),
        ];
        let kept: Vec<&str> = kept
            .into_iter()
            .filter(|(_, content)| first && *content)
            .map(|(part, _)| paths::part_name(part))
            .collect();
        self.empty(dir, &kept)
    }

    /// Gives a file this content, whatever is there.
    fn put(&mut self, path: &str, content: &[u8], made: Made) -> io::Result<()> {
        if made == Made::New {
            match self.disk.create(path, content) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done,
            }
        }
        let stat = match self.disk.stat(path, Wait::Yes) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.disk.create(path, content);
            }
            stat => stat?,
        };
        let in_place = stat.kind == Kind::File
            && stat.links == 1
            && stat.len <= content.len() as u64
            && content.len() <= IN_PLACE_BYTES_MAX;
        if in_place {
            match self.disk.write_at(path, 0, content) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                done => return done,
            }
        }
        self.replace(path, |writer, tmp| writer.disk.create(tmp, content)).map(|_| ())
    }

    /// Changes parts of a file; one that is missing begins as empty.
    fn patch(&mut self, path: &str, patches: &[(u64, Content)]) -> io::Result<()> {
        let stat = match self.disk.stat(path, Wait::Yes) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.disk.create(path, &patched(&[], patches));
            }
            stat => stat?,
        };
        if stat.kind == Kind::File && stat.links == 1 {
            let mut all = patches.iter();
            match all.try_for_each(|(offset, data)| self.disk.write_at(path, *offset, data)) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                done => return done,
            }
        }
        let content = patched(&self.disk.read(path, Wait::Yes)?, patches);
        self.replace(path, |writer, tmp| {
            writer.disk.create(tmp, &content)?;
            // It holds old content that no replay could bring back.
            writer.disk.sync_file(tmp)
        })
        .map(|_| ())
    }

    /// Makes a key's `type`: a link where that works, a plain file otherwise.
    fn put_type(&mut self, path: &str, kind: Type) -> io::Result<()> {
        let content = kind.name().as_bytes();
        match self.links.link(kind.name(), path)? {
            Linked::Done => return Ok(()),
            Linked::Refused => return self.put(path, content, Made::There),
            Linked::Exists => {}
        }
        if !step(Step::ReplayRewrites) {
            return Ok(());
        }
        let tmp =
            self.replace(path, |writer, tmp| match writer.links.link(kind.name(), tmp)? {
                Linked::Done => Ok(()),
                Linked::Exists | Linked::Refused => writer.disk.create(tmp, content),
            })?;
        // rename(2) between two names of one inode does nothing (RELIABILITY, 31).
        absent(self.disk.remove_file(&tmp))
    }

    /// Makes a temporary file and renames it to `path`, in place of a file or a directory. Answers
    /// its name.
    fn replace(
        &mut self,
        path: &str,
        make: impl FnOnce(&mut Self, &str) -> io::Result<()>,
    ) -> io::Result<String> {
        let tmp = self.tmp();
        let mut done = make(self, &tmp).and_then(|()| self.disk.rename(&tmp, path));
        if matches!(&done, Err(error) if error.kind() == io::ErrorKind::IsADirectory) {
            done = self.trash.discard(path).and_then(|()| self.disk.rename(&tmp, path));
        }
        match done {
            Ok(()) => Ok(tmp),
            Err(error) => {
                let _ = self.disk.remove_file(&tmp); // A start empties `tmp`.
                Err(error)
            }
        }
    }

    fn tmp(&mut self) -> String {
        self.tmp_next += 1;
        paths::tmp(self.tmp_next - 1)
    }
}

fn has_content(change: &KeyChange<'_>) -> bool {
    let core = change.core;
    matches!(core.fate, Fate::Made(_))
        || core.value.is_some()
        || matches!(core.expires, Some(Some(_)))
        || change.elements.iter().any(|(_, content)| content.is_some())
}

/// Content with patches applied in their order.
fn patched(base: &[u8], patches: &[(u64, Content)]) -> Vec<u8> {
    let mut content = base.to_vec();
    for (offset, data) in patches {
        let start = usize::try_from(*offset).expect("a value fits the address space");
        let end = start + data.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(data);
    }
    content
}

/// Something that is there already is as good as made.
fn there(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Something that is not there is as good as removed.
fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if is_absent(&error) => Ok(()),
        removed => removed,
    }
}

fn is_not_empty(removed: &io::Result<()>) -> bool {
    matches!(removed, Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty)
}
