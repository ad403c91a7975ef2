//! What a command is: its row in the table, its context, and how it ends.
//!
//! One row a command holds name, arity, flags, key positions, handler and documentation. COMMAND,
//! arity errors, `docs/COMMANDS.md` and the extraction of keys derive from it. A handler reads
//! arguments, opens the keys it needs, changes them and writes a reply; it knows nothing of files,
//! of sockets, or of what happens after it.

pub mod client;
pub mod profile;
pub mod scripts;
pub mod server;
pub mod synopsis;
pub mod table;

use crate::base::hash::hash64;
pub use crate::keyspace::Want;
use crate::keyspace::reply_too_long;
pub use crate::keyspace::{Error, Grant, Keyspace, Need, Program, Ranging, SlotId, Stop, Use};
pub use crate::layout::op::{Content, Db, Key};
pub use crate::resp::Args;
pub use crate::resp::Reply;
use crate::value::Value;
use client::{Client, ClientId, Clients};
use server::Server;
pub use table::{Command, KeySpec};

/// A handler came to its end and has written its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done;

/// How a handler ends: done, parked, or with an error for the client.
pub type Result<T = Done> = std::result::Result<T, Stop>;

/// What a handler is.
pub type Handler = fn(&mut Cx<'_, '_>) -> Result;

/// The context of one command.
pub struct Cx<'a, 'r> {
    /// The arguments, the command's name first.
    pub args: Args<'a>,
    /// All keys of all databases.
    pub keys: &'a mut Keyspace,
    /// Where the reply goes. What a parked command wrote is taken back.
    pub reply: Reply<'r>,
    /// Everyone who is connected.
    pub clients: &'a mut Clients,
    /// Who asks.
    pub id: ClientId,
    /// The database that the client has selected.
    pub db: Db,
    /// Everything else: configuration, figures, requests to the event loop.
    pub server: &'a mut Server,
    /// What the command waited for, when it runs again.
    pub grant: Option<Grant>,
    /// The number of the command in its transaction; 0 outside of one.
    pub ordinal: u64,
}

impl Cx<'_, '_> {
    /// The argument at `index`; 0 is the command's name. The row's arity says which are there.
    #[inline]
    pub fn arg(&self, index: usize) -> &[u8] {
        self.args.get(index)
    }

    /// The client that asks.
    pub fn client(&mut self) -> &mut Client {
        self.clients.get_mut(self.id).expect("a client runs commands only while it is connected")
    }

    /// Opens a key of the client's database with what is wanted of it, to change it.
    pub fn open(&mut self, key: &[u8], want: Want<'_>) -> Result<SlotId> {
        self.keys.open(self.db, key, want)
    }

    /// Opens a key of the client's database with what is wanted of it, to read it.
    pub fn look(&mut self, key: &[u8], want: Want<'_>) -> Result<SlotId> {
        self.keys.open_as(self.db, key, want, Use::Read)
    }

    /// Opens a key of the client's database with its value.
    pub fn value(&mut self, key: &[u8]) -> Result<SlotId> {
        self.keys.open(self.db, key, Want::Value)
    }

    /// Opens a key of the client's database with its value, to read it.
    pub fn read(&mut self, key: &[u8]) -> Result<SlotId> {
        self.keys.open_as(self.db, key, Want::Value, Use::Read)
    }

    /// Opens a key of the client's database: only whether it is there, its type and deadline.
    pub fn meta(&mut self, key: &[u8]) -> Result<SlotId> {
        self.keys.open(self.db, key, Want::Meta)
    }

    /// Checks that a reply of about so many bytes is within its bound, before it is made.
    pub fn admit_reply(&self, bytes: usize) -> Result<()> {
        let bytes_max = self.server.config.reply_bytes;
        if bytes as u64 > bytes_max { Err(reply_too_long(bytes_max).into()) } else { Ok(()) }
    }

    /// Makes a key this collection, or absent where it has no elements; answers how many it has.
    /// One that is too large for a batch is an error, and changes nothing.
    pub fn store(&mut self, slot: SlotId, value: Value) -> Result<usize> {
        self.server.admit_batch(value.bytes())?;
        let count = value.known_len();
        self.keys.remove(slot);
        if count > 0 {
            self.keys.make(slot, value);
        }
        Ok(count)
    }

    /// Makes `to` what `from` is, value and deadline; `from` was opened as a whole. Where that is
    /// too large for a batch it is an error, and changes nothing.
    pub fn copy(&mut self, from: SlotId, to: SlotId) -> Result<()> {
        self.server.admit_batch(self.keys.value(from).map_or(0, Value::bytes))?;
        self.keys.copy(from, to);
        Ok(())
    }

    /// Chance that stays the same when the command runs again: what it chooses once is read for it
    /// and then chosen again.
    pub fn chance(&mut self) -> u64 {
        let (id, commands) = (self.id, self.client().commands);
        hash64(self.server.run_id.as_bytes(), commands ^ (id << 40) ^ (self.ordinal << 20))
    }

    /// Takes the grant of a need, or parks the command until it is met.
    pub fn wait_for(&mut self, need: impl FnOnce(&mut Keyspace) -> Need) -> Result<Grant> {
        match self.grant.take() {
            Some(Grant::Failed(error)) => Err(Stop::Error(error)),
            Some(grant) => Ok(grant),
            None => Err(Stop::Park(need(self.keys))),
        }
    }
}

/// The bytes of an argument as a value of its own.
pub fn content(bytes: &[u8]) -> Content {
    Content::from(bytes)
}

/// An error reply with a fixed text.
pub fn fail<T>(text: &'static str) -> Result<T> {
    Err(Stop::Error(Error::fixed(text)))
}

/// Redis' answer to an argument that does not fit the command's syntax.
pub const SYNTAX: &str = "ERR syntax error";
/// Redis' answer to what is no 64-bit integer.
pub const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// Redis' answer to what is no number.
pub const NOT_A_FLOAT: &str = "ERR value is not a valid float";
/// Redis' answer to a key that holds another type.
pub const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
/// Redis' answer to a string that would pass 512 MiB.
pub const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
/// Redis' answer where a key has to be there.
pub const NO_SUCH_KEY: &str = "ERR no such key";
/// Redis' answer to most commands while a script runs for long.
pub const BUSY: &str = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or \
                        SHUTDOWN NOSAVE.";
/// Redis' answer to an offset below zero.
pub const OFFSET: &str = "ERR offset is out of range";
