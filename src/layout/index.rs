//! The index of a sorted set, `scores/`, made anew from its members.
//!
//! It is built in `.dredis/tmp`, synced, and put into place whole: at any moment there is the old
//! one, the new one or none, and none is as good as any. Strangers move over. Memory holds some
//! thousand members at a time. A member whose file holds no score is left out: it cannot be read
//! either.

use std::collections::BTreeMap;
use std::io;

use crate::base::bytes::Bytes;
use crate::base::score::Score;
use crate::disk::Kind;
use crate::layout::files::Files;
use crate::layout::names::{self, Entry};
use crate::layout::op::{Db, Key, Type};
use crate::layout::reader::TreeReader;
use crate::layout::regroup::{GroupChange, Regroup, Scores};
use crate::layout::{paths, trash};

/// Members that are read before their groups are written.
const BATCH_MEMBERS: usize = 4096;

/// What an index was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// Members in it.
    pub members: u64,
    /// Members whose files hold no score.
    pub left_out: u64,
}

/// Makes the index of a sorted set, in place of the one that is there. Nothing else may change the
/// set meanwhile.
pub(super) fn build(
    files: &mut Files,
    regroup: &mut Regroup,
    reader: &TreeReader,
    db: Db,
    key: &Key,
) -> io::Result<Built> {
    let key_dir = reader.dir(db, key, crate::disk::Wait::Yes)?;
    let dir = files.tmp();
    files.disk.create_dir(&dir)?;
    let values = paths::elements(&key_dir, Type::Zset);
    let scores = Scores { db, key: key.clone(), dir, values, fresh: false };
    let built = fill(files, regroup, reader, &scores).and_then(|built| {
        put_in_place(files, &scores.dir, &paths::scores(&key_dir)).map(|()| built)
    });
    if built.is_err() {
        let _ = files.trash.discard(&scores.dir); // A start empties `tmp`.
    }
    built
}

fn fill(
    files: &mut Files,
    regroup: &mut Regroup,
    reader: &TreeReader,
    scores: &Scores,
) -> io::Result<Built> {
    let mut built = Built::default();
    let mut position = Some(0);
    while let Some(from) = position {
        let mut groups: BTreeMap<Score, Vec<Bytes>> = BTreeMap::new();
        position = reader.list_elements(
            scores.db,
            &scores.key,
            Type::Zset,
            from,
            Some(BATCH_MEMBERS),
            true,
            &mut |member, content| {
                match content.and_then(|content| Score::from_content(&content)) {
                    Some(score) => groups.entry(score).or_default().push(member),
                    None => built.left_out += 1,
                }
                true
            },
        )?;
        for (score, members) in &groups {
            built.members += members.len() as u64;
            let change = GroupChange { puts: members.iter().collect(), absents: Vec::new() };
            regroup.change(files, scores, *score, &change)?;
        }
    }
    regroup.settle(files)?;
    Ok(built)
}

fn put_in_place(files: &mut Files, new: &str, place: &str) -> io::Result<()> {
    if !files.is(new, Kind::Dir)? {
        return Err(io::Error::other("the file system refuses the names of scores"));
    }
    files.disk.sync_all()?;
    match files.disk.rename(new, place) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        // There is one: a directory that is not empty, or a file in the way.
        Err(_) => {
            files.disk.exchange(new, place)?;
            let is_ours = |name: &str| !matches!(names::classify(name.as_bytes()), Entry::Stranger);
            let strangers = trash::entries_but(&*files.disk, new, usize::MAX, is_ours)?;
            for (path, _) in strangers {
                files.disk.rename(&path, &paths::within(place, &path[new.len() + 1..]))?;
            }
            files.trash.discard(new)
        }
    }
}
