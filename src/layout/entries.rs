//! Directories of names, as the tree writer changes them: those of databases, whose entries are
//! directories of keys, and those of collections and groups, whose entries are files.
//!
//! The same rules hold in all of them. An entry lies under the encoding of its bytes. A hashed
//! name has a companion beside it, made first and removed last. Where the file system refuses a
//! name, the directory gets a marker, and the entry is hashed although its name is short; only in
//! a directory with a marker both names are looked at. What an entry holds is not known here, but
//! for the files of elements.

use std::io;

use crate::disk::{Kind, Wait};
use crate::layout::files::{Files, Made, absent, there};
use crate::layout::names::Name;
use crate::layout::op::Db;
use crate::layout::paths;
use crate::layout::reader::is_absent;

/// A directory of names, as one change meets it.
pub(super) struct NameDir {
    /// Where it is.
    pub(super) path: String,
    /// What there is in it.
    made: Made,
    /// What its entries are.
    kind: Kind,
    /// Whether it has the marker, once somebody has looked.
    marked: Option<bool>,
}

impl NameDir {
    /// The directory of a database, of which it is known whether it has the marker.
    pub(super) fn of_keys(db: Db, marked: bool) -> NameDir {
        let path = paths::database(db);
        NameDir { path, made: Made::There, kind: Kind::Dir, marked: Some(marked) }
    }

    /// A directory of files, or the place for one.
    pub(super) fn of_files(path: String) -> NameDir {
        NameDir { path, made: Made::There, kind: Kind::File, marked: None }
    }

    /// A directory of files in which there is nothing yet.
    pub(super) fn new_of_files(path: String) -> NameDir {
        NameDir { path, made: Made::New, kind: Kind::File, marked: Some(false) }
    }
}

impl Files {
    /// The name under which an entry lies, or is to lie.
    pub(super) fn settle(&self, dir: &mut NameDir, name: Name) -> io::Result<Name> {
        if name.is_hashed() || !self.is_marked(dir)? {
            return Ok(name);
        }
        let is_there = |name: &Name| self.is(&paths::within(&dir.path, name.as_str()), dir.kind);
        let hashed = name.hashed();
        Ok(if !is_there(&name)? && is_there(&hashed)? { hashed } else { name })
    }

    /// Makes a directory's marker. It is synced before the first hashed name: were it lost and the
    /// name not, the entry would be there twice.
    pub(super) fn mark(&self, dir: &mut NameDir) -> io::Result<()> {
        if !self.is_marked(dir)? {
            there(self.disk.create(&paths::marker(&dir.path), b""))?;
            self.disk.sync_dir(&dir.path)?;
            dir.marked = Some(true);
        }
        Ok(())
    }

    fn is_marked(&self, dir: &mut NameDir) -> io::Result<bool> {
        if let Some(marked) = dir.marked {
            return Ok(marked);
        }
        let marked = self.is(&paths::marker(&dir.path), Kind::File)?;
        dir.marked = Some(marked);
        Ok(marked)
    }

    /// Whether a thing of this kind is there.
    pub(super) fn is(&self, path: &str, kind: Kind) -> io::Result<bool> {
        match self.disk.stat(path, Wait::Yes) {
            Ok(stat) => Ok(stat.kind == kind),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the companion of a name, if it is to have one.
    pub(super) fn put_companion(&mut self, dir: &str, name: &Name) -> io::Result<()> {
        match name.full() {
            None => Ok(()),
            Some(full) => {
                self.put(&paths::companion(dir, name.as_str()), full.as_bytes(), Made::New)
            }
        }
    }

    /// Removes the companion of a name, if it has one.
    pub(super) fn remove_companion(&mut self, dir: &str, name: &Name) -> io::Result<()> {
        match name.is_hashed() {
            true => absent(self.disk.remove_file(&paths::companion(dir, name.as_str()))),
            false => Ok(()),
        }
    }

    /// Makes an element: a file with this content, or without any. The directory is made where it
    /// is missing; `NotFound` and `NotADirectory` say that what it lies in is.
    pub(super) fn put_entry(
        &mut self,
        dir: &mut NameDir,
        name: Name,
        content: Option<&[u8]>,
    ) -> io::Result<()> {
        let name = self.settle(dir, name)?;
        let mut made = self.put_named(dir, &name, content);
        if matches!(&made, Err(error) if is_absent(error)) && !self.is(&dir.path, Kind::Dir)? {
            self.make_dir(dir)?;
            made = self.put_named(dir, &name, content);
        }
        if made? == Made::Refused {
            self.mark(dir)?;
            self.put_named(dir, &name.hashed(), content)?;
        }
        Ok(())
    }

    fn put_named(
        &mut self,
        dir: &NameDir,
        name: &Name,
        content: Option<&[u8]>,
    ) -> io::Result<Made> {
        self.put_companion(&dir.path, name)?;
        let path = paths::within(&dir.path, name.as_str());
        let made = match content {
            Some(content) => self.put(&path, content, dir.made),
            None => self.share_empty(&path),
        };
        match made {
            Ok(()) => Ok(Made::There),
            Err(error) if is_absent(&error) || name.is_hashed() => Err(error),
            Err(error) => {
                // An element must never come to lie in two places.
                let refused = self.is_refusal(&error)? && !self.is(&path, Kind::File)?;
                if refused { Ok(Made::Refused) } else { Err(error) }
            }
        }
    }

    /// Makes a directory of files, in place of anything else that has its name.
    fn make_dir(&mut self, dir: &mut NameDir) -> io::Result<()> {
        let mut made = self.disk.create_dir(&dir.path);
        if matches!(&made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
            self.trash.discard(&dir.path)?;
            made = self.disk.create_dir(&dir.path);
        }
        made?;
        *dir = NameDir::new_of_files(std::mem::take(&mut dir.path));
        Ok(())
    }

    /// Removes an element, if it is there.
    pub(super) fn remove_entry(&mut self, dir: &mut NameDir, name: Name) -> io::Result<()> {
        let there = self.remove(&paths::within(&dir.path, name.as_str()))?;
        if name.is_hashed() {
            return self.remove_companion(&dir.path, &name);
        }
        if !there && self.is_marked(dir)? {
            let name = name.hashed();
            self.remove(&paths::within(&dir.path, name.as_str()))?;
            self.remove_companion(&dir.path, &name)?;
        }
        Ok(())
    }
}
