//! What lies below a key: its parts, its elements, and the index of a sorted set.
//!
//! Which parts a key has is decided by its type; where that cannot be read, any part is let pass.
//! Every element is looked at by name and kind, and a member of a sorted set by its content too.

use super::index::{self, Index};
use super::report::{Database, Kind};
use super::tree::{Walk, shown};
use crate::base::score::Score;
use crate::disk::Wait;
use crate::layout::names::{self, Entry};
use crate::layout::op::{Db, Type};
use crate::layout::paths::{self, Part};
use std::io;
use std::os::unix::ffi::OsStrExt;
use walkdir::DirEntry;

/// Longer files of members hold no score.
const SCORE_BYTES_MAX: u64 = 64;

/// What a key may have beside its type and deadline.
const PARTS: [(&str, bool, &[Type]); 4] = [
    (paths::part_name(Part::Value), false, &[Type::String]),
    (paths::elements_name(Type::Hash), true, &[Type::Hash]),
    (paths::elements_name(Type::Set), true, &[Type::Set, Type::Zset]),
    (paths::SCORES_NAME, true, &[Type::Zset]),
];

/// Whether a key of this type has such a part, and whether that is a directory. Of a key whose type
/// is not known it may have any.
pub(super) fn part_is_dir(name: &[u8], kind: Option<Type>) -> Option<bool> {
    let always = [paths::part_name(Part::Type), paths::part_name(Part::Expires)];
    if always.iter().any(|part| part.as_bytes() == name) {
        return Some(false);
    }
    let (_, is_dir, kinds) = PARTS.iter().find(|(part, ..)| part.as_bytes() == name)?;
    kind.is_none_or(|kind| kinds.contains(&kind)).then_some(*is_dir)
}

impl Walk<'_> {
    /// Looks at all that lies in a key's directory.
    pub(super) fn parts(
        &mut self,
        db: Db,
        key: &[u8],
        dir: &str,
        kind: Option<Type>,
        counts: &mut Database,
    ) {
        let problems = self.problems();
        self.each(dir, |walk, entry| walk.part(db, dir, kind, &entry));
        let Some(kind) = kind.filter(|kind| *kind != Type::String) else { return };
        let before = counts.elements;
        self.elements(db, dir, kind, counts);
        if counts.elements == before {
            let rest = match self.problems() == problems {
                true => "; 'dredis repair' may help",
                false => ", beside what is none: 'dredis repair' leaves it",
            };
            let what = format!("a {} without any element{rest}", kind.name());
            self.judge(db, dir, dir.to_owned(), Kind::Damage, what);
        }
        if kind == Type::Zset {
            self.index(db, key, dir);
        }
    }

    fn part(&mut self, db: Db, dir: &str, kind: Option<Type>, entry: &DirEntry) {
        let path = paths::within(dir, &shown(entry.file_name()));
        let (is_file, is_dir) = (entry.file_type().is_file(), entry.file_type().is_dir());
        match part_is_dir(entry.file_name().as_bytes(), kind) {
            None => {
                let of = kind.map_or("key", Type::name);
                self.problem(Kind::Stranger, path, format!("not a part of a {of}: left alone"));
            }
            Some(true) if !is_dir => {
                self.judge(db, dir, path, Kind::Damage, "expected a directory");
            }
            // The reader has told what is wrong with a file.
            Some(false) if !is_file => {}
            Some(_) => self.mode(entry, path),
        }
    }

    /// The elements of a collection.
    fn elements(&mut self, db: Db, key_dir: &str, kind: Type, counts: &mut Database) {
        let dir = paths::elements(key_dir, kind);
        let marked = self.disk.stat(&paths::marker(&dir), Wait::Yes).is_ok();
        self.each(&dir, |walk, entry| {
            let path = paths::within(&dir, &shown(entry.file_name()));
            if walk.is_seen(db, key_dir, &dir, marked, &entry) {
                walk.element(db, key_dir, kind, path, &entry, counts);
            }
        });
    }

    /// Whether an entry of a directory of files with names is one that listings and look-ups see.
    /// Tells of others, and of strangers.
    fn is_seen(
        &mut self,
        db: Db,
        key_dir: &str,
        dir: &str,
        marked: bool,
        entry: &DirEntry,
    ) -> bool {
        let name = entry.file_name().as_bytes();
        let path = paths::within(dir, &shown(entry.file_name()));
        let classified = names::classify(name);
        let wrong = match &classified {
            Entry::Stranger => Some("not the name of any element: see docs/LAYOUT.md, \"Names\""),
            _ if entry.file_type().is_file() => None,
            _ => Some("expected a regular file: no element by this name can be read"),
        };
        if let Some(what) = wrong {
            self.problem(Kind::Stranger, path, what);
            return false;
        }
        match classified {
            Entry::Plain(_) => return true,
            Entry::Companion => self.companion(dir, name, path),
            Entry::Hashed => match self.hashed(dir, marked, &path) {
                Ok(()) => return true,
                Err((kind, what)) => self.judge(db, key_dir, path, kind, what),
            },
            Entry::Marker | Entry::Stranger => {}
        }
        false
    }

    /// Whether a hashed name is found, or why not.
    fn hashed(&self, dir: &str, marked: bool, path: &str) -> Result<(), (Kind, String)> {
        let name = names::encode(&self.resolve(path)?);
        let plain = paths::within(dir, name.as_str());
        let what = if name.is_hashed() {
            return Ok(());
        } else if !marked {
            format!("not found without the marker {}: create it, empty", paths::marker(dir))
        } else if self.disk.stat(&plain, Wait::Yes).is_ok() {
            format!("the element is read from {plain}: this file is never seen")
        } else {
            return Ok(());
        };
        Err((Kind::LongName, what))
    }

    fn element(
        &mut self,
        db: Db,
        key_dir: &str,
        kind: Type,
        path: String,
        entry: &DirEntry,
        counts: &mut Database,
    ) {
        counts.elements += 1;
        self.mode(entry, path.clone());
        if kind == Type::Set {
            return;
        }
        let len = entry.metadata().map_or(0, |metadata| metadata.len());
        counts.bytes += len;
        if kind == Type::Zset
            && let Err(error) = self.score(&path, len)
        {
            self.judge(db, key_dir, path, Kind::Damage, error.to_string());
        }
    }

    /// What a member's file has to hold.
    fn score(&self, path: &str, len: u64) -> io::Result<Score> {
        let content = match len {
            ..=SCORE_BYTES_MAX => self.disk.read(path, Wait::Yes)?,
            _ => vec![b'?'],
        };
        Score::from_content(&content).ok_or_else(|| {
            let came = names::encode_full(&content);
            io::Error::other(format!("expected a score in decimal, got {came}"))
        })
    }

    /// The groups of a sorted set: their names, and what they say.
    fn index(&mut self, db: Db, key: &[u8], key_dir: &str) {
        let dir = paths::scores(key_dir);
        self.each(&dir, |walk, entry| {
            let path = paths::within(&dir, &shown(entry.file_name()));
            if !Score::is_canonical(entry.file_name().as_bytes()) {
                let what = "not the name of any score: see docs/LAYOUT.md, \"Scores\"";
                return walk.problem(Kind::Stranger, path, what);
            }
            walk.mode(&entry, path.clone());
            if entry.file_type().is_dir() {
                let marked = walk.disk.stat(&paths::marker(&path), Wait::Yes).is_ok();
                walk.each(&path, |walk, entry| {
                    walk.is_seen(db, key_dir, &path, marked, &entry);
                });
            }
        });
        match index::look(&*self.disk, &self.reader, db, key, key_dir) {
            Ok(Index::Sound) => {}
            Ok(Index::Missing) => {
                let what = "missing: derived from values/ when it is needed, or by 'dredis repair'";
                self.hint(Kind::Index, dir, what);
            }
            Ok(Index::Wrong(what)) => {
                let what = format!("{what}: 'dredis repair' makes it anew from values/");
                self.judge(db, key_dir, dir, Kind::Index, what);
            }
            Err(error) => self.judge(db, key_dir, dir, Kind::Index, error.to_string()),
        }
    }
}
