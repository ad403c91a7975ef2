//! Moves: directories of the tree that change their places, in two steps that a crash may come
//! between or into.
//!
//! ```text
//! journal/moves/<seq>.<n>        a directory on its way, of batch <seq>
//! journal/moves/<seq>.stashed    empty: all directories of the batch have left their places
//! ```
//!
//! Example: `RENAME a b` as batch 42 takes `0/a` to `journal/moves/42.0` and `0/b` to the trash,
//! syncs, makes `journal/moves/42.stashed`, takes `42.0` to `0/b`, and syncs.
//!
//! The caller has everything older in the tree and on record, and applies nothing newer before
//! this returns. So until the mark is there, what lies at a source is what is to be moved, and what
//! lies at a target is in the way; behind the mark what is still in `moves` has its way to go, and
//! nothing else is touched: the sources may have been made anew. A mark stays until the next
//! batch of moves; by then its batch is on record.

use std::io;

use crate::base::variant::{Step, step};
use crate::disk::{Kind, Wait};
use crate::layout::entries::NameDir;
use crate::layout::files::{absent, there};
use crate::layout::names::{self, Name};
use crate::layout::op::{Db, Key, Move, Seq};
use crate::layout::writer::TreeWriter;
use crate::layout::{hints, paths, trash};

impl TreeWriter {
    /// Brings about the moves of batch `seq`, and syncs. May be called again after any crash, and
    /// after an error that says that the disk is full; after another error the server stops.
    pub fn apply_moves(&mut self, seq: Seq, moves: &[Move]) -> io::Result<()> {
        let mark = paths::stashed(seq);
        if !(step(Step::MarkMoves) && self.files.is(&mark, Kind::File)?) {
            self.make_folder(&mark)?;
            if moves.iter().any(|places| matches!(places, Move::Swap(..))) {
                // Hints speak of the databases as they were.
                hints::set_complete(&*self.files.disk, false)?;
            }
            for (n, places) in moves.iter().enumerate() {
                self.patiently(|writer| writer.stash(seq, n, places))?;
            }
            self.sync()?;
            if step(Step::MarkMoves) {
                self.patiently(|writer| there(writer.files.disk.create(&mark, b"")))?;
                self.files.disk.sync_file(&mark)?;
                self.files.disk.sync_dir(paths::JOURNAL_MOVES)?;
            }
        }
        for (n, places) in moves.iter().enumerate() {
            self.patiently(|writer| writer.place(seq, n, places))?;
        }
        self.sync()
    }

    /// Makes the folder of moves, and removes from it the marks of older batches.
    fn make_folder(&mut self, mark: &str) -> io::Result<()> {
        there(self.files.disk.create_dir(paths::JOURNAL_MOVES))?;
        self.files.disk.sync_dir(paths::JOURNAL)?;
        for (path, kind) in trash::entries(&*self.files.disk, paths::JOURNAL_MOVES, usize::MAX)? {
            if kind == Kind::File && path != mark {
                absent(self.files.disk.remove_file(&path))?;
            }
        }
        Ok(())
    }

    /// Takes what moves out of its place, and what is in its way to the trash.
    fn stash(&mut self, seq: Seq, n: usize, places: &Move) -> io::Result<()> {
        match places {
            Move::Swap(one, other) => {
                self.take(&paths::database(*one), &paths::moving(seq, 2 * n))?;
                self.take(&paths::database(*other), &paths::moving(seq, 2 * n + 1))
            }
            Move::Key((from_db, from), (to_db, to)) => {
                if let Some(name) = self.name_of(*from_db, from)? {
                    let stash = paths::moving(seq, 2 * n);
                    self.take(&paths::key_dir(*from_db, &name), &stash)?;
                }
                self.remove_companions(*from_db, from)?;
                if let Some(name) = self.name_of(*to_db, to)? {
                    self.files.trash.discard(&paths::key_dir(*to_db, &name))?;
                }
                self.remove_companions(*to_db, to)
            }
        }
    }

    /// Takes what was stashed to its new place.
    fn place(&mut self, seq: Seq, n: usize, places: &Move) -> io::Result<()> {
        match places {
            Move::Swap(one, other) => {
                self.put_back(&paths::moving(seq, 2 * n), &paths::database(*other))?;
                self.put_back(&paths::moving(seq, 2 * n + 1), &paths::database(*one))?;
                for db in [*one, *other] {
                    let marker = paths::marker(&paths::database(db));
                    self.markers.set(db, self.files.is(&marker, Kind::File)?);
                }
                Ok(())
            }
            Move::Key(_, (db, key)) => self.place_key(&paths::moving(seq, 2 * n), *db, key),
        }
    }

    fn place_key(&mut self, stash: &str, db: Db, key: &Key) -> io::Result<()> {
        if !self.files.is(stash, Kind::Dir)? {
            return Ok(());
        }
        let name = names::encode(key);
        self.put_companion(db, &name)?;
        let dir = paths::key_dir(db, &name);
        match self.put_back(stash, &dir) {
            Err(error) if !name.is_hashed() && self.is_refused(&dir, &error)? => {
                let mut dir = NameDir::of_keys(db, self.markers.get(db));
                self.files.mark(&mut dir)?;
                self.markers.set(db, true);
                let name = name.hashed();
                self.put_companion(db, &name)?;
                self.put_back(stash, &paths::key_dir(db, &name))
            }
            done => done,
        }
    }

    /// Whether this error of putting a key's directory into its place means that it goes under its
    /// hashed name.
    fn is_refused(&mut self, dir: &str, error: &io::Error) -> io::Result<bool> {
        Ok(self.is_stranger(dir, error) || self.files.is_refusal(error)?)
    }

    /// Writes the full name of a key and syncs it: once its directory is there, nobody does it
    /// again.
    fn put_companion(&mut self, db: Db, name: &Name) -> io::Result<()> {
        let folder = paths::database(db);
        self.files.put_companion(&folder, name)?;
        match name.is_hashed() {
            true => self.files.disk.sync_file(&paths::companion(&folder, name.as_str())),
            false => Ok(()),
        }
    }

    /// The name under which the directory of a key lies, if there is one.
    fn name_of(&self, db: Db, key: &Key) -> io::Result<Option<Name>> {
        let name = names::encode(key);
        if self.files.is(&paths::key_dir(db, &name), Kind::Dir)? {
            return Ok(Some(name));
        }
        if name.is_hashed() || !self.markers.get(db) {
            return Ok(None);
        }
        let hashed = name.hashed();
        Ok(self.files.is(&paths::key_dir(db, &hashed), Kind::Dir)?.then_some(hashed))
    }

    /// Removes the full names of a key whose directory has gone, perhaps before a crash.
    fn remove_companions(&mut self, db: Db, key: &Key) -> io::Result<()> {
        let folder = paths::database(db);
        let name = names::encode(key);
        if !name.is_hashed() && self.markers.get(db) {
            self.files.remove_companion(&folder, &names::encode(key).hashed())?;
        }
        self.files.remove_companion(&folder, &name)
    }

    /// Takes a directory away from where it lies: by a rename, or by a copy where the file system
    /// cannot do that (overlayfs). Where that was done before, what is still there goes.
    fn take(&mut self, from: &str, stash: &str) -> io::Result<()> {
        if !self.files.is(stash, Kind::Dir)? {
            match self.files.disk.rename(from, stash) {
                Err(error) if trash::is_across(&error) => {
                    let tmp = self.files.tmp();
                    self.copy(from, &tmp)?;
                    self.files.disk.sync_all()?;
                    self.files.disk.rename(&tmp, stash)?;
                }
                done => return absent(done),
            }
        }
        self.files.trash.discard(from)
    }

    /// Takes a directory to where it belongs, unless that was done before. An empty one that a
    /// start has made there gives way.
    fn put_back(&mut self, stash: &str, to: &str) -> io::Result<()> {
        match self.files.is(stash, Kind::Dir)? {
            true => self.files.disk.rename(stash, to),
            false => Ok(()),
        }
    }

    fn copy(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.files.disk.create_dir(to)?;
        for (path, kind) in trash::entries(&*self.files.disk, from, usize::MAX)? {
            let copy = paths::within(to, &path[from.len() + 1..]);
            match kind {
                Kind::Dir => self.copy(&path, &copy)?,
                _ => {
                    let content = self.files.disk.read(&path, Wait::Yes)?;
                    self.files.disk.create(&copy, &content)?;
                }
            }
        }
        Ok(())
    }
}
