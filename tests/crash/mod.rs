//! Crash tests: scripts on the simulated disk, with a crash at every call of it.
//!
//! `scripts.rs` has the scripts as data, `script.rs` reads them, `model.rs` says what each makes of
//! a database, `run.rs` runs one up to a crash, `state.rs` reads a tree as files, `oracle.rs` holds
//! what a crash left against the promises. `docs/TESTING.md` tells the whole story.

pub mod model;
pub mod oracle;
pub mod run;
pub mod script;
pub mod scripts;
pub mod state;

use oracle::Case;
use script::Script;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// So many orders of turns of each script.
const SEEDS: u64 = 2;
/// So many states the crash tests look at, together.
const STATES_MIN: u64 = 100_000;
/// Behind the first order of a script, one of so many calls is looked at.
const LATER_CALLS: u64 = 8;
/// One of so many calls is looked at by the tests of failures; many share the next sync.
const FAILED_CALLS: u64 = 8;
/// So many errors are told.
const ERRORS_MAX: usize = 8;

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// Has threads look at every script and order of turns. Answers how many states they saw.
fn explore(seeds: u64, look: impl Fn(&Case, u64) -> Result<u64, String> + Sync) -> u64 {
    let only = std::env::var("CRASH_SCRIPT").ok();
    let mut scripts = Script::all();
    let is_chosen = |name| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name));
    scripts.retain(|script| is_chosen(script.name));
    let (next, states) = (AtomicUsize::new(0), AtomicU64::new(0));
    let errors = Mutex::new(Vec::new());
    let work = || {
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some(script) = scripts.get(nth / seeds as usize) else { return };
            let done = explore_one(script, nth as u64 % seeds, &look, &states);
            if let Err(error) = done {
                errors.lock().expect("no thread panics with it").push(error);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let errors = errors.into_inner().expect("all threads have ended");
    let told = errors[..errors.len().min(ERRORS_MAX)].join("\n");
    assert!(errors.is_empty(), "{} scripts and orders fail:\n{told}", errors.len());
    states.into_inner()
}

fn explore_one(
    script: &Script,
    seed: u64,
    look: impl Fn(&Case, u64) -> Result<u64, String>,
    states: &AtomicU64,
) -> Result<(), String> {
    let case = Case::new(script, seed)?;
    let is_chosen = |call: &u64| seed == 0 || *call % LATER_CALLS == seed || looks_at_all();
    for call in (1..=case.calls).filter(is_chosen) {
        states.fetch_add(look(&case, call)?, Ordering::Relaxed);
    }
    Ok(())
}

/// Whether every call is to be looked at: where scripts are chosen, and with CRASH_FULL.
fn looks_at_all() -> bool {
    ["CRASH_SCRIPT", "CRASH_FULL"].iter().any(|name| std::env::var_os(name).is_some())
}

fn is_looked_at(call: u64, nth: u64) -> bool {
    call % FAILED_CALLS == nth || looks_at_all()
}

#[test]
fn a_crash_at_every_call_loses_nothing() {
    let states = explore(SEEDS, Case::explore);
    println!("{states} states after a crash");
    if std::env::var_os("CRASH_SCRIPT").is_none() {
        assert!(states >= STATES_MIN, "{states} states are fewer than {STATES_MIN}");
    }
}

#[test]
fn a_failed_sync_acknowledges_nothing() {
    let states = explore(1, |case, call| match is_looked_at(call, 0) {
        true => case.explore_failed_sync(call),
        false => Ok(0),
    });
    println!("{states} states after a failed sync");
}

#[test]
fn a_failed_call_loses_nothing() {
    let states = explore(1, |case, call| {
        let errnos = [(ENOSPC, 1), (EIO, 2)].into_iter();
        let chosen = errnos.filter(|(_, nth)| is_looked_at(call, *nth));
        chosen.map(|(errno, _)| case.explore_failed_call(call, errno)).sum()
    });
    println!("{states} states after a failed call");
}
