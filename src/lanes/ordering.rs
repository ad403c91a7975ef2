//! What a sorted set has in order, read from its score groups with what memory knows laid over
//! them, while the writer leaves them as they are: how many members have each score, and the
//! members of a range.
//!
//! Of the members at most [`PIECE_NAMES`] are held at once, however many there are: a group of more
//! is gone through again for each piece. Of the scores all are, 12 bytes each.

use super::reading::{ReaderWorker, admitted, cannot_read};
use crate::base::bytes::Bytes;
use crate::base::score::Score;
use crate::disk::Wait;
use crate::keyspace::{Error, Grant, Ranging, ScoreOverlay};
use crate::layout::collections::{Group, Pass};
use crate::layout::op::{Db, Type};
use crate::layout::reader::{AHEAD_FILES, FileRead};
use crate::resp::{Protocol, Reply, Shape};
use crate::value::{Bounds, Histogram, MemberRange, Order, ZsetValue};
use hashbrown::HashSet;
use std::cmp::Ordering;
use std::io;

/// Members of one group that are sorted at once.
const PIECE_NAMES: usize = 1 << 18;
/// Groups are read to be counted, if they are so few, though nobody needs it yet.
const READ_GROUPS_MAX: usize = 256;
/// Bytes that a member takes in memory with all that belongs to it, at the least.
const MEMBER_BYTES: usize = 180;

/// A sorted set of the tree, with what memory knows better.
pub(super) struct Zset<'a> {
    pub(super) db: Db,
    pub(super) key: &'a [u8],
    pub(super) overlay: &'a ScoreOverlay,
    /// How many members it has with the overlay, where that is known.
    pub(super) count: Option<u64>,
}

/// What is known of a sorted set once it was looked at.
pub(super) enum Brought {
    /// How many members have each score.
    Histogram(Histogram),
    /// All of it.
    Whole(Box<ZsetValue>),
}

impl ReaderWorker {
    /// What memory is to keep of a sorted set: all where that takes at most `kept_max` bytes, or
    /// where it has no index by score.
    pub(super) fn bring(
        &self,
        zset: &Zset<'_>,
        kept_max: usize,
        count_all: bool,
    ) -> io::Result<Brought> {
        let Some(histogram) = self.histogram(zset, count_all)? else {
            let order = self.order(zset)?;
            return Ok(Brought::Whole(Box::new(ZsetValue::of(order))));
        };
        if histogram.len() > kept_max / MEMBER_BYTES {
            return Ok(Brought::Histogram(histogram));
        }
        Ok(match ZsetValue::within(kept_max, self.order(zset)?) {
            Some(whole) => Brought::Whole(Box::new(whole)),
            None => Brought::Histogram(histogram),
        })
    }

    /// Answers what a range of a sorted set has.
    pub(super) fn range(
        &self,
        zset: &Zset<'_>,
        asked: &Ranging,
        bytes_max: u64,
    ) -> Result<Grant, Error> {
        let answer = match asked {
            Ranging::Show(range, shape, protocol) => {
                return self.show(zset, range, *shape, *protocol, bytes_max);
            }
            Ranging::Count(range) => self.count_members(zset, range),
            Ranging::Rank { score, member, reverse } => self.rank(zset, *score, member, *reverse),
        };
        answer.map_err(|error| cannot_read(&error))
    }

    /// The members of a range, encoded.
    fn show(
        &self,
        zset: &Zset<'_>,
        range: &MemberRange,
        shape: Shape,
        protocol: Protocol,
        bytes_max: u64,
    ) -> Result<Grant, Error> {
        let (mut bulks, mut count) = (Vec::new(), 0);
        let walked = self.walk_range(zset, range, &mut |score, member| {
            Reply::new(&mut bulks, protocol).member(shape, member, score.get());
            count += 1;
            bulks.len() as u64 <= bytes_max
        });
        walked.map_err(|error| cannot_read(&error))?;
        admitted(bulks, count, bytes_max)
    }

    /// Visits the members of a range in its direction until `visit` answers false.
    fn walk_range(
        &self,
        zset: &Zset<'_>,
        range: &MemberRange,
        visit: &mut dyn FnMut(Score, &Bytes) -> bool,
    ) -> io::Result<()> {
        let Some(histogram) = self.histogram(zset, false)? else {
            let order = self.order(zset)?;
            let mut members = range.walk(&order, range.ranks(&order));
            members.all(|(score, member)| visit(score, member));
            return Ok(());
        };
        let (groups, mut skip, mut take) = range.groups(&histogram, range.reverse);
        if take == 0 {
            return Ok(());
        }
        let by_name = matches!(range.bounds, Bounds::Names(..));
        let is_skipped = |count: usize, skip| count > 0 && skip >= count && !by_name;
        let mut groups = groups.peekable();
        while let Some((_, count)) = groups.next_if(|(_, count)| is_skipped(*count, skip)) {
            skip -= count;
        }
        let groups = groups.map(|(score, count)| (count, Group { score, is_dir: false }));
        let ahead = AHEAD_FILES.min(skip.saturating_add(take));
        self.visit_files(zset, groups, ahead, &mut |count, group, file| {
            if is_skipped(count, skip) {
                skip -= count;
                return Ok(true);
            }
            self.group(zset, group.score, file, range.reverse, &mut |member| {
                if !range.admits(member) {
                    return true;
                }
                if skip > 0 {
                    skip -= 1;
                    return true;
                }
                let go_on = take > 0 && visit(group.score, member);
                take = if go_on { take - 1 } else { 0 };
                take > 0
            })?;
            Ok(take > 0)
        })
    }

    fn count_members(&self, zset: &Zset<'_>, range: &MemberRange) -> io::Result<Grant> {
        let Some(histogram) = self.histogram(zset, false)? else {
            let count = range.ranks(&self.order(zset)?).len();
            return Ok(Grant::Names { bulks: Vec::new(), count });
        };
        let groups = range.groups(&histogram, range.reverse).0;
        let mut count = 0;
        if matches!(range.bounds, Bounds::Names(..)) {
            for (score, _) in groups {
                self.visit_members(zset, score, None, &mut |member| {
                    count += usize::from(range.admits(&member));
                })?;
            }
        } else {
            count = self.counted(zset, groups)?;
        }
        Ok(Grant::Names { bulks: Vec::new(), count: range.part(count).1 })
    }

    /// How many members these scores of a histogram have; those that are uncounted are read.
    fn counted(
        &self,
        zset: &Zset<'_>,
        groups: impl Iterator<Item = (Score, usize)>,
    ) -> io::Result<usize> {
        let (mut known, mut read) = (0, 0);
        let uncounted = groups.filter_map(|(score, count)| {
            known += count;
            (count == 0).then_some(((), Group { score, is_dir: false }))
        });
        self.count_each(zset, uncounted, |(), len| read += len as usize)?;
        Ok(known + read)
    }

    /// How many members come before one that has this score; [`Grant::Done`] where it has another
    /// one by now: the command has to look again.
    fn rank(
        &self,
        zset: &Zset<'_>,
        score: Score,
        member: &Bytes,
        reverse: bool,
    ) -> io::Result<Grant> {
        let (len, before, mut found) = match self.histogram(zset, false)? {
            None => {
                let order = self.order(zset)?;
                let rank = order.rank(score, member);
                (order.len(), rank.unwrap_or(0), rank.is_some())
            }
            Some(histogram) => {
                let lower = histogram.between(|_| true, |other| other < score);
                (histogram.len(), self.counted(zset, lower)?, false)
            }
        };
        let mut lower = 0;
        if !found {
            self.visit_members(zset, score, None, &mut |other| {
                lower += usize::from(other < *member);
                found |= other == *member;
            })?;
        }
        if !found {
            return match self.score(zset, member)? {
                Some(now) if now == score => Err(wrong_index(zset.key, "lacks a member")),
                _ => Ok(Grant::Done),
            };
        }
        let rank = before + lower;
        let count = if reverse { len - 1 - rank } else { rank };
        Ok(Grant::Names { bulks: Vec::new(), count })
    }

    /// How many members have each score; `None` where the index is missing. A group that is a file
    /// has one member more often than not: if all of them together make up for the other members,
    /// each has one, and none is read. Else they are read, if they are few or `count_all` is set,
    /// or stay uncounted.
    fn histogram(&self, zset: &Zset<'_>, count_all: bool) -> io::Result<Option<Histogram>> {
        let Zset { db, key, overlay, .. } = *zset;
        let mut groups = match overlay.members.emptied {
            true => Vec::new(),
            false => match self.reader.scores(db, key)? {
                None => return Ok(None),
                Some(groups) => groups,
            },
        };
        groups.sort_unstable_by_key(|group| group.score);
        let is_new = |score: &&Score| groups.binary_search_by_key(*score, |at| at.score).is_err();
        let new: Vec<Score> = overlay.groups.keys().filter(is_new).copied().collect();
        groups.extend(new.into_iter().map(|score| Group { score, is_dir: false }));
        groups.sort_unstable_by_key(|group| group.score);
        let is_file = |group: &Group| !group.is_dir && !overlay.members.emptied;
        let may_be_alone =
            |group: &Group| is_file(group) && !overlay.groups.contains_key(&group.score);
        let read_max = if count_all { usize::MAX } else { READ_GROUPS_MAX };
        let of_others =
            groups.iter().filter(|group| is_file(group) && !may_be_alone(group)).count();
        let mut counts: Vec<Option<u64>> =
            groups.iter().map(|group| may_be_alone(group).then_some(1)).collect();
        let all = || groups.iter().copied().enumerate();
        let others = all().filter(|(_, group)| {
            !may_be_alone(group) && (!is_file(group) || of_others <= read_max)
        });
        self.count_each(zset, others, |at, len| counts[at] = Some(len))?;
        let len = match zset.count {
            Some(count) => count,
            None => self.element_count(db, key, Type::Zset, &overlay.members)?,
        };
        let sum = |counts: &[Option<u64>]| counts.iter().copied().sum::<Option<u64>>();
        if sum(&counts) != Some(len) {
            let alone = || all().filter(|(_, group)| may_be_alone(group));
            alone().for_each(|(at, _)| counts[at] = None);
            if alone().count() <= read_max {
                self.count_each(zset, alone(), |at, len| counts[at] = Some(len))?;
            }
        }
        if let Some(sum) = sum(&counts).filter(|sum| *sum != len) {
            return Err(wrong_index(key, &format!("has {sum} members and not the {len}")));
        }
        let counts = counts
            .into_iter()
            .map(|count| count.map(|count| u32::try_from(count).unwrap_or(u32::MAX)));
        Ok(Some(Histogram::new(len, groups.iter().map(|group| group.score).zip(counts))))
    }

    /// The score of a member, from its own file.
    fn score(&self, zset: &Zset<'_>, member: &Bytes) -> io::Result<Option<Score>> {
        let overlay = &zset.overlay.members;
        let content = match overlay.elements.get(member) {
            Some(content) => content.clone(),
            None if overlay.emptied => None,
            None => {
                let names = std::slice::from_ref(member);
                let found =
                    self.reader.elements(zset.db, zset.key, Type::Zset, names, Wait::Yes)?;
                found.into_iter().next().flatten()
            }
        };
        Ok(content.and_then(|text| Score::from_content(&text)))
    }

    /// Finds how many members each of these groups has, with the overlay.
    fn count_each<T>(
        &self,
        zset: &Zset<'_>,
        groups: impl Iterator<Item = (T, Group)>,
        mut found: impl FnMut(T, u64),
    ) -> io::Result<()> {
        self.visit_files(zset, groups, AHEAD_FILES, &mut |of, group, file| {
            found(of, self.group_len(zset, group, file)?);
            Ok(true)
        })
    }

    /// Visits groups with what reading their files gave, `ahead` of them being read at once, until
    /// `visit` answers false. No file is read of groups that are directories, or of the overlay's
    /// alone.
    fn visit_files<T>(
        &self,
        zset: &Zset<'_>,
        mut groups: impl Iterator<Item = (T, Group)>,
        ahead: usize,
        visit: &mut dyn FnMut(T, Group, Option<FileRead>) -> io::Result<bool>,
    ) -> io::Result<()> {
        loop {
            let chunk: Vec<(T, Group)> = groups.by_ref().take(ahead).collect();
            if chunk.is_empty() {
                return Ok(());
            }
            let has_file = |group: &Group| !group.is_dir && !zset.overlay.members.emptied;
            let files = chunk.iter().map(|(_, group)| group).filter(|group| has_file(group));
            let scores: Vec<Score> = files.map(|group| group.score).collect();
            let mut files = self.reader.group_files(zset.db, zset.key, &scores)?;
            for (of, group) in chunk {
                let file = if has_file(&group) { files.next() } else { None };
                if !visit(of, group, file)? {
                    return Ok(());
                }
            }
        }
    }

    /// How many members a group has, with the overlay.
    fn group_len(&self, zset: &Zset<'_>, group: Group, file: Option<FileRead>) -> io::Result<u64> {
        let Zset { db, key, overlay, .. } = *zset;
        if !group.is_dir || overlay.members.emptied {
            let mut members = HashSet::new();
            let add = &mut |member| _ = members.insert(member);
            self.visit_members(zset, group.score, file, add)?;
            return Ok(members.len() as u64);
        }
        let mut len = self.reader.group_len(db, key, group.score)?;
        let Some(pending) = overlay.groups.get(&group.score) else { return Ok(len) };
        let members: Vec<Bytes> = pending.keys().cloned().collect();
        let found = self.reader.in_group_dir(db, key, group.score, &members)?;
        for (present, was) in pending.values().zip(found) {
            len = len + u64::from(*present) - u64::from(was);
        }
        Ok(len)
    }

    /// Visits the members of a score in order, or backwards, until `visit` answers false.
    fn group(
        &self,
        zset: &Zset<'_>,
        score: Score,
        mut file: Option<FileRead>,
        reverse: bool,
        visit: &mut dyn FnMut(&Bytes) -> bool,
    ) -> io::Result<()> {
        let mut behind: Option<Bytes> = None;
        loop {
            let piece = self.piece(zset, score, file.take(), behind.as_ref(), reverse)?;
            let is_last = piece.len() < PIECE_NAMES;
            if !piece.iter().all(&mut *visit) || is_last {
                return Ok(());
            }
            behind = piece.into_iter().next_back();
        }
    }

    /// The first members of a score behind one of them, in order or backwards: so many as a piece
    /// has, or all there are.
    fn piece(
        &self,
        zset: &Zset<'_>,
        score: Score,
        file: Option<FileRead>,
        behind: Option<&Bytes>,
        reverse: bool,
    ) -> io::Result<Vec<Bytes>> {
        let compare = |a: &Bytes, b: &Bytes| match reverse {
            false => a.cmp(b),
            true => b.cmp(a),
        };
        let (mut names, mut last): (Vec<Bytes>, Option<Bytes>) = (Vec::new(), None);
        self.visit_members(zset, score, file, &mut |member| {
            let before = behind.is_some_and(|behind| compare(&member, behind) != Ordering::Greater);
            let beyond =
                last.as_ref().is_some_and(|last| compare(&member, last) == Ordering::Greater);
            if before || beyond {
                return;
            }
            names.push(member);
            if names.len() == 2 * PIECE_NAMES {
                names.select_nth_unstable_by(PIECE_NAMES - 1, compare);
                names.truncate(PIECE_NAMES);
                last = names.last().cloned();
            }
        })?;
        names.sort_unstable_by(compare);
        names.dedup(); // People may have written a line twice.
        names.truncate(PIECE_NAMES);
        Ok(names)
    }

    /// Visits the members of a score, in no order; `file` is what reading its file gave, if that
    /// was done.
    fn visit_members(
        &self,
        zset: &Zset<'_>,
        score: Score,
        file: Option<FileRead>,
        visit: &mut dyn FnMut(Bytes),
    ) -> io::Result<()> {
        let pending = zset.overlay.groups.get(&score);
        let present = pending.into_iter().flatten().filter(|(_, present)| **present);
        present.for_each(|(member, _)| visit(member.clone()));
        if zset.overlay.members.emptied {
            return Ok(());
        }
        let pass = self.reader.visit_group(zset.db, zset.key, score, file, &mut |member| {
            if pending.is_none_or(|pending| !pending.contains_key(&member)) {
                visit(member);
            }
            true
        })?;
        match pass {
            Pass::Again => {
                Err(io::Error::other("a group of a sorted set changed while it was read"))
            }
            Pass::Whole | Pass::Ended => Ok(()),
        }
    }

    /// All members in order, from the files of the members.
    fn order(&self, zset: &Zset<'_>) -> io::Result<Order> {
        let (mut pairs, mut damaged) = (Vec::new(), None);
        let (db, key, overlay) = (zset.db, zset.key, &zset.overlay.members);
        self.visit(db, key, Type::Zset, overlay, true, &mut |name, content| {
            match Score::from_content(content) {
                Some(score) => pairs.push((score, name.clone())),
                None => damaged = Some(name.clone()),
            }
            damaged.is_none()
        })?;
        match damaged {
            None => Ok(pairs.into_iter().collect()),
            Some(name) => {
                let member = String::from_utf8_lossy(&name).into_owned();
                let text = format!("the score of member '{member}': not a number");
                Err(io::Error::new(io::ErrorKind::InvalidData, text))
            }
        }
    }
}

fn wrong_index(key: &[u8], what: &str) -> io::Error {
    let key = String::from_utf8_lossy(key);
    let text = format!("key '{key}': its scores/ {what} that its values/ say; run 'dredis repair'");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
