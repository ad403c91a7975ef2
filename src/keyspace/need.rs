//! What stops a command: an error for the client, or a need that others have to meet first.

use crate::base::bytes::Bytes;
use crate::base::score::Score;
use crate::layout::op::{Content, Db, Key, Seq, Type};
use crate::resp::{Protocol, Shape};
use crate::value::MemberRange;
use std::borrow::Cow;

/// The text of an error reply, with its code, without `-` and line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub Cow<'static, [u8]>);

impl Error {
    /// An error with a text made for the occasion.
    pub fn new(text: impl Into<Vec<u8>>) -> Error {
        Error(Cow::Owned(text.into()))
    }

    /// An error with a fixed text.
    pub const fn fixed(text: &'static str) -> Error {
        Error(Cow::Borrowed(text.as_bytes()))
    }
}

/// The error of a command whose reply would pass the bound of replies.
pub fn reply_too_long(bytes_max: u64) -> Error {
    Error::new(format!(
        "ERR the reply would be longer than {bytes_max} bytes: ask for less at a time, or raise \
         DREDIS_REPLY_BYTES"
    ))
}

/// Why a command did not finish.
#[derive(Debug)]
pub enum Stop {
    /// It runs again from its start once this is met.
    Park(Need),
    /// The client gets this error, and nothing changed.
    Error(Error),
    /// The commands that the client has queued run now.
    Transaction,
    /// A script runs now.
    Script(Box<Program>),
    /// A script runs for long: it goes on between what others ask.
    Busy,
}

/// A script that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The SHA-1 of its text in hexadecimal digits, by which the interpreter knows it.
    pub sha: String,
    /// How many of its arguments are keys.
    pub keys: usize,
    /// It may not write.
    pub read_only: bool,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

/// What a command waits for.
#[derive(Debug)]
pub enum Need {
    /// The keys that the keyspace noted as missing.
    Loads,
    /// The end of CLIENT PAUSE.
    Unpaused,
    /// The names of a database that match a pattern, [`Grant::Names`].
    Names {
        /// The database.
        db: Db,
        /// The pattern, as KEYS takes it.
        pattern: Key,
    },
    /// One step of SCAN, [`Grant::Step`].
    Step {
        /// The database.
        db: Db,
        /// Where the step begins in the directory.
        position: u64,
        /// How many names are wanted.
        count: usize,
    },
    /// Some names from a random place of a database, [`Grant::Sample`].
    Sample {
        /// The database.
        db: Db,
        /// The chance.
        seed: u64,
    },
    /// The elements of a large collection, [`Grant::Names`].
    Elements {
        /// The database.
        db: Db,
        /// The key.
        key: Key,
        /// Its type.
        kind: Type,
        /// What of them.
        what: Listed,
    },
    /// The order of a large sorted set: afterwards its value knows the scores and how many members
    /// have each, or has all members, unless that would take too much of the cache.
    Ranks {
        /// The database.
        db: Db,
        /// The key.
        key: Key,
        /// Whether no score may stay uncounted. It takes a file for each that a few members share.
        count_all: bool,
    },
    /// A range of a large sorted set, [`Grant::Names`].
    Range {
        /// The database.
        db: Db,
        /// The key.
        key: Key,
        /// What of it.
        asked: Box<Ranging>,
    },
    /// One step of SSCAN, HSCAN or ZSCAN, [`Grant::Elements`].
    ElementStep {
        /// The database.
        db: Db,
        /// The key.
        key: Key,
        /// Its type.
        kind: Type,
        /// Where the step begins in the directory.
        position: u64,
        /// How many names are wanted.
        count: usize,
    },
    /// Some names from a random place of a collection, [`Grant::Sample`].
    ElementSample {
        /// The database.
        db: Db,
        /// The key.
        key: Key,
        /// Its type.
        kind: Type,
        /// The chance.
        seed: u64,
    },
    /// The number of elements of a collection: afterwards its value knows it.
    ElementCount {
        /// The database.
        db: Db,
        /// The key.
        key: Key,
        /// Its type.
        kind: Type,
    },
    /// The number of keys of a database: afterwards the sizes know it.
    Count {
        /// The database.
        db: Db,
    },
    /// The tree has the moves of this batch. Nothing is granted: the command has other needs.
    Moved(Seq),
    /// The tree has all batches up to this one.
    Applied(Seq),
    /// The same, and it is synced.
    Synced(Seq),
    /// A backup begins with this name: moves done, a checkpoint, the journal pinned.
    BackupStart(String),
    /// No backup runs: then directories may change their places.
    NoBackup,
    /// The backup that runs ends.
    BackupStop,
    /// The backlog has room for a write.
    Room,
}

/// What of the elements of a collection is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Their names.
    Names,
    /// What they hold.
    Contents,
    /// Both, a name and its content in turn.
    Both,
}

/// What is asked about a range of a sorted set.
#[derive(Clone, Debug, PartialEq)]
pub enum Ranging {
    /// Its members, so encoded.
    Show(MemberRange, Shape, Protocol),
    /// Their number.
    Count(MemberRange),
    /// The number of members before one that has this score, from this end: [`Grant::Done`] where
    /// it has it no longer.
    Rank {
        /// Its score.
        score: Score,
        /// The member.
        member: Bytes,
        /// Whether from the highest down.
        reverse: bool,
    },
}

/// What a command finds when it runs again.
#[derive(Debug)]
pub enum Grant {
    /// Names, or what else a reply lists, encoded one behind the other, and their number.
    Names {
        /// The encoded names.
        bulks: Vec<u8>,
        /// How many they are.
        count: usize,
    },
    /// One step of SCAN.
    Step {
        /// Names, with type and deadline as the tree has them.
        names: Vec<(Key, Type, Option<u64>)>,
        /// Where the next step begins; `None` at the end.
        next: Option<u64>,
    },
    /// Some names.
    Sample(Vec<Key>),
    /// The order of a sorted set was brought into memory.
    Ranked {
        /// No score was left uncounted.
        counted: bool,
    },
    /// One step through a collection.
    Elements {
        /// Names, with what the tree has of them.
        elements: Vec<(Bytes, Content)>,
        /// Where the next step begins; `None` at the end.
        next: Option<u64>,
    },
    /// What was waited for is so.
    Done,
    /// It could not be done.
    Failed(Error),
}
