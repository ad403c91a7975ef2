//! The tree writer's part for score groups: lines come and go, files become directories and back.
//!
//! A group that is new has nothing to lose: it is made like any file. A line more is appended in
//! place: a cut leaves the old lines and perhaps a part of the new one, which is no line
//! ([`groups`]) and which replay, bringing the same line again, writes anew. A line less makes a
//! new file of old ones that no replay could bring back, so it is synced before it replaces the
//! old: all those of one call of [`super::writer::TreeWriter::apply`] together, by
//! [`Regroup::settle`]. A conversion is built beside the group, synced and exchanged for it: at any
//! moment one of the two is there. Where a file system cannot exchange, nothing is converted; both
//! forms are read at any size.
//!
//! `scores/` is an index of `values/`, and a missing one stays missing: a part of it would be
//! believed to be all of it. It is made with its key, or whole. Where the file system refuses the
//! name of a group, the index is given up.

use std::collections::{BTreeMap, HashMap};
use std::io;

use rustix::io::Errno;

use crate::base::bytes::Bytes;
use crate::base::score::Score;
use crate::base::variant::{Step, step};
use crate::disk::{self, Kind, Wait};
use crate::layout::entries::NameDir;
use crate::layout::files::{Files, Made, absent};
use crate::layout::groups::{self, DIR_BYTES_MIN, FILE_BYTES_MAX};
use crate::layout::listing::Listing;
use crate::layout::names::{self, Entry};
use crate::layout::op::{Db, Key};
use crate::layout::paths;
use crate::layout::reader::is_absent;

/// So many new files are synced one by one; more of them by one syncfs.
const SYNC_ONE_BY_ONE_MAX: usize = 4;
/// Entries that are looked at to learn how far a group is from being small.
const LOOK_ENTRIES_MAX: usize = 1024;
/// Groups of which that is remembered.
const SPARE_GROUPS_MAX: usize = 1024;

/// What is known of groups between one change and the next.
#[derive(Default)]
pub(super) struct Regroup {
    /// Groups and the new files that are to replace them, once these are synced.
    pending: BTreeMap<String, Pending>,
    /// Keys for which there was no room after all, and the first error that said so.
    pub(super) failed: Vec<(Db, Key)>,
    pub(super) full: Option<io::Error>,
    /// Of a group's directory, its inode and the bytes of lines that it has at least beyond those
    /// that make it small.
    spare: HashMap<String, (u64, usize)>,
    /// The file system cannot exchange two names.
    no_exchange: bool,
}

/// A file in `tmp`, and the key for which it was made.
struct Pending {
    tmp: String,
    db: Db,
    key: Key,
}

/// Where the groups of one sorted set lie.
pub(super) struct Scores {
    /// The database of the key,
    pub(super) db: Db,
    /// and its name.
    pub(super) key: Key,
    /// The directory of the groups.
    pub(super) dir: String,
    /// The directory of the members, in which companions lie.
    pub(super) values: String,
    /// There are no groups yet.
    pub(super) fresh: bool,
}

/// Members that enter and leave one group.
#[derive(Default)]
pub(super) struct GroupChange<'a> {
    pub(super) puts: Vec<&'a Bytes>,
    pub(super) absents: Vec<&'a Bytes>,
}

/// A line that is to be there, or not to be there.
struct Wanted {
    line: String,
    put: bool,
    found: bool,
}

impl Regroup {
    /// Brings about all changes of one group. They count once [`Regroup::settle`] has returned.
    pub(super) fn change(
        &mut self,
        files: &mut Files,
        scores: &Scores,
        score: Score,
        change: &GroupChange<'_>,
    ) -> io::Result<()> {
        let path = paths::group(&scores.dir, score);
        if self.pending.contains_key(&path) {
            self.settle(files)?;
        }
        let found = match scores.fresh {
            true => Err(Errno::NOENT.into()),
            false => files.disk.read(&path, Wait::Yes),
        };
        match found {
            Ok(content) => self.change_file(files, scores, &path, &content, change),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                self.change_dir(files, &path, change)
            }
            Err(error) if is_absent(&error) => self.make(files, scores, &path, &change.puts),
            Err(error) => Err(error),
        }
    }

    /// Syncs the files that were made of old ones and renames them into place. What finds no room
    /// is in `failed` then; after any other error it can be called again.
    pub(super) fn settle(&mut self, files: &mut Files) -> io::Result<()> {
        let one_by_one = self.pending.len() <= SYNC_ONE_BY_ONE_MAX;
        if step(Step::SyncRegroup) && !one_by_one {
            files.disk.sync_all()?;
        }
        while let Some((path, Pending { tmp, .. })) = self.pending.first_key_value() {
            let synced = match step(Step::SyncRegroup) && one_by_one {
                true => files.disk.sync_file(tmp),
                false => Ok(()),
            };
            let done = synced.and_then(|()| files.disk.rename(tmp, path));
            let full = matches!(&done, Err(error) if disk::is_full(error));
            if done.is_err() && !full {
                return done;
            }
            let Some((_, Pending { tmp, db, key })) = self.pending.pop_first() else { break };
            if let Err(error) = done {
                let _ = files.disk.remove_file(&tmp); // A start empties `tmp`.
                self.failed.push((db, key));
                self.full.get_or_insert(error);
            }
        }
        Ok(())
    }

    /// Makes a group that is not there.
    fn make(
        &mut self,
        files: &mut Files,
        scores: &Scores,
        path: &str,
        puts: &[&Bytes],
    ) -> io::Result<()> {
        if puts.is_empty() {
            return Ok(());
        }
        let mut content = String::new();
        for put in puts {
            content.push_str(names::encode(put).as_str());
            content.push('\n');
        }
        let made = if content.len() <= FILE_BYTES_MAX {
            files.put(path, content.as_bytes(), Made::New)
        } else {
            self.spare.remove(path);
            files.disk.create_dir(path).and_then(|()| {
                let mut dir = NameDir::new_of_files(path.to_owned());
                puts.iter().try_for_each(|put| files.put_entry(&mut dir, names::encode(put), None))
            })
        };
        let Err(error) = made else { return Ok(()) };
        if is_absent(&error) && !files.is(&scores.dir, Kind::Dir)? {
            return Ok(()); // There is no index, or no key: see above.
        }
        if files.is_refusal(&error)? && files.disk.stat(path, Wait::Yes).is_err() {
            self.settle(files)?;
            return files.trash.discard(&scores.dir);
        }
        Err(error)
    }

    fn change_file(
        &mut self,
        files: &mut Files,
        scores: &Scores,
        path: &str,
        old: &[u8],
        change: &GroupChange<'_>,
    ) -> io::Result<()> {
        let mut wanted = wanted(change);
        let mut new: Vec<u8> = Vec::with_capacity(old.len() + 64);
        for line in groups::lines(old) {
            let found = wanted.binary_search_by(|wanted| wanted.line.as_bytes().cmp(line));
            let keep = found.is_err() || found.is_ok_and(|at| wanted[at].put && !wanted[at].found);
            if let Ok(at) = found {
                wanted[at].found = true;
            }
            if keep {
                new.extend_from_slice(line);
                new.push(b'\n');
            }
        }
        let kept = new.len();
        for added in wanted.iter().filter(|wanted| wanted.put && !wanted.found) {
            new.extend_from_slice(added.line.as_bytes());
            new.push(b'\n');
        }
        if new.is_empty() {
            return files.remove(path).map(|_| ());
        }
        if new.len() > FILE_BYTES_MAX && self.become_dir(files, scores, path, &new)? {
            return Ok(());
        }
        if kept == old.len() {
            return match new.len() - kept {
                0 if change.puts.is_empty() => Ok(()),
                // An error of the disk may have lost it since it was seen.
                0 => self.in_place(files, scores, path, &new, 0),
                _ => self.in_place(files, scores, path, &new, kept),
            };
        }
        if kept == 0 {
            return files.put(path, &new, Made::There);
        }
        self.defer(files, scores, path, &new)
    }

    /// Writes the end of a group's file, from an offset on, in place where the file has one name,
    /// and otherwise the whole of it anew.
    fn in_place(
        &mut self,
        files: &mut Files,
        scores: &Scores,
        path: &str,
        whole: &[u8],
        offset: usize,
    ) -> io::Result<()> {
        if files.disk.stat(path, Wait::Yes)?.links == 1 {
            match files.disk.write_at(path, offset as u64, &whole[offset..]) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                done => return done,
            }
        }
        self.defer(files, scores, path, whole)
    }

    /// Makes the file that is to replace a group's, once it is synced.
    fn defer(
        &mut self,
        files: &mut Files,
        scores: &Scores,
        path: &str,
        content: &[u8],
    ) -> io::Result<()> {
        let tmp = files.tmp();
        let made = files.disk.create(&tmp, content);
        if made.is_err() {
            let _ = files.disk.remove_file(&tmp); // A start empties `tmp`.
            return made;
        }
        let (db, key) = (scores.db, scores.key.clone());
        self.pending.insert(path.to_owned(), Pending { tmp, db, key });
        Ok(())
    }

    fn change_dir(
        &mut self,
        files: &mut Files,
        path: &str,
        change: &GroupChange<'_>,
    ) -> io::Result<()> {
        let mut dir = NameDir::of_files(path.to_owned());
        let mut gone = 0;
        for name in change.absents.iter().map(|member| names::encode(member)) {
            gone += name.as_str().len() + 1;
            files.remove_entry(&mut dir, name)?;
        }
        for member in &change.puts {
            files.put_entry(&mut dir, names::encode(member), None)?;
        }
        if gone > 0 { self.shrink(files, path, gone) } else { Ok(()) }
    }

    /// Makes a directory a file where it has become small by these bytes of lines, and removes an
    /// empty one. Looks at it only where that is possible by what was seen before.
    fn shrink(&mut self, files: &mut Files, path: &str, gone: usize) -> io::Result<()> {
        let inode = files.disk.stat(path, Wait::Yes)?.inode;
        if let Some((known, spare)) = self.spare.get_mut(path)
            && *known == inode
            && *spare > gone
        {
            *spare -= gone;
            return Ok(());
        }
        let mut lines: Vec<String> = Vec::new();
        let mut bytes = 0;
        let listing = Listing { disk: &*files.disk, dir: path, kind: Kind::File };
        let next = listing.visit(0, None, &mut |entry| {
            lines.push(names::encode(entry.bytes).as_str().to_owned());
            bytes += lines.last().map_or(0, String::len) + 1;
            Ok(lines.len() < LOOK_ENTRIES_MAX)
        })?;
        self.spare.remove(path);
        if lines.is_empty() {
            return files.remove_tree(path);
        }
        if bytes < DIR_BYTES_MIN && next.is_none() {
            lines.sort_unstable();
            return self.become_file(files, path, &lines);
        }
        if self.spare.len() >= SPARE_GROUPS_MAX {
            self.spare.clear();
        }
        self.spare.insert(path.to_owned(), (inode, bytes.saturating_sub(DIR_BYTES_MIN)));
        Ok(())
    }

    /// Makes a file a directory with these lines. Answers false where that cannot be.
    fn become_dir(
        &mut self,
        files: &mut Files,
        scores: &Scores,
        path: &str,
        lines: &[u8],
    ) -> io::Result<bool> {
        if self.no_exchange {
            return Ok(false);
        }
        self.spare.remove(path);
        let tmp = files.tmp();
        let built = build_dir(files, scores, &tmp, lines);
        match built.and_then(|()| self.exchange(files, &tmp, path)) {
            Ok(true) => absent(files.disk.remove_file(&tmp)).map(|()| true),
            Ok(false) => files.trash.discard(&tmp).map(|()| false),
            Err(error) => {
                let _ = files.trash.discard(&tmp); // A start empties `tmp`.
                Err(error)
            }
        }
    }

    /// Makes a directory a file with these lines, where that can be.
    fn become_file(&mut self, files: &mut Files, path: &str, lines: &[String]) -> io::Result<()> {
        if self.no_exchange || has_strangers(files, path)? {
            return Ok(());
        }
        let tmp = files.tmp();
        let content = format!("{}\n", lines.join("\n"));
        let built = files.disk.create(&tmp, content.as_bytes()).and_then(|()| {
            match step(Step::SyncRegroup) {
                true => files.disk.sync_file(&tmp),
                false => Ok(()),
            }
        });
        match built.and_then(|()| self.exchange(files, &tmp, path)) {
            Ok(true) => files.trash.discard(&tmp),
            Ok(false) => absent(files.disk.remove_file(&tmp)),
            Err(error) => {
                let _ = files.disk.remove_file(&tmp); // A start empties `tmp`.
                // It is as good as it is.
                if disk::is_full(&error) { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Puts what was built in the place of a group. Answers false where names cannot be exchanged.
    fn exchange(&mut self, files: &mut Files, tmp: &str, path: &str) -> io::Result<bool> {
        match files.disk.exchange(tmp, path) {
            Ok(()) => Ok(true),
            Err(error) => {
                let cannot = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
                let errno = disk::errno(&error);
                self.no_exchange = cannot.iter().any(|of| errno == Some(of.raw_os_error()));
                if self.no_exchange { Ok(false) } else { Err(error) }
            }
        }
    }
}

/// The lines that a change speaks of, in their order.
fn wanted(change: &GroupChange<'_>) -> Vec<Wanted> {
    let of = |member: &&Bytes, put| {
        let line = names::encode(member).as_str().to_owned();
        Wanted { line, put, found: false }
    };
    let puts = change.puts.iter().map(|member| of(member, true));
    let mut wanted: Vec<Wanted> =
        puts.chain(change.absents.iter().map(|member| of(member, false))).collect();
    wanted.sort_unstable_by(|a, b| a.line.cmp(&b.line));
    wanted
}

/// Makes a synced directory with an entry for each line.
fn build_dir(files: &mut Files, scores: &Scores, tmp: &str, lines: &[u8]) -> io::Result<()> {
    files.disk.create_dir(tmp)?;
    let mut dir = NameDir::new_of_files(tmp.to_owned());
    for line in groups::lines(lines) {
        let name = match names::classify(line) {
            Entry::Plain(member) => names::encode(&member),
            _ => match full_name(files, &scores.values, line)? {
                Some(member) => names::encode(&member),
                // No member has that name.
                None => continue,
            },
        };
        let companion = name.is_hashed().then(|| paths::companion(tmp, name.as_str()));
        files.put_entry(&mut dir, name, None)?;
        if let Some(companion) = companion {
            files.disk.sync_file(&companion)?;
        }
    }
    files.disk.sync_dir(tmp)
}

/// The bytes that a hashed line stands for.
fn full_name(files: &Files, values: &str, line: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let Ok(hashed) = std::str::from_utf8(line) else { return Ok(None) };
    match files.disk.read(&paths::companion(values, hashed), Wait::Yes) {
        Ok(full) => Ok(names::resolve(line, &full).map(|member| member.into_owned())),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a group's directory holds what is not this server's, which stays where it is.
fn has_strangers(files: &Files, path: &str) -> io::Result<bool> {
    let mut strangers = false;
    files.disk.list(path, 0, &mut |entry| {
        strangers |= entry.kind != Kind::File;
        strangers |= matches!(names::classify(entry.name), Entry::Stranger);
        !strangers
    })?;
    Ok(strangers)
}
