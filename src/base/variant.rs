//! Build variants that each leave out one step that durability needs.
//!
//! In a normal build [`step`] is a constant `true` and costs nothing. With the cargo feature
//! `variants` a test chooses, for its own thread, one step to leave out, and the crash oracle has
//! to notice: that is how the crash tests are shown to bite (see `docs/TESTING.md`).

/// A step of the durability protocol that a variant can leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// fdatasync of a journal segment before a group counts as durable.
    SyncGroup,
    /// fsync of `journal/` after a segment was made there.
    SyncJournalDir,
    /// The CRC of a journal frame is compared.
    CheckFrameSum,
    /// The salt of a journal frame is compared with its segment's.
    CheckSalt,
    /// syncfs before a checkpoint is recorded.
    SyncTree,
    /// The checkpoint is synced before segments before it are recycled.
    SyncCheckpoint,
    /// The writer takes only what is durable.
    WriterWaits,
    /// Replies wait until what they speak of is durable.
    ReplyWaits,
    /// A removal drops the older entries below it and is applied before newer ones.
    RemovalFirst,
    /// A chain of frames without its last one is not replayed.
    CloseChain,
    /// Replay rewrites what is there already.
    ReplayRewrites,
    /// What recovery keeps is written anew and synced before the server serves.
    RecoveryRewrites,
    /// A batch of moves is marked as stashed before its directories go to their new places.
    MarkMoves,
    /// A load merges what was applied while it ran.
    MergeLoad,
    /// What is made of old lines of a score group is synced before it replaces them.
    SyncRegroup,
    /// A group that becomes a directory, or a file, is exchanged for what was made of it.
    ExchangeGroup,
    /// What found no room on the disk stays in the backlog.
    KeepFailed,
    /// The size of a directory is recorded only when that has not changed for a second.
    SettleSize,
}

/// Whether `step` is to be done: always, but in the variant of the build that leaves it out.
#[cfg(not(feature = "variants"))]
#[inline(always)]
pub const fn step(_step: Step) -> bool {
    true
}

#[cfg(feature = "variants")]
pub use chosen::{leave_out, step};

#[cfg(feature = "variants")]
mod chosen {
    use super::Step;
    use std::cell::Cell;

    thread_local!(static LEFT_OUT: Cell<Option<Step>> = const { Cell::new(None) });

    /// Chooses the step that this thread leaves out from here on; `None` is the normal build.
    pub fn leave_out(step: Option<Step>) {
        LEFT_OUT.set(step);
    }

    /// Whether `step` is to be done on this thread.
    pub fn step(step: Step) -> bool {
        LEFT_OUT.get() != Some(step)
    }
}
