//! Bytes that are cheap to share: names and contents on their way from a client to a file.

/// Immutable bytes of any length, 24 bytes in place: up to 23 bytes lie inside, longer ones in
/// memory that is shared between clones. Cloning never copies more than that.
pub type Bytes = hipstr::HipByt<'static>;
