//! Transactions: commands that are queued and then run as one batch, and keys that are watched.
//!
//! MULTI and DISCARD only begin and end a queue; what goes into it is decided where commands are
//! dispatched, and EXEC has it run there.

use crate::command::client::Watched;
use crate::command::table::{
    ALLOW_BUSY, FAST, Flags, KEYS, LOADING, NO_KEY, NOSCRIPT, SKIP_SLOWLOG, STALE, row,
};
use crate::command::{Command, Cx, Done, Grant, Result, Stop, Use, Want, fail};
use crate::keyspace::expiry::is_past;

const ALWAYS: Flags = NOSCRIPT.and(LOADING).and(STALE).and(FAST).and(ALLOW_BUSY);
const EXEC: Flags = NOSCRIPT.and(LOADING).and(STALE).and(SKIP_SLOWLOG);

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("multi", 1, NO_KEY, ALWAYS, multi, "")
        .doc("transactions", "1.2.0", "Begins a transaction: what follows is queued."),
    row("exec", 1, NO_KEY, EXEC, exec, "")
        .doc("transactions", "1.2.0", "Runs what was queued, as one batch."),
    row("discard", 1, NO_KEY, ALWAYS, discard, "")
        .doc("transactions", "2.0.0", "Forgets what was queued."),
    row("watch", -2, KEYS, ALWAYS, watch, "key [key ...]")
        .doc("transactions", "2.2.0", "Has EXEC do nothing if a key changes until then.")
        .access(&["RO"]),
    row("unwatch", 1, NO_KEY, ALWAYS, unwatch, "")
        .doc("transactions", "2.2.0", "Watches no key any more."),
];

/// Whether a command is run at once between MULTI and EXEC.
pub fn runs_at_once(command: &Command) -> bool {
    const NAMES: [&str; 6] = ["exec", "discard", "multi", "watch", "quit", "reset"];
    NAMES.contains(&command.name)
}

fn multi(cx: &mut Cx<'_, '_>) -> Result {
    if cx.client().queue.is_some() {
        return fail("ERR MULTI calls can not be nested");
    }
    cx.client().queue = Some(Box::default());
    cx.reply.ok();
    Ok(Done)
}

/// Has the queue run, unless a watched key has changed.
fn exec(cx: &mut Cx<'_, '_>) -> Result {
    if let Some(Grant::Failed(error)) = cx.grant.take() {
        cx.clients.end_transaction(cx.id);
        return Err(error.into());
    }
    let now_ms = cx.keys.now_ms;
    let client = cx.client();
    let Some(queue) = &client.queue else { return fail("ERR EXEC without MULTI") };
    let expired = |watched: &Watched| watched.deadline.is_some_and(|ms| is_past(ms, now_ms));
    let touched = client.touched || client.watching.iter().any(expired);
    if !queue.refused && !touched {
        return Err(Stop::Transaction);
    }
    let refused = queue.refused;
    cx.clients.end_transaction(cx.id);
    if refused {
        return fail("EXECABORT Transaction discarded because of previous errors.");
    }
    cx.reply.null_array();
    Ok(Done)
}

fn discard(cx: &mut Cx<'_, '_>) -> Result {
    if cx.client().queue.is_none() {
        return fail("ERR DISCARD without MULTI");
    }
    cx.clients.end_transaction(cx.id);
    cx.reply.ok();
    Ok(Done)
}

fn watch(cx: &mut Cx<'_, '_>) -> Result {
    if cx.client().queue.is_some() {
        return fail("ERR WATCH inside MULTI is not allowed");
    }
    let keys = cx.args.skip(1);
    let slots = cx.keys.open_all(cx.db, keys.iter(), Want::Meta, Use::Look)?;
    for (key, slot) in keys.iter().zip(slots) {
        let (exists, deadline) = (cx.keys.kind(slot).is_some(), cx.keys.deadline(slot));
        cx.clients.watch(cx.id, Watched { db: cx.db, key: key.into(), exists, deadline });
    }
    cx.reply.ok();
    Ok(Done)
}

fn unwatch(cx: &mut Cx<'_, '_>) -> Result {
    cx.clients.unwatch(cx.id);
    cx.reply.ok();
    Ok(Done)
}
