//! What every layer may use: bytes, numbers, patterns, the clock and the build variants of the
//! crash tests. Nothing here knows of files, sockets or commands.

pub mod bytes;
pub mod clock;
pub mod glob;
pub mod grisu;
pub mod hash;
pub mod long_double;
pub mod number;
pub mod rng;
pub mod score;
pub mod sys;
pub mod table;
pub mod variant;
