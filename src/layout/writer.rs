//! The tree writer: brings the files below ROOT_DIR up to what the ops say.
//!
//! It takes what is durable in the journal, coalesced a key at a time, and makes it true of the
//! tree; whatever was there before, and however often it is applied, the same tree comes out. It
//! decides in which order the files of a key come and go; `files` and `entries` know how a file and
//! a name are written, `elements` and `regroup` what a collection consists of. It knows nothing of
//! the journal, of sequence numbers or of when it had better run.
//!
//! Order, for people who look: a key's other files come first and `type` last, and `type` goes
//! first. After a power cut that order means nothing, so nothing is skipped because it exists.
//! Only what is made from old content of the tree is synced before it replaces the old; all else
//! is durable at the next [`TreeWriter::sync`] that succeeds.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::base::variant::{Step, step};
use crate::disk::{self, Disk, Kind, Wait};
use crate::layout::entries::NameDir;
use crate::layout::files::{Files, Made, absent, patched, there};
use crate::layout::index::Built;
use crate::layout::links::Shared;
use crate::layout::names::{self, Name};
use crate::layout::op::{Change, Core, DATABASES, Db, Fate, Key, KeyChange, Type};
use crate::layout::paths::{self, Part};
use crate::layout::reader::{Markers, TreeReader, is_absent};
use crate::layout::regroup::Regroup;
use crate::layout::{elements, index, trash};

pub use crate::layout::trash::Sweeper;

/// Entries that are taken out of a full database at a time.
const CLEAR_ENTRIES_MAX: usize = 1000;
/// How often, and after which pause, an operation that found no free descriptor is tried again.
const DESCRIPTOR_TRIES_MAX: usize = 3000;
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(10);

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
    pub(super) files: Files,
    reader: TreeReader,
    pub(super) markers: Arc<Markers>,
    regroup: Regroup,
}

/// Makes all that was written to the tree until now durable (syncfs), whatever is written
/// meanwhile. After an error nothing written since the last success is to be trusted: the server
/// stops.
pub fn sync(disk: &dyn Disk) -> io::Result<()> {
    if step(Step::SyncTree) { disk.sync_all() } else { Ok(()) }
}

impl TreeWriter {
    /// Makes the numbered directories and `.dredis` where they are missing, removes what an
    /// interrupted run left in `tmp` and `links`, and syncs ROOT_DIR. The trash stays for a
    /// [`Sweeper`]. No walk over keys. The caller holds the lock of ROOT_DIR.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<TreeWriter> {
        for dir in [
            paths::DERIVED,
            paths::TMP,
            paths::TRASH,
            paths::LINKS,
            paths::EXPIRY,
            paths::SIZES,
            paths::COUNTS,
        ] {
            there(disk.create_dir(dir))?;
        }
        for db in 0..DATABASES {
            there(disk.create_dir(&paths::database(db)))?;
        }
        match there(disk.create(paths::README, README_TEXT.as_bytes())) {
            Err(error) if !disk::is_full(&error) => return Err(error),
            _ => {}
        }
        let files = Files::open(disk.clone())?;
        disk.sync_dir(paths::DERIVED)?;
        disk.sync_dir("")?;
        let markers = Arc::new(Markers::find(&*disk)?);
        let reader = TreeReader::with_markers(disk, markers.clone());
        Ok(TreeWriter { files, reader, markers, regroup: Regroup::default() })
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
        self.patiently(|writer| writer.regroup.settle(&mut writer.files))?;
        for key in self.regroup.failed.drain(..) {
            if !applied.failed.contains(&key) {
                applied.keys -= 1;
                applied.failed.push(key);
            }
        }
        if let Some(error) = self.regroup.full.take() {
            applied.full.get_or_insert(error);
        }
        if !step(Step::RemovalFirst) {
            self.clear(cleared_dbs)?;
        }
        Ok(applied)
    }

    /// Makes all that was applied durable: see [`sync`].
    pub fn sync(&mut self) -> io::Result<()> {
        sync(&*self.files.disk)
    }

    /// Removes the index of a sorted set: who copied it while it changed does not trust it. A
    /// missing one is derived from the members.
    pub fn drop_scores(&mut self, db: Db, key: &Key) -> io::Result<()> {
        let dir = self.reader.dir(db, key, Wait::Yes)?;
        self.files.trash.discard(&paths::scores(&dir))
    }

    /// Gives what lies in a key's directory a type: the key is there then.
    pub fn put_type(&mut self, key_dir: &str, kind: Type) -> io::Result<()> {
        self.files.share(&paths::part(key_dir, Part::Type), Shared::Type(kind))
    }

    /// Removes a key that a reader has found in this directory, and nothing that lies elsewhere by
    /// the same name. The caller knows that nothing is pending for it. Strangers stay.
    pub fn remove_key(&mut self, db: Db, key: &Key, dir: &str) -> io::Result<()> {
        let plain = names::encode(key);
        let is_plain = dir == paths::key_dir(db, &plain);
        let name = if is_plain { plain } else { plain.hashed() };
        let core = Core { fate: Fate::Removed, ..Core::default() };
        self.remove(db, &name, &KeyChange { db, key, core: &core, elements: Vec::new() })
    }

    /// Makes the index of a sorted set (`scores/`) from its members, in place of the one that is
    /// there or where it is missing: as many reads as there are members, and a sync. The caller
    /// knows that nothing is pending for the key.
    pub fn build_scores(&mut self, db: Db, key: &Key) -> io::Result<Built> {
        index::build(&mut self.files, &mut self.regroup, &self.reader, db, key)
    }

    /// Tries again while descriptors run out: that is no answer about the tree.
    pub(super) fn patiently<T>(
        &mut self,
        work: impl Fn(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
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
        let files = &mut self.files;
        let dir = paths::database(db);
        match files.disk.list(&dir, 0, &mut |_| false) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if is_absent(&error) => return files.disk.create_dir(&dir),
            Err(error) => return Err(error),
        }
        let new = files.tmp();
        match files.disk.create_dir(&new) {
            Err(error) if disk::is_full(&error) => self.clear_in_place(&dir)?,
            Err(error) => return Err(error),
            Ok(()) => match files.disk.exchange(&dir, &new) {
                Ok(()) => files.trash.discard(&new)?,
                Err(_) => {
                    // This file system cannot exchange; a start makes what a crash leaves out.
                    files.trash.discard(&dir)?;
                    files.disk.rename(&new, &dir)?;
                }
            },
        }
        self.markers.set(db, false);
        // Records of directories that are gone only take room, and the others can be made again.
        let files = &mut self.files;
        let empty = files.tmp();
        let made = files.disk.create_dir(&empty);
        if made.and_then(|()| files.disk.exchange(paths::COUNTS, &empty)).is_ok() {
            files.trash.discard(&empty)?;
        }
        Ok(())
    }

    /// Empties a database entry by entry, which takes no room.
    fn clear_in_place(&mut self, dir: &str) -> io::Result<()> {
        loop {
            let entries = trash::entries(&*self.files.disk, dir, CLEAR_ENTRIES_MAX)?;
            if entries.is_empty() {
                return Ok(());
            }
            for (path, _) in entries {
                self.files.trash.discard(&path)?;
            }
        }
    }

    fn apply_key(&mut self, change: &KeyChange<'_>) -> io::Result<()> {
        let db = change.db;
        let name = names::encode(change.key);
        let marked = self.markers.get(db);
        if !has_content(change) {
            if marked && !name.is_hashed() {
                self.remove(db, &name.hashed(), change)?;
            }
            return match self.remove(db, &name, change) {
                Err(error) if self.is_stranger(&paths::key_dir(db, &name), &error) => Ok(()),
                removed => removed,
            };
        }
        let mut dir = NameDir::of_keys(db, marked);
        let name = self.files.settle(&mut dir, name)?;
        if self.write(db, &name, change)? == Made::Refused {
            self.files.mark(&mut dir)?;
            self.markers.set(db, true);
            self.write(db, &name.hashed(), change)?;
        }
        Ok(())
    }

    /// Brings about a change of which nothing has content: the key goes, or some of its parts.
    fn remove(&mut self, db: Db, name: &Name, change: &KeyChange<'_>) -> io::Result<()> {
        let dir = paths::key_dir(db, name);
        if !change.core.fate.clears() {
            self.remove_parts(&dir, change)?;
            return elements::write(&mut self.files, &mut self.regroup, &dir, change, false);
        }
        for part in [Part::Type, Part::Value] {
            self.files.remove(&paths::part(&dir, part))?;
        }
        let mut removed = self.files.disk.remove_dir(&dir);
        if is_not_empty(&removed)
            && self.files.disk.remove_file(&paths::part(&dir, Part::Expires)).is_ok()
        {
            removed = self.files.disk.remove_dir(&dir);
        }
        if is_not_empty(&removed) {
            self.files.empty(&dir, &[])?;
            removed = self.files.disk.remove_dir(&dir);
        }
        if is_not_empty(&removed) {
            return Ok(()); // Strangers.
        }
        absent(removed)?;
        self.files.remove_companion(&paths::database(db), name)
    }

    /// Removes the absent parts of a change.
    fn remove_parts(&mut self, dir: &str, change: &KeyChange<'_>) -> io::Result<()> {
        match change.core.expires {
            Some(None) => self.files.remove(&paths::part(dir, Part::Expires)).map(|_| ()),
            _ => Ok(()),
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
            // Something else has the name of the key's directory: a stranger that is left alone.
            Err(error) if !name.is_hashed() && self.is_stranger(&dir, &error) => Ok(Made::Refused),
            Err(error) => {
                if made == Made::New {
                    // No half key where there was nothing; what cannot be removed is replayed.
                    let _ = self.files.remove_tree(&dir);
                }
                Err(error)
            }
        }
    }

    /// Whether this error says that a file, a symbolic link or the like is where `dir` should be.
    pub(super) fn is_stranger(&self, dir: &str, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::NotADirectory => true,
            io::ErrorKind::InvalidInput => {
                let found = self.files.disk.stat(dir, Wait::Yes);
                found.is_ok_and(|stat| stat.kind != Kind::Dir)
            }
            _ => false,
        }
    }

    fn make_dir(&mut self, db: Db, name: &Name) -> io::Result<Made> {
        let files = &mut self.files;
        files.put_companion(&paths::database(db), name)?;
        let dir = paths::key_dir(db, name);
        match files.disk.create_dir(&dir) {
            Ok(()) => Ok(Made::New),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Made::There),
            Err(error) if !name.is_hashed() && files.is_refusal(&error)? => {
                // A key must never come to lie in two places.
                let there = files.is(&dir, Kind::Dir)?;
                Ok(if there { Made::There } else { Made::Refused })
            }
            Err(error) => Err(error),
        }
    }

    fn write_parts(&mut self, dir: &str, change: &KeyChange<'_>, made: Made) -> io::Result<()> {
        if step(Step::RemovalFirst) {
            self.strip(dir, change, made)?;
        }
        let core = change.core;
        let skip = core.fate.clears() && !step(Step::ReplayRewrites);
        let value = paths::part(dir, Part::Value);
        let exists = skip && self.files.disk.stat(&value, Wait::Yes).is_ok();
        let files = &mut self.files;
        if let Some(Change { base, patches }) = core.value.as_ref().filter(|_| !exists) {
            match base {
                Some(base) if patches.is_empty() => files.put(&value, base, made)?,
                Some(base) => files.put(&value, &patched(base, patches), made)?,
                None if core.fate.clears() => files.put(&value, &patched(&[], patches), made)?,
                None => files.patch(&value, patches)?,
            }
        }
        // A directory that was there is as good as new once it is stripped.
        let fresh = step(Step::RemovalFirst);
        elements::write(files, &mut self.regroup, dir, change, fresh)?;
        if let Some(Some(ms)) = core.expires {
            files.put(&paths::part(dir, Part::Expires), ms.to_string().as_bytes(), made)?;
        }
        if let Fate::Made(kind) = core.fate {
            files.share(&paths::part(dir, Part::Type), Shared::Type(kind))?;
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
            self.files.remove(&paths::part(dir, Part::Type))?;
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
        self.files.empty(dir, &kept)
    }
}

fn has_content(change: &KeyChange<'_>) -> bool {
    let core = change.core;
    matches!(core.fate, Fate::Made(_))
        || core.value.is_some()
        || matches!(core.expires, Some(Some(_)))
        || change.elements.iter().any(|(_, content)| content.is_some())
}

fn is_not_empty(removed: &io::Result<()>) -> bool {
    matches!(removed, Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty)
}
