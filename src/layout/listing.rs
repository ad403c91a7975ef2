//! Listings of directories of names: keys of a database, elements of a collection, members of a
//! group.
//!
//! An entry counts if its name is canonical and it is of the kind that the directory holds; the
//! marker, companions and strangers are passed over, and a hashed name is resolved by its
//! companion. Walks go by directory positions ([`cursor`] says where they may end), samples start
//! at a random one. All of this may wait for the disk. It knows nothing of what the entries hold.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::bytes::Bytes;
use crate::base::clock;
use crate::disk::{DirEntry, Disk, Kind, Wait};
use crate::layout::names::{self, Entry};
use crate::layout::reader::is_absent;
use crate::layout::{cursor, paths};

/// Entries of a directory that are held while they are visited.
const BATCH_ENTRIES_MAX: usize = 1024;
/// Steps of the bisection that finds the end of a directory.
const MEASURE_STEPS: u32 = 8;
/// Directory positions above this are hashes, spread over all 63 bits.
const HASHED_POSITION_MIN: u64 = 1 << 40;
/// One sample of so many measures its directory again.
const MEASURE_EVERY: u64 = 16;
/// Directories of which a position near the end is remembered.
const SPANS_MAX: usize = 1024;

/// A directory of names.
#[derive(Clone, Copy)]
pub(super) struct Listing<'a> {
    pub(super) disk: &'a dyn Disk,
    /// Where it is.
    pub(super) dir: &'a str,
    /// What its entries are.
    pub(super) kind: Kind,
}

/// An entry of a directory of names.
pub(super) struct Found<'a> {
    /// The bytes that its name stands for.
    pub(super) bytes: &'a [u8],
    /// The position behind it.
    pub(super) next: u64,
    hashed: Option<&'a str>,
}

impl Found<'_> {
    /// Its path below this directory.
    pub(super) fn path(&self, dir: &str) -> String {
        match self.hashed {
            Some(name) => paths::within(dir, name),
            None => paths::within(dir, names::encode(self.bytes).as_str()),
        }
    }
}

/// For directories that were sampled a position near their end, by path. Clones are one.
#[derive(Clone, Default)]
pub(super) struct Spans(Arc<Mutex<HashMap<String, u64>>>);

impl Spans {
    /// Of an unknown directory, 0.
    fn get(&self, dir: &str) -> u64 {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.get(dir).copied().unwrap_or(0)
    }

    fn set(&self, dir: &str, span: u64) {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() >= SPANS_MAX {
            spans.clear();
        }
        spans.insert(dir.to_owned(), span);
    }
}

impl Listing<'_> {
    /// Visits the entries from a directory position on (0 is the beginning) until `visit` answers
    /// false. About `limit` entries are looked at: the walk goes on until [`cursor::may_end`].
    /// Answers the position to go on from; none at the end of the directory.
    pub(super) fn visit(
        &self,
        position: u64,
        limit: Option<usize>,
        visit: &mut dyn FnMut(&Found<'_>) -> io::Result<bool>,
    ) -> io::Result<Option<u64>> {
        let mut position = position;
        let mut left = limit;
        loop {
            let want = left.unwrap_or(BATCH_ENTRIES_MAX).min(BATCH_ENTRIES_MAX);
            let batch = self.batch(position, want, left.is_some_and(|left| left <= want))?;
            for (name, next) in &batch.entries {
                clock::rest();
                let next = *next;
                let go_on = match name {
                    ListedName::Plain(bytes) => visit(&Found { bytes, next, hashed: None })?,
                    ListedName::Hashed(name) => match self.resolve(name)? {
                        Some(bytes) => visit(&Found { bytes: &bytes, next, hashed: Some(name) })?,
                        None => true,
                    },
                };
                if !go_on {
                    return Ok(Some(next));
                }
            }
            if batch.end {
                return Ok(None);
            }
            position = batch.next;
            left = left.map(|left| left.saturating_sub(batch.seen));
            if left == Some(0) {
                return Ok(Some(position));
            }
        }
    }

    /// Counts the entries until there are `limit` of them. Answers whether that is all.
    pub(super) fn count(&self, limit: u64) -> io::Result<(u64, bool)> {
        let mut count = 0;
        let end = self.disk.list(self.dir, 0, &mut |entry| {
            if ListedName::of(&entry, self.kind).is_none() {
                return true;
            }
            if count == limit {
                return false;
            }
            count += 1;
            true
        })?;
        Ok((count, end))
    }

    /// Up to `limit` names that follow a place chosen by `seed`, and from the beginning on where
    /// that is near the end; all of them where there are no more.
    pub(super) fn sample(&self, spans: &Spans, seed: u64, limit: usize) -> io::Result<Vec<Bytes>> {
        if spans.get(self.dir) <= 1 || seed.is_multiple_of(MEASURE_EVERY) {
            self.measure(spans)?;
        }
        let start = seed % spans.get(self.dir).max(1);
        let mut names: Vec<Bytes> = Vec::new();
        for begin in [start, 0] {
            let mut from = Some(begin);
            while let Some(position) = from.filter(|_| names.len() < limit) {
                let listed = self.visit(position, Some(limit), &mut |found| {
                    if !names.iter().any(|name| **name == *found.bytes) {
                        names.push(Bytes::from(found.bytes));
                    }
                    Ok(names.len() < limit)
                });
                // A file system may refuse a position that it never gave out.
                from = if begin == 0 { listed? } else { listed.unwrap_or(None) };
            }
        }
        Ok(names)
    }

    /// Finds a position near the end of the directory: all of them where positions are hashes,
    /// elsewhere by halving, doubling and bisection of what was known. tmpfs counts down: there
    /// the beginning has the largest one.
    fn measure(&self, spans: &Spans) -> io::Result<()> {
        let mut known = spans.get(self.dir).max(1);
        let first = self.batch(0, 3, false)?;
        let &[one, two, _] = &first.nexts[..] else { return Ok(()) };
        if one.max(two) > HASHED_POSITION_MIN {
            known = i64::MAX as u64;
        }
        if known > HASHED_POSITION_MIN {
            spans.set(self.dir, known);
            return Ok(());
        }
        if one > two {
            spans.set(self.dir, one + 2);
            return Ok(());
        }
        // A file system may refuse a position that it never gave out.
        let follows = |position| self.follows(position).unwrap_or(false);
        while known > 1 && !follows(known) {
            known /= 2;
        }
        while known <= HASHED_POSITION_MIN && follows(known * 2) {
            known *= 2;
        }
        let mut beyond = known * 2;
        for _ in 0..MEASURE_STEPS {
            let middle = known.midpoint(beyond);
            if known <= HASHED_POSITION_MIN && follows(middle) {
                known = middle;
            } else {
                beyond = middle;
            }
        }
        let hashed = known > HASHED_POSITION_MIN;
        spans.set(self.dir, if hashed { i64::MAX as u64 } else { known });
        Ok(())
    }

    /// Whether an entry follows a position.
    fn follows(&self, position: u64) -> io::Result<bool> {
        Ok(!self.disk.list(self.dir, position, &mut |_| false)?)
    }

    /// Reads `want` entries, and with `to_cursor` as many more as the cursor needs to change.
    fn batch(&self, position: u64, want: usize, to_cursor: bool) -> io::Result<Batch> {
        let mut batch = Batch { next: position, ..Batch::default() };
        let end = self.disk.list(self.dir, position, &mut |entry| {
            batch.seen += 1;
            if let Some(name) = ListedName::of(&entry, self.kind) {
                batch.entries.push((name, entry.next));
            }
            batch.nexts.push(entry.next);
            let before = std::mem::replace(&mut batch.next, entry.next);
            batch.seen < want || to_cursor && !cursor::may_end(before, entry.next)
        });
        batch.end = end?;
        Ok(batch)
    }

    /// The bytes of a hashed name; none where its companion is missing or another's.
    fn resolve(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self.disk.read(&paths::companion(self.dir, name), Wait::Yes) {
            Ok(full) => Ok(names::resolve(name.as_bytes(), &full).map(|bytes| bytes.into_owned())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What a part of a listing found.
#[derive(Default)]
struct Batch {
    entries: Vec<(ListedName, u64)>,
    nexts: Vec<u64>,
    seen: usize,
    next: u64,
    end: bool,
}

/// The name of an entry that counts.
enum ListedName {
    Plain(Vec<u8>),
    Hashed(String),
}

impl ListedName {
    fn of(entry: &DirEntry<'_>, kind: Kind) -> Option<ListedName> {
        if entry.kind != kind {
            return None;
        }
        match names::classify(entry.name) {
            Entry::Plain(bytes) => Some(ListedName::Plain(bytes.into_owned())),
            Entry::Hashed => String::from_utf8(entry.name.to_vec()).ok().map(ListedName::Hashed),
            Entry::Companion | Entry::Marker | Entry::Stranger => None,
        }
    }
}
