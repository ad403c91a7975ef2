//! What is read of the tree beside the event loop: keys, listings, and questions about collections.

use super::ordering::{Brought, Zset};
use super::{Job, Lane, Report, SAMPLE_NAMES, WALK_NAMES, Worker};
use crate::base::bytes::Bytes;
use crate::base::glob::{Case, Pattern};
use crate::base::number::push_i64;
use crate::command::client::ClientId;
use crate::disk::Wait;
use crate::keyspace::load::load;
use crate::keyspace::{
    ElementOverlay, Error, Grant, Listed, Miss, Overlay, Ranging, ScoreOverlay, Wanted,
    reply_too_long,
};
use crate::layout::op::{Content, Db, Key, Type};
use crate::layout::reader::{Loaded, TreeReader, What};
use crate::resp::ROOM_BYTES;
use std::io;

/// A collection of so many elements is loaded as a whole where nobody waits behind it,
const LARGE_MIN: u64 = 10_000;
/// and so is a value of more bytes: one at a time is held for those who want it.
const LARGE_BYTES: u64 = 1 << 20;

/// A question about the elements of a collection.
pub struct Question {
    /// The database.
    pub db: Db,
    /// The key.
    pub key: Key,
    /// Its type.
    pub kind: Type,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked about the elements of a collection.
pub enum Ask {
    /// All of them, with what memory knows over the tree; at most so many bytes.
    Elements(Listed, ElementOverlay, u64),
    /// The order of a sorted set.
    Ranks {
        /// What memory knows over the tree.
        overlay: ScoreOverlay,
        /// How many members it has, if that is known.
        count: Option<u64>,
        /// What takes at most so many bytes in memory is answered as a whole.
        kept_max: usize,
        /// Of what takes more, how many members have each score, however long that takes.
        count_all: bool,
    },
    /// A range of a sorted set that has so many members, if that is known, shown in at most so many
    /// bytes.
    Range(ScoreOverlay, Option<u64>, Box<Ranging>, u64),
    /// How many there are.
    Count(ElementOverlay),
    /// A step from this position on, of so many names.
    Step(u64, usize),
    /// Names from a random place.
    Sample(u64),
}

impl Question {
    /// Whether the writer leaves the key as it is meanwhile.
    pub fn is_listing(&self) -> bool {
        !matches!(self.ask, Ask::Step(..) | Ask::Sample(_))
    }

    /// Which lane answers it.
    pub fn lane(&self) -> Lane {
        if self.is_listing() { Lane::Lister } else { Lane::Reader }
    }
}

pub(super) struct ReaderWorker {
    pub(super) reader: TreeReader,
}

impl ReaderWorker {
    fn names(
        &self,
        db: Db,
        pattern: &[u8],
        overlay: &Overlay,
        bytes_max: u64,
    ) -> Result<Grant, Error> {
        let pattern = Pattern::new(pattern, Case::Sensitive);
        let mut bulks = Vec::new();
        let mut count = 0;
        let mut add = |name: &[u8]| {
            if pattern.fits(name) {
                push_bulk(&mut bulks, name);
                count += 1;
            }
            bulks.len() as u64 <= bytes_max
        };
        let mut within = true;
        for (name, _) in overlay.names.iter().filter(|(_, present)| **present) {
            within = within && add(name);
        }
        if !overlay.emptied && within {
            self.reader
                .keys(db, 0, None, &mut |name, _| {
                    if overlay.names.is_empty() || !overlay.names.contains_key(name) {
                        within = add(name);
                    }
                    within
                })
                .map_err(|error| cannot_read(&error))?;
        }
        admitted(bulks, count, bytes_max)
    }

    fn count(&self, db: Db, overlay: &Overlay) -> io::Result<u64> {
        if overlay.emptied {
            return Ok(0);
        }
        if overlay.names.is_empty() {
            return self.reader.count(db);
        }
        let mut count = 0;
        self.reader.keys(db, 0, None, &mut |name, _| {
            count += u64::from(!overlay.names.contains_key(name));
            true
        })?;
        Ok(count)
    }

    /// Whether all of a large collection is wanted, or a large value. What cannot be read is not
    /// large: who loads it is told why.
    fn is_large(&self, Miss { db, key, wanted, .. }: &Miss) -> bool {
        if !matches!(wanted, Wanted::Value | Wanted::Few(_) | Wanted::Whole) {
            return false;
        }
        match self.reader.load(*db, key, What::Len, Wait::Yes) {
            Ok(Some(Loaded { kind: Type::String, len, .. })) => len > LARGE_BYTES,
            Ok(Some(Loaded { kind, .. })) if *wanted == Wanted::Whole => {
                let counted = self.reader.count_upto(*db, key, kind, LARGE_MIN);
                counted.is_ok_and(|(_, all)| !all)
            }
            _ => false,
        }
    }

    fn step(&self, db: Db, position: u64, count: usize) -> io::Result<Grant> {
        let mut names: Vec<Key> = Vec::new();
        let next = self.reader.keys(db, position, Some(count), &mut |name, _| {
            names.push(name.into());
            true
        })?;
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            if let Some(key) = self.reader.load(db, &name, What::Meta, Wait::Yes)? {
                found.push((name, key.kind, key.expires));
            }
        }
        Ok(Grant::Step { names: found, next })
    }

    fn walk(&self, db: Db, position: u64, deadlines: bool) -> io::Result<Report> {
        let mut names: Vec<Key> = Vec::new();
        let next = self.reader.keys(db, position, Some(WALK_NAMES), &mut |name, _| {
            names.push(name.into());
            true
        })?;
        let mut due = Vec::new();
        for name in names.iter().filter(|_| deadlines) {
            // A damaged key has no deadline; whoever asks for it is told of the damage.
            if let Ok(Some(Loaded { expires: Some(ms), .. })) =
                self.reader.load(db, name, What::Meta, Wait::Yes)
            {
                due.push((name.clone(), ms));
            }
        }
        Ok(Report::Walked { db, names, deadlines: due, next })
    }
}

impl Worker for ReaderWorker {
    fn run(&mut self, job: Job) -> Report {
        match job {
            Job::Load(miss) if self.is_large(&miss) => Report::Large(miss),
            Job::Load(miss) | Job::LoadLarge(miss) => {
                let found = load(&self.reader, &miss, Wait::Yes);
                Report::Loaded(miss, found)
            }
            Job::Names { id, db, pattern, overlay, bytes_max } => {
                Report::Answer(id, self.names(db, &pattern, &overlay, bytes_max), true)
            }
            Job::Step(id, db, position, count) => {
                let step = self.step(db, position, count);
                Report::Answer(id, step.map_err(|error| cannot_read(&error)), false)
            }
            Job::Sample(id, db, seed) => {
                let names = self.reader.sample(db, seed, SAMPLE_NAMES).map(Grant::Sample);
                Report::Answer(id, names.map_err(|error| cannot_read(&error)), false)
            }
            Job::Ask(id, question) => self.ask(id, question),
            Job::Count(db, overlay) => Report::Counted(db, self.count(db, &overlay)),
            Job::Walk { db, position, deadlines } => {
                self.walk(db, position, deadlines).unwrap_or_else(|error| {
                    log::warn!("walking database {db}: {error}");
                    Report::Idle(Lane::Lister)
                })
            }
            _ => unreachable!("a job goes to its lane"),
        }
    }
}

impl ReaderWorker {
    fn ask(&self, id: ClientId, question: Question) -> Report {
        let listing = question.is_listing();
        let Question { db, key, kind, ask } = question;
        let grant = match ask {
            Ask::Count(overlay) => {
                let count = self.element_count(db, &key, kind, &overlay);
                let count = count.map_err(|error| cannot_read(&error));
                return Report::ElementsCounted(id, db, key, count);
            }
            Ask::Elements(what, overlay, bytes_max) => {
                return Report::Answer(
                    id,
                    self.listed(db, &key, kind, what, &overlay, bytes_max),
                    listing,
                );
            }
            Ask::Ranks { overlay, count, kept_max, count_all } => {
                let zset = Zset { db, key: &key, overlay: &overlay, count };
                match self.bring(&zset, kept_max, count_all) {
                    Ok(Brought::Whole(zset)) => return Report::Whole(id, db, key, zset),
                    Ok(Brought::Histogram(counts)) => {
                        return Report::Histogram(id, db, key, counts);
                    }
                    Err(error) => Err(error),
                }
            }
            Ask::Range(overlay, count, asked, bytes_max) => {
                let zset = Zset { db, key: &key, overlay: &overlay, count };
                return Report::Answer(id, self.range(&zset, &asked, bytes_max), listing);
            }
            Ask::Step(position, count) => self.element_step(db, &key, kind, position, count),
            Ask::Sample(seed) => {
                let names = self.reader.sample_elements(db, &key, kind, seed, SAMPLE_NAMES);
                names.map(Grant::Sample)
            }
        };
        Report::Answer(id, grant.map_err(|error| cannot_read(&error)), listing)
    }

    /// Visits all elements, those that memory knows before those of the tree, until `visit` answers
    /// false.
    pub(super) fn visit(
        &self,
        db: Db,
        key: &[u8],
        kind: Type,
        overlay: &ElementOverlay,
        contents: bool,
        visit: &mut dyn FnMut(&Bytes, &Content) -> bool,
    ) -> io::Result<()> {
        for (name, content) in &overlay.elements {
            if let Some(content) = content
                && !visit(name, content)
            {
                return Ok(());
            }
        }
        if overlay.emptied {
            return Ok(());
        }
        self.reader.list_elements(db, key, kind, 0, None, contents, &mut |name, content| {
            overlay.elements.contains_key(&name) || visit(&name, &content.unwrap_or_default())
        })?;
        Ok(())
    }

    fn listed(
        &self,
        db: Db,
        key: &[u8],
        kind: Type,
        what: Listed,
        overlay: &ElementOverlay,
        bytes_max: u64,
    ) -> Result<Grant, Error> {
        let (mut bulks, mut count) = (Vec::new(), 0);
        let contents = what != Listed::Names;
        let listed = self.visit(db, key, kind, overlay, contents, &mut |name, content| {
            if what != Listed::Contents {
                push_bulk(&mut bulks, name);
            }
            if what != Listed::Names {
                push_bulk(&mut bulks, content);
            }
            count += 1;
            bulks.len() as u64 <= bytes_max
        });
        listed.map_err(|error| cannot_read(&error))?;
        admitted(bulks, count, bytes_max)
    }

    pub(super) fn element_count(
        &self,
        db: Db,
        key: &[u8],
        kind: Type,
        overlay: &ElementOverlay,
    ) -> io::Result<u64> {
        if overlay.elements.is_empty() && !overlay.emptied {
            return self.reader.count_elements(db, key, kind);
        }
        let mut count = 0;
        self.visit(db, key, kind, overlay, false, &mut |_, _| {
            count += 1;
            true
        })?;
        Ok(count)
    }

    fn element_step(
        &self,
        db: Db,
        key: &[u8],
        kind: Type,
        position: u64,
        count: usize,
    ) -> io::Result<Grant> {
        let mut elements = Vec::new();
        let contents = kind != Type::Set;
        let next = self.reader.list_elements(
            db,
            key,
            kind,
            position,
            Some(count),
            contents,
            &mut |name, content| {
                elements.push((name, content.unwrap_or_default()));
                true
            },
        )?;
        Ok(Grant::Elements { elements, next })
    }
}

fn push_bulk(bulks: &mut Vec<u8>, bytes: &[u8]) {
    bulks.push(b'$');
    push_i64(bulks, bytes.len() as i64);
    bulks.extend_from_slice(b"\r\n");
    bulks.extend_from_slice(bytes);
    bulks.extend_from_slice(b"\r\n");
}

/// What was encoded, if it is not longer than it may be.
pub(super) fn admitted(mut bulks: Vec<u8>, count: usize, bytes_max: u64) -> Result<Grant, Error> {
    if bulks.len() as u64 > bytes_max {
        return Err(reply_too_long(bytes_max));
    }
    bulks.reserve(ROOM_BYTES);
    Ok(Grant::Names { bulks, count })
}

pub(super) fn cannot_read(error: &io::Error) -> Error {
    Error::new(format!("ERR cannot read {error}"))
}
