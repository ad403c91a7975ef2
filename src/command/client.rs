//! Who is connected: everything about a client that commands see, and which keys clients watch.
//! Knows nothing of sockets and buffers.

use super::Command;
use crate::layout::op::{Db, Key, Move, Op};
use crate::resp::{OwnedArgs, Protocol};
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// Number of a client: never used twice.
pub type ClientId = u64;

/// One connected client.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Its number.
    pub id: ClientId,
    /// Its address and port, or the path of the Unix socket.
    pub addr: String,
    /// Our address and port, or the path of the Unix socket.
    pub local_addr: String,
    /// File descriptor of its socket, for CLIENT LIST.
    pub fd: i64,
    /// When it came, in Unix milliseconds.
    pub since_ms: u64,
    /// When it last sent something, in Unix milliseconds.
    pub active_ms: u64,
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO lib-name and lib-ver.
    pub library: [Vec<u8>; 2],
    /// The selected database.
    pub db: Db,
    /// The protocol it chose.
    pub protocol: Protocol,
    /// Whether it may run commands.
    pub authenticated: bool,
    /// Which replies it wants.
    pub replies: Replies,
    /// What it reads counts as not used.
    pub no_touch: bool,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// Whether it is parked.
    pub blocked: bool,
    /// The row of the last command.
    pub last_command: Option<&'static Command>,
    /// How many commands have ended for it.
    pub commands: u64,
    /// Bytes of input not yet understood, and room in that buffer.
    pub input_bytes: [usize; 2],
    /// Bytes of replies not yet read.
    pub output_bytes: usize,
    /// It is to be disconnected: after what is written has been sent, or at once.
    pub closing: Option<Closing>,
    /// What it has queued since MULTI.
    pub queue: Option<Box<Queue>>,
    /// What it watches.
    pub watching: Vec<Watched>,
    /// Something that it watches was changed.
    pub touched: bool,
    /// How often its transaction or script was parked.
    pub parks: u32,
}

/// The commands of a transaction between MULTI and EXEC.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// The commands in their order.
    pub commands: Vec<(&'static Command, OwnedArgs)>,
    /// Bytes of their arguments.
    pub bytes: usize,
    /// One could not be queued: EXEC will refuse.
    pub refused: bool,
}

/// A key that a client watches, as it was when that began.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Its database.
    pub db: Db,
    /// Its name.
    pub key: Key,
    /// Whether it was there.
    pub exists: bool,
    /// Its deadline, in Unix milliseconds.
    pub deadline: Option<u64>,
}

/// CLIENT REPLY: which replies a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replies {
    /// All.
    #[default]
    On,
    /// None.
    Off,
    /// All but the one to the command after this.
    Skip,
    /// All but the one to this command.
    SkipThis,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// After all replies were sent.
    AfterReplies,
    /// Now.
    AtOnce,
}

/// All clients, by number.
#[derive(Debug, Default)]
pub struct Clients {
    clients: HashMap<ClientId, Box<Client>>,
    last_id: ClientId,
    doomed: Vec<ClientId>,
    /// Who watches a key.
    watchers: BTreeMap<(Db, Key), Vec<ClientId>>,
}

impl Clients {
    /// Adds a client and answers its number.
    pub fn add(&mut self, make: impl FnOnce(ClientId) -> Client) -> ClientId {
        self.last_id += 1;
        self.clients.insert(self.last_id, Box::new(make(self.last_id)));
        self.last_id
    }

    /// Takes a client away.
    pub fn remove(&mut self, id: ClientId) -> Option<Box<Client>> {
        self.unwatch(id);
        self.clients.remove(&id)
    }

    /// A client watches a key from now on. Does nothing where it does so already.
    pub fn watch(&mut self, id: ClientId, watched: Watched) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let watchers = self.watchers.entry((watched.db, watched.key.clone())).or_default();
        if !watchers.contains(&id) {
            watchers.push(id);
            client.watching.push(watched);
        }
    }

    /// A client watches nothing any more, and what was changed is forgotten.
    pub fn unwatch(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.touched = false;
        for watched in std::mem::take(&mut client.watching) {
            let place = (watched.db, watched.key);
            if let Some(watchers) = self.watchers.get_mut(&place) {
                watchers.retain(|watcher| *watcher != id);
                if watchers.is_empty() {
                    self.watchers.remove(&place);
                }
            }
        }
    }

    /// Forgets what a client has queued and what it watches.
    pub fn end_transaction(&mut self, id: ClientId) {
        self.unwatch(id);
        if let Some(client) = self.clients.get_mut(&id) {
            client.queue = None;
        }
    }

    /// The keys of a database that somebody watches.
    pub fn watched_in(&self, db: Db) -> impl Iterator<Item = &Key> {
        let from = (db, Key::new());
        self.watchers
            .range(from..)
            .take_while(move |((of, _), _)| *of == db)
            .map(|((_, key), _)| key)
    }

    /// Tells those who watch what these ops change. A swap of databases is told by
    /// [`Clients::touch`]: it changes only keys that are there.
    pub fn note_changes(&mut self, ops: &[Op]) {
        if self.watchers.is_empty() {
            return;
        }
        for op in ops {
            match op {
                Op::AbsentDb(db) => self.touch_all(*db),
                Op::Move(Move::Swap(..)) => {}
                op => {
                    for (db, key) in op.places() {
                        key.into_iter().for_each(|key| self.touch(db, key));
                    }
                }
            }
        }
    }

    /// A key is changed: tells those who watch it.
    pub fn touch(&mut self, db: Db, key: &Key) {
        let Some(watchers) = self.watchers.get(&(db, key.clone())) else { return };
        for id in watchers {
            if let Some(client) = self.clients.get_mut(id) {
                client.touched = true;
            }
        }
    }

    /// A database is emptied: what was there is changed.
    fn touch_all(&mut self, db: Db) {
        let from = (db, Key::new());
        for (_, watchers) in self.watchers.range(from..).take_while(|((of, _), _)| *of == db) {
            for id in watchers {
                if let Some(client) = self.clients.get_mut(id) {
                    let mut watching = client.watching.iter();
                    client.touched |= watching.any(|watched| watched.db == db && watched.exists);
                }
            }
        }
    }

    /// A client, while it is connected.
    pub fn get(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(&id).map(|client| &**client)
    }

    /// A client, to change.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(&id).map(|client| &mut **client)
    }

    /// All clients, the oldest first. Sorts them.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        let mut clients: Vec<_> = self.clients.values().map(|client| &**client).collect();
        clients.sort_unstable_by_key(|client| client.id);
        clients.into_iter()
    }

    /// A client is to be disconnected, as is said first.
    pub fn close(&mut self, id: ClientId, how: Closing) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.closing.get_or_insert(how);
            self.doomed.push(id);
        }
    }

    /// Those for whom [`Clients::close`] was called since the last call.
    pub fn take_doomed(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.doomed)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}
