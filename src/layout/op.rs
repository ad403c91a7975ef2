//! Ops: what a batch leaves behind, as postconditions with logical names.
//!
//! An op says what is true afterwards of a database, a key, or one part of a key. It holds effects
//! only: no clock, no chance, no encoded path, and nothing that has to be looked up in the tree
//! when it is applied. Applying ops twice, or to a tree that is already newer and then catching
//! up, gives the same tree. How a name is encoded, linked or hashed is decided by the writer.

use smallvec::SmallVec;
use std::sync::Arc;

/// Number of a database, 0 to [`DATABASES`] - 1.
pub type Db = u16;

/// How many databases there are, as in Redis' default configuration.
pub const DATABASES: Db = 16;

/// The bytes of a key's name, shared between the cache, the backlog and the helpers.
pub type Key = Arc<[u8]>;

/// The bytes of a value, shared between the cache, the backlog and the helpers.
pub type Content = Arc<Vec<u8>>;

/// Sequence number of a batch in the journal: the first one is 1.
pub type Seq = u64;

/// A Redis type, as its name stands in the file `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// One string of bytes, in `value`.
    String,
}

impl Type {
    /// The name that TYPE replies and that the file `type` holds.
    pub const fn name(self) -> &'static str {
        match self {
            Type::String => "string",
        }
    }

    /// The type with this name; one trailing newline is tolerated.
    pub fn from_name(name: &[u8]) -> Option<Type> {
        match name.strip_suffix(b"\n").unwrap_or(name) {
            b"string" => Some(Type::String),
            _ => None,
        }
    }
}

/// One part of a key: a file in its directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// `type`: the key exists if and only if this does.
    Type,
    /// `value` of a string.
    Value,
    /// `expires`: Unix time in milliseconds, decimal.
    Expires,
}

/// One effect of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The part has this content.
    Put(Db, Key, Part, Content),
    /// The part has these bytes at this offset; a gap before them is zeros.
    Patch(Db, Key, Part, u64, Content),
    /// The part is absent.
    Absent(Db, Key, Part),
    /// The key with everything below it is absent.
    AbsentKey(Db, Key),
    /// The database is empty.
    AbsentDb(Db),
}

/// What the tree is to hold of one part, coalesced from all ops on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This content, changed by the patches in their order. Without a base the patches apply to
    /// what an older layer or the tree holds.
    Content {
        /// The newest whole content.
        base: Option<Content>,
        /// Offset and data of the patches since.
        patches: Vec<(u64, Content)>,
    },
    /// Nothing.
    Absent,
}

/// What the tree is to hold of one key: the unit of work of the tree writer.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// Everything below the key is removed first.
    pub cleared: bool,
    /// Then these parts are brought about, `type` last; where `type` goes, it goes first.
    pub parts: SmallVec<[(Part, Change); 2]>,
}
