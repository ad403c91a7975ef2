//! Paths: where everything below ROOT_DIR lies. The one place for file names.
//!
//! Pure functions from databases, names and numbers to paths relative to ROOT_DIR, as `disk` takes
//! them. What lies there, and in which states, is in `docs/LAYOUT.md`.

use crate::base::score::Score;
use crate::layout::names::{self, Name};
use crate::layout::op::{Db, Type};

/// A file of a key that is not one of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `type`: the key exists if and only if this does.
    Type,
    /// `value` of a string.
    Value,
    /// `expires`: Unix time in milliseconds, decimal.
    Expires,
}

/// What nobody but this server needs; never in a backup.
pub const DERIVED: &str = ".dredis";
/// A text for people.
pub const README: &str = ".dredis/README";
/// Locked by the server that runs.
pub const LOCK: &str = ".dredis/lock";
/// Files before they are renamed to where they belong; emptied at start.
pub const TMP: &str = ".dredis/tmp";
/// What was removed but not yet freed.
pub const TRASH: &str = ".dredis/trash";
/// Inodes that `type` files and empty members are links to; new at every start.
pub const LINKS: &str = ".dredis/links";
/// Hints of when keys expire, one file a minute.
pub const EXPIRY: &str = ".dredis/expiry";
/// There if every deadline in the tree has a hint.
pub const EXPIRY_COMPLETE: &str = ".dredis/expiry/complete";
/// Derived sizes of databases, one file each.
pub const SIZES: &str = ".dredis/sizes";
/// Derived sizes of collections, one file each.
pub const COUNTS: &str = ".dredis/counts";
/// The write-ahead log.
pub const JOURNAL: &str = "journal";
/// What recovery keeps, before it is renamed into place.
pub const JOURNAL_RECOVERING: &str = "journal/recovering";
/// Where the checkpoint is recorded.
pub const JOURNAL_CHECKPOINT: &str = "journal/checkpoint";
/// There while a backup pins the journal.
pub const JOURNAL_BACKUP: &str = "journal/backup";
/// Directories on their way from one key to another.
pub const JOURNAL_MOVES: &str = "journal/moves";
/// There while a backup is being copied to this directory: not yet a database.
pub const INCOMPLETE: &str = "incomplete";

/// The directory of a database.
pub fn database(db: Db) -> String {
    db.to_string()
}

/// The entry called `name` of a database: a key's directory, a companion or the marker.
pub fn database_entry(db: Db, name: &str) -> String {
    format!("{db}/{name}")
}

/// The directory of the key with this name.
pub fn key_dir(db: Db, name: &Name) -> String {
    database_entry(db, name.as_str())
}

/// The file beside a hashed entry of a directory of names, which holds its full name.
pub fn companion(dir: &str, hashed: &str) -> String {
    format!("{dir}/{hashed}{}", names::COMPANION)
}

/// The marker that says: in this directory of names some name was refused.
pub fn marker(dir: &str) -> String {
    within(dir, names::MARKER)
}

/// The name of a part in its key's directory.
pub const fn part_name(part: Part) -> &'static str {
    match part {
        Part::Type => "type",
        Part::Value => "value",
        Part::Expires => "expires",
    }
}

/// The file of a part below its key's directory.
pub fn part(key_dir: &str, part: Part) -> String {
    within(key_dir, part_name(part))
}

/// The name, in its key's directory, of the directory of a collection's elements.
///
/// # Panics
/// A string has no elements.
pub const fn elements_name(kind: Type) -> &'static str {
    match kind {
        Type::Hash => "fields",
        Type::Set | Type::Zset => "values",
        Type::String => panic!("a string has no elements"),
    }
}

/// The directory of a collection's elements.
pub fn elements(key_dir: &str, kind: Type) -> String {
    within(key_dir, elements_name(kind))
}

/// The name of [`scores`] in its key's directory.
pub const SCORES_NAME: &str = "scores";

/// The directory of a sorted set's groups.
pub fn scores(key_dir: &str) -> String {
    within(key_dir, SCORES_NAME)
}

/// The members that have this score: a file or a directory.
pub fn group(scores: &str, score: Score) -> String {
    within(scores, &score.name())
}

/// The entry called `name` of a directory.
pub fn within(dir: &str, name: &str) -> String {
    format!("{dir}/{name}")
}

/// A directory on its way: the `n`th of batch `seq`.
pub fn moving(seq: u64, n: usize) -> String {
    format!("{JOURNAL_MOVES}/{seq}.{n}")
}

/// There if all directories of batch `seq` have left their places.
pub fn stashed(seq: u64) -> String {
    format!("{JOURNAL_MOVES}/{seq}.stashed")
}

/// A temporary file.
pub fn tmp(number: u64) -> String {
    format!("{TMP}/{number}")
}

/// A place in the trash.
pub fn trash(number: u64) -> String {
    format!("{TRASH}/{number}")
}

/// A shared inode: `stem` says what its content is.
pub fn shared(stem: &str, number: u64) -> String {
    format!("{LINKS}/{stem}.{number}")
}

/// The hints of what expires in this minute (Unix time in milliseconds / 60,000).
pub fn expiry(minute: u64) -> String {
    format!("{EXPIRY}/{minute}")
}

/// The derived size of a database.
pub fn size(db: Db) -> String {
    format!("{SIZES}/{db}")
}

/// The derived size of the directory with this inode.
pub fn count(inode: u64) -> String {
    format!("{COUNTS}/{inode}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lies_where_the_design_says() {
        let dir = key_dir(0, &names::encode(b"msg"));
        assert_eq!(part(&dir, Part::Value), "0/msg/value");
        assert_eq!(part(&dir, Part::Type), "0/msg/type");
        assert_eq!(part(&dir, Part::Expires), "0/msg/expires");
        assert_eq!(marker(&database(3)), "3/%!");
        assert_eq!(elements(&dir, Type::Hash), "0/msg/fields");
        assert_eq!(elements(&dir, Type::Zset), "0/msg/values");
        let half = Score::new(0.5).expect("a number");
        assert_eq!(group(&scores(&dir), half), "0/msg/scores/0.5");
        assert_eq!(expiry(29_000_000), ".dredis/expiry/29000000");
        assert_eq!(shared("string", 1), ".dredis/links/string.1");
    }

    #[test]
    fn no_name_leaves_its_database() {
        for key in [&b"../x"[..], b"..", b".", b"a/b", b"/etc/passwd", b"\0", b""] {
            let dir = key_dir(0, &names::encode(key));
            let (db, name) = dir.split_once('/').expect("a path below the database");
            assert_eq!(db, "0");
            assert!(!name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']));
        }
    }
}
