//! All integration tests, as one binary.

mod clients;
mod cold;
mod crash;
mod figures;
mod lanes;
mod restarts;
mod scripts;
mod support;
mod swaps;
mod tidy;
mod transactions;
mod transcripts;
#[cfg(feature = "variants")]
mod variants;

/// As the server's: the simulation makes and drops whole servers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
