//! Who is connected: everything about a client that commands see. Knows nothing of sockets and
//! buffers.

use super::Command;
use crate::layout::op::Db;
use crate::resp::Protocol;
use hashbrown::HashMap;

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
        self.clients.remove(&id)
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
