//! What every layer may use: bytes, numbers, patterns, the clock and the build variants of the
//! crash tests. Nothing here knows of files, sockets or commands.

pub mod number;
pub mod variant;
