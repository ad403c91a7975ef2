//! Proof that the crash tests bite: each leaves out one step of `base::variant`, and the oracle
//! has to notice.
//!
//! A violation is a broken promise that the oracle reports, or a server that stops at an assertion
//! of its own. Only built with the feature `variants`.

use crate::crash::oracle::Case;
use crate::crash::script::Script;
use dredis::base::variant::{Step, leave_out};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// So many orders of turns of each script, before a variant counts as not noticed.
const SEEDS: u64 = 3;

/// The first thing that breaks in these scripts without `step`; all scripts where none is named.
fn violation(step: Option<Step>, names: &[&str]) -> Option<String> {
    let mut scripts = Script::all();
    scripts.retain(|script| names.is_empty() || names.contains(&script.name));
    assert!(!scripts.is_empty(), "no script has one of these names");
    leave_out(step);
    let looked = catch_unwind(AssertUnwindSafe(|| {
        (0..SEEDS).find_map(|seed| scripts.iter().find_map(|script| explore(script, seed).err()))
    }));
    leave_out(None);
    looked.unwrap_or_else(|_| Some("the server stopped at an assertion".into()))
}

fn explore(script: &Script, seed: u64) -> Result<(), String> {
    let case = Case::new(script, seed)?;
    for call in 1..=case.calls {
        case.explore_failed_sync(call)?;
        case.explore(call)?;
    }
    Ok(())
}

fn is_noticed(step: Step, names: &[&str]) {
    let found = violation(Some(step), names);
    println!("{step:?}: {}", found.as_deref().unwrap_or("not noticed"));
    assert!(found.is_some(), "nothing notices that {step:?} is left out");
}

#[test]
fn nothing_breaks_where_nothing_is_left_out() {
    let names = ["set", "overwrite", "del and set again", "recycling", "small cache", "large"];
    assert_eq!(violation(None, &names), None);
}

#[test]
fn a_group_that_is_not_synced_is_noticed() {
    is_noticed(Step::SyncGroup, &["set"]);
}

#[test]
fn a_journal_directory_that_is_not_synced_is_noticed() {
    is_noticed(Step::SyncJournalDir, &["set"]);
}

#[test]
fn a_frame_whose_sum_is_not_checked_is_noticed() {
    is_noticed(Step::CheckFrameSum, &["overwrite large"]);
}

#[test]
fn a_checkpoint_of_a_tree_that_is_not_synced_is_noticed() {
    is_noticed(Step::SyncTree, &["set"]);
}

#[test]
fn a_checkpoint_that_is_not_synced_is_noticed() {
    is_noticed(Step::SyncCheckpoint, &["overwrite large"]);
}

#[test]
fn a_writer_that_runs_ahead_of_the_journal_is_noticed() {
    is_noticed(Step::WriterWaits, &["recycling"]);
}

#[test]
fn a_reply_that_does_not_wait_is_noticed() {
    is_noticed(Step::ReplyWaits, &["set"]);
}

#[test]
fn a_removal_that_comes_late_is_noticed() {
    is_noticed(Step::RemovalFirst, &["set"]);
}

#[test]
fn a_chain_that_is_not_closed_is_noticed() {
    is_noticed(Step::CloseChain, &["overwrite large"]);
}

#[test]
fn a_replay_that_trusts_what_is_there_is_noticed() {
    is_noticed(Step::ReplayRewrites, &["refused links"]);
}

#[test]
fn a_move_without_its_mark_is_noticed() {
    is_noticed(Step::MarkMoves, &["swapdb twice", "moves in a row"]);
}

#[test]
fn a_load_that_knows_nothing_newer_is_noticed() {
    is_noticed(Step::MergeLoad, &["reads overtaken"]);
}

#[test]
fn a_group_that_is_rewritten_without_a_sync_is_noticed() {
    is_noticed(Step::SyncRegroup, &["members of one score"]);
}

#[test]
fn a_group_that_is_converted_in_the_wrong_order_is_noticed() {
    is_noticed(Step::ExchangeGroup, &["a group grows and shrinks"]);
}

#[test]
fn a_backlog_that_forgets_what_failed_is_noticed() {
    is_noticed(Step::KeepFailed, &["collections on a full disk", "groups on a full disk"]);
}

#[test]
fn a_size_that_is_trusted_too_early_is_noticed() {
    is_noticed(Step::SettleSize, &["sizes"]);
}

#[test]
fn a_recovery_that_rewrites_nothing_is_noticed() {
    is_noticed(Step::RecoveryRewrites, &["everysec", "everysec behind"]);
}

#[test]
fn a_frame_of_an_earlier_use_is_noticed() {
    is_noticed(Step::CheckSalt, &["numbers taken again"]);
}
