//! One client's socket: reads what it sends into its session, writes what may leave.

use super::listen::Stream;
use crate::command::client::{ClientId, Closing};
use crate::engine::Engine;
use std::io;

/// Room for one read.
const READ_BYTES: usize = 16 << 10;
/// A client is read from so often in one turn, at most.
const READS_MAX: usize = 16;

/// A client is sent about so much in one turn: one that reads as fast as it is
/// written to would keep the loop for all of a long reply.
const WRITTEN_MAX: usize = 256 << 10;

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Open,
    /// The other side has hung up.
    Closed,
}

/// A client's socket.
pub struct Connection {
    /// The client.
    pub id: ClientId,
    /// Its socket.
    pub stream: Stream,
    /// There may be something to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The other side sends no more: what it sent is read to the end.
    pub ended: bool,
}

impl Connection {
    /// A new client's socket.
    pub fn new(id: ClientId, stream: Stream) -> Connection {
        Connection { id, stream, readable: true, writable: true, ended: false }
    }

    /// Reads and runs until nothing is left, the client is parked, or it has had its turn.
    pub fn read(&mut self, engine: &mut Engine) -> State {
        engine.resume(self.id);
        for _ in 0..READS_MAX {
            if !self.readable || engine.is_waiting(self.id) {
                return State::Open;
            }
            let Some(input) = engine.input(self.id) else { return State::Closed };
            input.reserve(READ_BYTES);
            let room = input.capacity() - input.len();
            match rustix::io::read(&self.stream, rustix::buffer::spare_capacity(input)) {
                Ok(0) => {
                    self.readable = false;
                    engine.close(self.id, Closing::AfterReplies);
                    return State::Open;
                }
                Ok(bytes) => {
                    self.readable = bytes == room || self.ended;
                    engine.server.stats.bytes_in += bytes as u64;
                    engine.server.stats.reads += 1;
                    engine.run(self.id);
                }
                Err(rustix::io::Errno::AGAIN) => self.readable = false,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return State::Closed,
            }
        }
        engine.call_again(self.id);
        State::Open
    }

    /// Sends what may leave, as far as the socket takes it and for one turn.
    pub fn write(&mut self, engine: &mut Engine) -> State {
        let mut written = 0;
        while self.writable {
            let output = engine.output(self.id);
            if output.is_empty() {
                break;
            }
            if written >= WRITTEN_MAX {
                engine.call_again(self.id);
                break;
            }
            match io::Write::write(&mut self.stream, &output[..output.len().min(WRITTEN_MAX)]) {
                Ok(bytes) => {
                    engine.sent(self.id, bytes);
                    written += bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return State::Closed,
            }
        }
        State::Open
    }
}
