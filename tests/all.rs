//! All integration tests, as one binary.

mod crash;
mod lanes;
mod restarts;
mod support;
mod swaps;
mod tidy;
mod transactions;
mod transcripts;
#[cfg(feature = "variants")]
mod variants;
