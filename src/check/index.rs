//! Whether the index of a sorted set, `scores/`, says what its members do.
//!
//! Every line is compared with the member it names, and the lines are as many as the members that
//! can be read: then each of them has its line. Memory holds one group's file and some members.

use crate::base::bytes::Bytes;
use crate::base::score::Score;
use crate::disk::{Disk, Wait};
use crate::layout::collections::{Group, Pass};
use crate::layout::op::{Content, Db, Type};
use crate::layout::reader::TreeReader;
use crate::layout::{groups, names, paths};
use std::collections::HashSet;
use std::io;

/// Members that are compared at a time.
const BATCH_MEMBERS: usize = 1024;

/// What an index is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Index {
    /// It says what the members do.
    Sound,
    /// There is none: as good.
    Missing,
    /// It says something else: this.
    Wrong(String),
}

/// Compares the index of a sorted set, whose directory is `key_dir`, with its members.
pub(super) fn look(
    disk: &dyn Disk,
    reader: &TreeReader,
    db: Db,
    key: &[u8],
    key_dir: &str,
) -> io::Result<Index> {
    let Some(groups) = reader.scores(db, key)? else { return Ok(Index::Missing) };
    let mut lines = 0;
    for group in groups {
        match look_at_group(disk, reader, db, key, key_dir, group)? {
            Ok(count) => lines += count,
            Err(wrong) => return Ok(Index::Wrong(wrong)),
        }
    }
    let mut members = 0;
    reader.list_elements(db, key, Type::Zset, 0, None, true, &mut |_, content| {
        members += u64::from(score_of(content.as_ref()).is_some());
        true
    })?;
    Ok(match lines == members {
        true => Index::Sound,
        false => Index::Wrong(format!("has {lines} members, and values/ has {members}")),
    })
}

/// The number of members of a group, or what is wrong with it.
fn look_at_group(
    disk: &dyn Disk,
    reader: &TreeReader,
    db: Db,
    key: &[u8],
    key_dir: &str,
    group: Group,
) -> io::Result<Result<u64, String>> {
    let name = group.score.name();
    if !group.is_dir {
        let content = disk.read(&paths::group(&paths::scores(key_dir), group.score), Wait::Yes)?;
        let mut seen: HashSet<&[u8]> = HashSet::new();
        let bytes: usize = groups::lines(&content).map(|line| line.len() + 1).sum();
        if bytes != content.len() {
            return Ok(Err(format!("{name} has lines that are no names")));
        }
        if let Some(twice) = groups::lines(&content).find(|line| !seen.insert(line)) {
            return Ok(Err(format!("{name} has {} twice", String::from_utf8_lossy(twice))));
        }
    }
    let (mut count, mut wrong) = (0, Ok(None));
    let mut batch: Vec<Bytes> = Vec::new();
    let pass = reader.visit_group(db, key, group.score, None, &mut |member| {
        count += 1;
        batch.push(member);
        if batch.len() == BATCH_MEMBERS {
            wrong = compare(reader, db, key, group.score, &batch);
            batch.clear();
        }
        matches!(wrong, Ok(None))
    })?;
    if let Some(wrong) = wrong? {
        return Ok(Err(wrong));
    }
    if let Some(wrong) = compare(reader, db, key, group.score, &batch)? {
        return Ok(Err(wrong));
    }
    match (pass, count) {
        (Pass::Again, _) => Err(io::Error::other("somebody changes it")),
        (_, 0) => Ok(Err(format!("{name} has no members"))),
        _ => Ok(Ok(count)),
    }
}

/// What is wrong with the first member that has another score.
fn compare(
    reader: &TreeReader,
    db: Db,
    key: &[u8],
    score: Score,
    members: &[Bytes],
) -> io::Result<Option<String>> {
    let contents = reader.elements(db, key, Type::Zset, members, Wait::Yes)?;
    let other = members
        .iter()
        .zip(&contents)
        .find(|(_, content)| score_of(content.as_ref()) != Some(score));
    Ok(other.map(|(member, content)| {
        let member = names::encode_full(member);
        let says = match score_of(content.as_ref()) {
            Some(score) => format!("says {}", score.name()),
            None if content.is_some() => "holds no score".to_owned(),
            None => "is missing".to_owned(),
        };
        format!("{} has {member}, and values/{member} {says}", score.name())
    }))
}

fn score_of(content: Option<&Content>) -> Option<Score> {
    Score::from_content(content?)
}
