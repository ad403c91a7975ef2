//! The tree reader for collections: elements by name, by listing, and members by score.
//!
//! Fields of a hash lie in `fields/`, members of a set or sorted set in `values/`; a sorted set's
//! `scores/` is an index, which may be missing as a whole. Contents come as they lie there: of a
//! set they are empty, of a sorted set they are what [`crate::base::score::Score::from_content`]
//! reads; until replay is done a file may be torn, and the backlog knows better. A directory that
//! is missing has no elements. Whether the key is there is not asked here.

use std::io;

use crate::base::bytes::Bytes;
use crate::base::clock;
use crate::base::score::Score;
use crate::disk::{Kind, Wait};
use crate::layout::listing::Listing;
use crate::layout::names::{self, Entry};
use crate::layout::op::{Content, Db, Type};
use crate::layout::reader::{AHEAD_FILES, FileRead, TreeReader, damage, is_absent};
use crate::layout::{groups, paths, sizes};

/// How often a group that is being converted is looked at again.
const GROUP_TRIES_MAX: usize = 16;

/// The elements of a collection, or as many as were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Names with contents, in no order.
    pub elements: Vec<(Bytes, Content)>,
    /// Whether these are all of them.
    pub complete: bool,
}

/// The members of a sorted set that share a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Their score.
    pub score: Score,
    /// Whether they are many: a directory of files, not lines of a file.
    pub is_dir: bool,
}

/// What came of a pass over a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// All members were visited.
    Whole,
    /// The visitor ended it.
    Ended,
    /// The group was converted meanwhile: what was visited may be a part of it. Do it again.
    Again,
}

impl TreeReader {
    /// The content of each of these elements, none where one is absent. One read for each; of a
    /// set a stat, and the content is empty. With [`Wait::No`] `WouldBlock` says: ask again on a
    /// helper.
    pub fn elements(
        &self,
        db: Db,
        key: &[u8],
        kind: Type,
        names: &[Bytes],
        wait: Wait,
    ) -> io::Result<Vec<Option<Content>>> {
        self.elements_in(&paths::elements(&self.dir(db, key, wait)?, kind), kind, names, wait)
    }

    fn elements_in(
        &self,
        dir: &str,
        kind: Type,
        names: &[Bytes],
        wait: Wait,
    ) -> io::Result<Vec<Option<Content>>> {
        let mut marked: Option<bool> = None;
        let mut found = Vec::with_capacity(names.len());
        for name in names.iter().map(|name| names::encode(name)) {
            let mut content = self.element(&paths::within(dir, name.as_str()), kind, wait)?;
            if content.is_none() && !name.is_hashed() {
                let marked = match marked {
                    Some(marked) => marked,
                    None => *marked.insert(self.is_marked(dir, wait)?),
                };
                if marked {
                    let hashed = paths::within(dir, name.hashed().as_str());
                    content = self.element(&hashed, kind, wait)?;
                }
            }
            found.push(content);
        }
        Ok(found)
    }

    /// Visits the elements of a collection from a directory position on, as [`TreeReader::keys`]
    /// does names of keys; with `contents` what they hold is read too. Answers the position to go
    /// on from, which means nothing where `visit` answered false; none at the end. May wait for the
    /// disk.
    #[expect(clippy::too_many_arguments, reason = "where, from where on, how far, and what for")]
    pub fn list_elements(
        &self,
        db: Db,
        key: &[u8],
        kind: Type,
        position: u64,
        want: Option<usize>,
        contents: bool,
        visit: &mut dyn FnMut(Bytes, Option<Content>) -> bool,
    ) -> io::Result<Option<u64>> {
        let dir = self.elements_dir(db, key, kind)?;
        let listing = Listing { disk: &*self.disk, dir: &dir, kind: Kind::File };
        let (mut names, mut paths) = (Vec::new(), Vec::new());
        let listed = listing.visit(position, want, &mut |found| {
            let name = Bytes::from(found.bytes);
            if !contents {
                return Ok(visit(name, None));
            }
            if kind == Type::Set {
                return Ok(visit(name, Some(Content::new())));
            }
            names.push(name);
            paths.push(found.path(&dir));
            if paths.len() < AHEAD_FILES {
                return Ok(true);
            }
            let (names, paths) = (std::mem::take(&mut names), std::mem::take(&mut paths));
            self.visit_contents(names, paths, visit)
        });
        let next = if_there(listed, None)?;
        self.visit_contents(names, paths, visit)?;
        Ok(next)
    }

    /// Visits elements with what their files hold; answers whether `visit` never answered false.
    fn visit_contents(
        &self,
        names: Vec<Bytes>,
        paths: Vec<String>,
        visit: &mut dyn FnMut(Bytes, Option<Content>) -> bool,
    ) -> io::Result<bool> {
        for (name, read) in names.into_iter().zip(self.read_each(paths)) {
            let go_on = match read {
                Ok(content) => visit(name, Some(Content::from(content))),
                // It went after it was listed.
                Err(error) if is_absent(&error) => true,
                Err(error) => return Err(error),
            };
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Up to `limit` elements of a collection with their contents. May wait for the disk.
    pub fn whole(&self, db: Db, key: &[u8], kind: Type, limit: usize) -> io::Result<Whole> {
        let mut whole = Whole { elements: Vec::new(), complete: true };
        self.list_elements(db, key, kind, 0, None, true, &mut |name, content| {
            whole.complete = whole.elements.len() < limit;
            if whole.complete {
                whole.elements.push((name, content.unwrap_or_default()));
            }
            whole.complete
        })?;
        Ok(whole)
    }

    /// Counts the elements of a collection: a walk over a directory. May wait for the disk.
    pub fn count_elements(&self, db: Db, key: &[u8], kind: Type) -> io::Result<u64> {
        self.count_upto(db, key, kind, u64::MAX).map(|(count, _)| count)
    }

    /// Counts the elements of a collection until there are `limit` of them. Answers whether that is
    /// all. May wait for the disk.
    pub fn count_upto(
        &self,
        db: Db,
        key: &[u8],
        kind: Type,
        limit: u64,
    ) -> io::Result<(u64, bool)> {
        let dir = self.elements_dir(db, key, kind)?;
        let listing = Listing { disk: &*self.disk, dir: &dir, kind: Kind::File };
        if_there(listing.count(limit), (0, true))
    }

    /// Up to `limit` names of a collection's elements, a small number, from a place chosen by
    /// `seed`: see [`TreeReader::sample`]. May wait for the disk.
    pub fn sample_elements(
        &self,
        db: Db,
        key: &[u8],
        kind: Type,
        seed: u64,
        limit: usize,
    ) -> io::Result<Vec<Bytes>> {
        let dir = self.elements_dir(db, key, kind)?;
        let listing = Listing { disk: &*self.disk, dir: &dir, kind: Kind::File };
        if_there(listing.sample(&self.spans, seed, limit), Vec::new())
    }

    /// The recorded number of a collection's elements, if its directory is the same and unchanged.
    /// See [`sizes`]. May wait for the disk.
    pub fn trusted_elements(&self, db: Db, key: &[u8], kind: Type) -> io::Result<Option<u64>> {
        sizes::trusted_dir(&*self.disk, &self.elements_dir(db, key, kind)?)
    }

    /// Records that a collection has so many elements; the caller knows that nothing is pending
    /// for it and has just synced the tree. Answers false where its directory changed less than a
    /// second ago. See [`sizes`]. May wait for the disk.
    pub fn record_elements(&self, db: Db, key: &[u8], kind: Type, count: u64) -> io::Result<bool> {
        sizes::record_dir(&*self.disk, &self.elements_dir(db, key, kind)?, count)
    }

    /// The groups of a sorted set in no order; none where the index is missing, and `values/` has
    /// to be asked. About 24 bytes a group. May wait for the disk.
    pub fn scores(&self, db: Db, key: &[u8]) -> io::Result<Option<Vec<Group>>> {
        let dir = paths::scores(&self.dir(db, key, Wait::Yes)?);
        let mut groups = Vec::new();
        let listed = self.disk.list(&dir, 0, &mut |entry| {
            let score = Score::from_name(entry.name);
            let score = score.filter(|score| score.name().as_bytes() == entry.name);
            if let (Some(score), Kind::File | Kind::Dir) = (score, entry.kind) {
                groups.push(Group { score, is_dir: entry.kind == Kind::Dir });
            }
            true
        });
        if_there(listed.map(|_| Some(groups)), None)
    }

    /// Which of these members a group has that is a directory. A stat for each; may wait for the
    /// disk.
    pub fn in_group_dir(
        &self,
        db: Db,
        key: &[u8],
        score: Score,
        members: &[Bytes],
    ) -> io::Result<Vec<bool>> {
        let path = paths::group(&paths::scores(&self.dir(db, key, Wait::Yes)?), score);
        let found = self.elements_in(&path, Type::Set, members, Wait::Yes)?;
        Ok(found.into_iter().map(|found| found.is_some()).collect())
    }

    /// How many members a group has that is a directory. May wait for the disk.
    pub fn group_len(&self, db: Db, key: &[u8], score: Score) -> io::Result<u64> {
        let path = paths::group(&paths::scores(&self.dir(db, key, Wait::Yes)?), score);
        let listing = Listing { disk: &*self.disk, dir: &path, kind: Kind::File };
        listing.count(u64::MAX).map(|(count, _)| count)
    }

    /// The members of a group in no order; none of them where there is no such group. May wait for
    /// the disk.
    pub fn group(&self, db: Db, key: &[u8], score: Score) -> io::Result<Vec<Bytes>> {
        for _ in 0..GROUP_TRIES_MAX {
            let mut members = Vec::new();
            let pass = self.visit_group(db, key, score, None, &mut |member| {
                members.push(member);
                true
            })?;
            if pass != Pass::Again {
                return Ok(members);
            }
        }
        Err(io::Error::other("a group of a sorted set changes again and again"))
    }

    /// Reads the files of groups; of one that is a directory, `IsADirectory`. See
    /// [`TreeReader::read_each`]. May wait for the disk.
    pub fn group_files(
        &self,
        db: Db,
        key: &[u8],
        scores: &[Score],
    ) -> io::Result<impl Iterator<Item = FileRead> + use<'_>> {
        let dir = paths::scores(&self.dir(db, key, Wait::Yes)?);
        Ok(self.read_each(scores.iter().map(|score| paths::group(&dir, *score)).collect()))
    }

    /// Visits the members of a group in no order until `visit` answers false; `read` is what
    /// reading its file gave, if that was done. May wait for the disk.
    pub fn visit_group(
        &self,
        db: Db,
        key: &[u8],
        score: Score,
        read: Option<FileRead>,
        visit: &mut dyn FnMut(Bytes) -> bool,
    ) -> io::Result<Pass> {
        clock::rest();
        let key_dir = self.dir(db, key, Wait::Yes)?;
        let path = paths::group(&paths::scores(&key_dir), score);
        match read.unwrap_or_else(|| self.disk.read(&path, Wait::Yes)) {
            Ok(content) => {
                let values = paths::elements(&key_dir, Type::Zset);
                for line in groups::lines(&content) {
                    let member = self.line(&values, line)?;
                    if member.is_some_and(|member| !visit(member)) {
                        return Ok(Pass::Ended);
                    }
                }
                Ok(Pass::Whole)
            }
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                self.visit_group_dir(&path, visit)
            }
            Err(error) if is_absent(&error) => Ok(Pass::Whole),
            Err(error) => Err(error),
        }
    }

    fn visit_group_dir(
        &self,
        path: &str,
        visit: &mut dyn FnMut(Bytes) -> bool,
    ) -> io::Result<Pass> {
        let inode = || match self.disk.stat(path, Wait::Yes) {
            Ok(stat) if stat.kind == Kind::Dir => Ok(Some(stat.inode)),
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(None),
        };
        let before = inode()?;
        let listing = Listing { disk: &*self.disk, dir: path, kind: Kind::File };
        let mut ended = false;
        let listed = listing.visit(0, None, &mut |found| {
            ended = !visit(Bytes::from(found.bytes));
            Ok(!ended)
        });
        match listed {
            Err(error) if is_absent(&error) => Ok(Pass::Again),
            Err(error) => Err(error),
            Ok(_) if ended => Ok(Pass::Ended),
            // What was exchanged for a file is swept while it is listed.
            Ok(_) => {
                Ok(if before.is_some() && before == inode()? { Pass::Whole } else { Pass::Again })
            }
        }
    }

    /// The member that a line of a group stands for; none where its full name is missing.
    fn line(&self, values: &str, line: &[u8]) -> io::Result<Option<Bytes>> {
        let hashed = match names::classify(line) {
            Entry::Plain(member) => return Ok(Some(Bytes::from(&*member))),
            _ => String::from_utf8_lossy(line),
        };
        match self.disk.read(&paths::companion(values, &hashed), Wait::Yes) {
            Ok(full) => Ok(names::resolve(line, &full).map(|member| Bytes::from(&*member))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn elements_dir(&self, db: Db, key: &[u8], kind: Type) -> io::Result<String> {
        Ok(paths::elements(&self.dir(db, key, Wait::Yes)?, kind))
    }

    fn is_marked(&self, dir: &str, wait: Wait) -> io::Result<bool> {
        match self.disk.stat(&paths::marker(dir), wait) {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The content of the file of an element; none where there is no such file.
    fn element(&self, path: &str, kind: Type, wait: Wait) -> io::Result<Option<Content>> {
        let found = match kind {
            Type::Set => self.disk.stat(path, wait).and_then(|stat| match stat.kind {
                Kind::File => Ok(Content::new()),
                Kind::Dir | Kind::Other => Err(damage(path, "a file", b"something else")),
            }),
            _ => self.disk.read(path, wait).map(Content::from),
        };
        if_there(found.map(Some), None)
    }
}

/// What was found, or what stands for a directory or file that is not there.
fn if_there<T>(found: io::Result<T>, otherwise: T) -> io::Result<T> {
    match found {
        Err(error) if is_absent(&error) => Ok(otherwise),
        found => found,
    }
}
