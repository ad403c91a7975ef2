//! Ops: what a batch leaves behind, as postconditions with logical names.
//!
//! An op says what is true afterwards of a database, a key, or one part of a key. It holds effects
//! only: no clock, no chance, no encoded path, and nothing that has to be looked up in the tree
//! when it is applied. Applying ops twice, or to a tree that is already newer and then catching
//! up, gives the same tree. How a name is encoded, linked or hashed is decided by the writer.

use crate::base::bytes::Bytes;
use crate::base::score::Score;

/// Number of a database, 0 to [`DATABASES`] - 1.
pub type Db = u16;

/// How many databases there are, as in Redis' default configuration.
pub const DATABASES: Db = 16;

/// The bytes of a key's name, shared between the cache, the backlog and the helpers.
pub type Key = Bytes;

/// The bytes of a value, shared between the cache, the backlog and the helpers.
pub type Content = Bytes;

/// Sequence number of a batch in the journal: the first one is 1.
pub type Seq = u64;

/// A Redis type, as its name stands in the file `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// One string of bytes, in `value`.
    String,
    /// Fields with values, in `fields/`.
    Hash,
    /// Members, in `values/`.
    Set,
    /// Members with scores, in `values/` and `scores/`.
    Zset,
}

impl Type {
    /// All of them.
    pub const ALL: [Type; 4] = [Type::String, Type::Hash, Type::Set, Type::Zset];

    /// The name that TYPE replies and that the file `type` holds.
    pub const fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::Hash => "hash",
            Type::Set => "set",
            Type::Zset => "zset",
        }
    }

    /// The type with this name; one trailing newline is tolerated.
    pub fn from_name(name: &[u8]) -> Option<Type> {
        let name = name.strip_suffix(b"\n").unwrap_or(name);
        Type::ALL.into_iter().find(|kind| kind.name().as_bytes() == name)
    }
}

/// One element of a collection: a file in a directory of the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// `fields/<field>` of a hash; its content is the field's value.
    Field(Bytes),
    /// `values/<member>` of a set, without content, or of a zset, its score in decimal.
    Member(Bytes),
    /// The line of a member in `scores/<score>` of a zset: it has no content.
    Scored(Score, Bytes),
}

impl Element {
    /// Its name.
    pub fn name(&self) -> &Bytes {
        match self {
            Element::Field(name) | Element::Member(name) | Element::Scored(_, name) => name,
        }
    }
}

/// One effect of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The key is of this type and has nothing but what follows.
    Make(Db, Key, Type),
    /// The string has this value.
    Value(Db, Key, Content),
    /// The string has these bytes at this offset; a gap before them is zeros.
    Patch(Db, Key, u64, Content),
    /// The key expires at this time, in Unix milliseconds, or never.
    Expires(Db, Key, Option<u64>),
    /// The element has this content.
    Put(Db, Key, Element, Content),
    /// The element is absent.
    Absent(Db, Key, Element),
    /// The key with everything below it is absent.
    AbsentKey(Db, Key),
    /// The database is empty.
    AbsentDb(Db),
    /// What lies in one place lies in another. Moves come first in their batch, and speak of the
    /// tree as it was before it.
    Move(Move),
}

/// A change of place: the one kind of op that is no postcondition. The writer brings about all
/// that is older first, and nothing that is newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// The first key becomes the second one, whatever that was.
    Key((Db, Key), (Db, Key)),
    /// Two databases change places.
    Swap(Db, Db),
}

impl Move {
    /// Whether what lies at this key changes place, or is replaced.
    pub fn touches(&self, db: Db, key: &[u8]) -> bool {
        match self {
            Move::Key(from, to) => [from, to].iter().any(|(of, name)| *of == db && name == key),
            Move::Swap(one, other) => db == *one || db == *other,
        }
    }

    /// Whether names in this database change.
    pub fn touches_db(&self, db: Db) -> bool {
        match self {
            Move::Key((from, _), (to, _)) | Move::Swap(from, to) => db == *from || db == *to,
        }
    }
}

/// Where something of database `db` is once databases `one` and `other` have changed places.
pub fn swapped(db: Db, one: Db, other: Db) -> Db {
    match db {
        db if db == one => other,
        db if db == other => one,
        db => db,
    }
}

impl Op {
    /// The database that it speaks of, to change it; `None` for a move.
    pub fn db_mut(&mut self) -> Option<&mut Db> {
        match self {
            Op::Make(db, ..)
            | Op::Value(db, ..)
            | Op::Patch(db, ..)
            | Op::Expires(db, ..)
            | Op::Put(db, ..)
            | Op::Absent(db, ..)
            | Op::AbsentKey(db, _)
            | Op::AbsentDb(db) => Some(db),
            Op::Move(_) => None,
        }
    }

    /// The databases that it speaks of, and the key, unless it speaks of all of them.
    pub fn places(&self) -> Vec<(Db, Option<&Key>)> {
        match self {
            Op::Move(Move::Key((from_db, from), (to_db, to))) => {
                vec![(*from_db, Some(from)), (*to_db, Some(to))]
            }
            Op::Move(Move::Swap(one, other)) => vec![(*one, None), (*other, None)],
            Op::Make(db, key, _)
            | Op::Value(db, key, _)
            | Op::Patch(db, key, ..)
            | Op::Expires(db, key, _)
            | Op::Put(db, key, ..)
            | Op::Absent(db, key, _)
            | Op::AbsentKey(db, key) => vec![(*db, Some(key))],
            Op::AbsentDb(db) => vec![(*db, None)],
        }
    }
}

/// What becomes of a key as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It is what it was.
    #[default]
    Stays,
    /// Everything below it is removed first; then it is of this type.
    Made(Type),
    /// It is removed with everything below it.
    Removed,
}

impl Fate {
    /// Whether everything older below the key counts for nothing.
    pub fn clears(self) -> bool {
        self != Fate::Stays
    }
}

/// What the tree is to hold of a string's value, coalesced from all ops on it. Without a base the
/// patches apply to what an older layer or the tree holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The newest whole content.
    pub base: Option<Content>,
    /// Offset and data of the patches since, in their order.
    pub patches: Vec<(u64, Content)>,
}

/// What the tree is to hold of a key, but for its elements.
#[derive(Clone, Debug, Default)]
pub struct Core {
    /// What becomes of it as a whole; the rest comes after that.
    pub fate: Fate,
    /// Its value, where that changes.
    pub value: Option<Change>,
    /// Its deadline, where that changes.
    pub expires: Option<Option<u64>>,
}

/// What the tree is to hold of one key: the unit of work of the tree writer.
#[derive(Debug)]
pub struct KeyChange<'a> {
    /// Its database.
    pub db: Db,
    /// Its name.
    pub key: &'a Key,
    /// The key itself.
    pub core: &'a Core,
    /// Its elements that change, the longest unwritten first: content, or none for an absent one.
    pub elements: Vec<(&'a Element, Option<&'a Content>)>,
}
