//! A client without a socket: bytes in, bytes out.
//!
//! A session holds what a client has sent and not been answered, and the replies that it has not
//! read. A reply leaves when what it speaks of is durable: *gates* keep the replies behind them
//! until a batch is. The session knows no commands; `dispatch` runs them.

use crate::command::Grant;
use crate::command::client::Replies;
use crate::keyspace::Error;
use crate::layout::op::Seq;
use crate::resp::{Limits, Parsed, Parser};
use std::collections::VecDeque;

/// Room in a buffer that an idle session keeps.
const BUFFER_BYTES_IDLE: usize = 16 << 10;

/// One client's buffers.
#[derive(Default)]
pub struct Session {
    /// What the client has sent; requests before `at` are done.
    pub input: Vec<u8>,
    /// Where the next request begins.
    pub at: usize,
    /// The parser of its requests.
    pub parser: Parser,
    /// Replies, of which the first `sent` bytes have been sent.
    pub output: Vec<u8>,
    sent: usize,
    gates: VecDeque<Gate>,
    /// What the command under way waits for.
    pub parked: Option<Parked>,
    /// Its commands wait until it has read replies.
    pub held: bool,
    /// Which replies the client wanted when the command under way began.
    pub replies: Replies,
    /// What a parked command finds when it runs again.
    pub grant: Option<Grant>,
}

/// Replies from `start` on leave when batch `seq` is durable.
#[derive(Clone, Copy, Debug)]
struct Gate {
    start: usize,
    seq: Seq,
}

/// A command that waits.
#[derive(Debug, Default)]
pub struct Parked {
    /// Keys that have to be loaded still.
    pub loads: usize,
    /// The disk could not be read.
    pub failed: Option<Error>,
}

impl Session {
    /// What the client has sent and nobody has looked at.
    pub fn unread(&self) -> &[u8] {
        &self.input[self.at..]
    }

    /// How many bytes the next request is long, which was parsed before.
    pub fn request_len(&mut self) -> usize {
        let limits = Limits { authenticated: true, bulk_bytes_max: usize::MAX };
        match self.parser.parse(&self.input[self.at..], limits) {
            Ok(Parsed::Command { end }) => end,
            _ => unreachable!("a request that ran was understood"),
        }
    }

    /// One request is done: it was `bytes` long.
    pub fn consume(&mut self, bytes: usize) {
        self.at += bytes;
        if self.at == self.input.len() {
            self.input.clear();
            self.at = 0;
            if self.input.capacity() > BUFFER_BYTES_IDLE {
                self.input.shrink_to(BUFFER_BYTES_IDLE);
            }
        }
    }

    /// Moves what is not done to the front of the buffer, when much is done before it.
    pub fn compact(&mut self) {
        if self.at > BUFFER_BYTES_IDLE && self.at >= self.input.len() / 2 {
            self.input.drain(..self.at);
            self.at = 0;
        }
    }

    /// Keeps the replies from `start` on until batch `seq` is durable, if there are any.
    pub fn gate(&mut self, start: usize, seq: Seq) {
        if start < self.output.len() && self.gates.back().is_none_or(|last| last.seq < seq) {
            self.gates.push_back(Gate { start, seq });
        }
    }

    /// Whether replies wait for a batch.
    pub fn is_gated(&self) -> bool {
        !self.gates.is_empty()
    }

    /// Opens the gates of batches up to `durable`.
    pub fn release(&mut self, durable: Seq) {
        while self.gates.front().is_some_and(|gate| gate.seq <= durable) {
            self.gates.pop_front();
        }
    }

    /// Where replies that may leave end.
    fn released(&self) -> usize {
        self.gates.front().map_or(self.output.len(), |gate| gate.start)
    }

    /// Replies that may be sent now.
    pub fn sendable(&self) -> &[u8] {
        &self.output[self.sent..self.released()]
    }

    /// So many bytes were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.output.len() {
            self.output.clear();
            self.output.shrink_to(BUFFER_BYTES_IDLE);
        } else if self.sent >= BUFFER_BYTES_IDLE.max(self.output.len() / 2) {
            self.output.drain(..self.sent);
            for gate in &mut self.gates {
                gate.start -= self.sent;
            }
        } else {
            return;
        }
        self.sent = 0;
    }

    /// Bytes of replies that were not sent.
    pub fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }
}
