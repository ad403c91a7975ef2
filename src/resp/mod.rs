//! The Redis serialization protocol: requests in, replies out.
//!
//! [`Parser`] finds the next request in what a client has sent, [`Args`] is how everything above
//! sees its arguments, [`Reply`] writes answers in RESP2 or RESP3. All of it works on byte slices:
//! nothing here knows of sockets, sessions or commands.

mod args;
mod parser;
mod reply;

pub use args::{Args, OwnedArgs, Span};
pub use parser::{Limits, Parsed, Parser, ProtocolError, glance};
pub use reply::{Protocol, ROOM_BYTES, Reply, Shape};
