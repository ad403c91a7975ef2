//! Commands on the server as a whole: its time, its checkpoints and its end.

use super::is;
use crate::base::number::parse_i64;
use crate::command::server::Shutdown;
use crate::command::table::{
    ADMIN, ALLOW_BUSY, FAST, LOADING, NO_ASYNC_LOADING, NO_KEY, NO_MULTI, NOSCRIPT, STALE, WRITE,
    row,
};
use crate::command::{BUSY, Command, Cx, Db, Done, Need, Result, SYNTAX, Stop, Use, Want, fail};
use crate::layout::op::DATABASES;

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("bgrewriteaof", 1, NO_KEY, BGSAVE, bgrewriteaof, "")
        .doc("server", "1.0.0", "The same as BGSAVE: afterwards the journal is short."),
    row("bgsave", -1, NO_KEY, BGSAVE, bgsave, "[SCHEDULE]")
        .doc("server", "1.0.0", "Has the tree take in everything, and does not wait."),
    row("lastsave", 1, NO_KEY, LOADING.and(STALE).and(FAST), lastsave, "")
        .doc("server", "1.0.0", "Replies with the Unix time of the last checkpoint.")
        .categories(&["admin", "dangerous"])
        .tips(&["nondeterministic_output"]),
    row("save", 1, NO_KEY, SAVE, save, "")
        .doc("server", "1.0.0", "Returns when the tree has everything and is synced."),
    row("shutdown", -1, NO_KEY, SHUTDOWN, shutdown, "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]")
        .doc("server", "1.0.0", "Brings everything into the tree and ends the server."),
    row("swapdb", 3, NO_KEY, SWAPDB, swapdb, "index1 index2")
        .doc("server", "4.0.0", "Has two databases change places.")
        .categories(&["keyspace", "dangerous"]),
    row("time", 1, NO_KEY, LOADING.and(STALE).and(FAST), time, "")
        .doc("server", "2.6.0", "Replies with the Unix time: seconds and microseconds.")
        .tips(&["nondeterministic_output"]),
];

const SAVE: crate::command::table::Flags = ADMIN.and(NOSCRIPT).and(NO_ASYNC_LOADING).and(NO_MULTI);
const BGSAVE: crate::command::table::Flags = ADMIN.and(NOSCRIPT).and(NO_ASYNC_LOADING);
const SHUTDOWN: crate::command::table::Flags =
    ADMIN.and(NOSCRIPT).and(LOADING).and(STALE).and(NO_MULTI).and(ALLOW_BUSY);

const SWAPDB: crate::command::table::Flags = WRITE.and(FAST);

/// The databases change places at once, their directories once everything older is in the tree.
/// What SWAPDB replies for a database that the same transaction has swapped before.
const SWAPPED: &str = "ERR a transaction can swap a database only once: use two transactions";

fn swapdb(cx: &mut Cx<'_, '_>) -> Result {
    let number = |at: usize| parse_i64(cx.args.get(at)).and_then(|n| i32::try_from(n).ok());
    let Some(one) = number(1) else { return fail("ERR invalid first DB index") };
    let Some(other) = number(2) else { return fail("ERR invalid second DB index") };
    let index = |number: i32| match Db::try_from(number) {
        Ok(db) if db < DATABASES => Ok(db),
        _ => fail("ERR DB index is out of range"),
    };
    let (one, other) = (index(one)?, index(other)?);
    if one != other {
        if !cx.keys.may_swap(one) || !cx.keys.may_swap(other) {
            return fail(SWAPPED);
        }
        await_no_backup(cx)?;
        touch_watched(cx, one, other)?;
        cx.keys.swap(one, other);
    }
    cx.reply.ok();
    Ok(Done)
}

/// Tells those who watch a key of either database that it changes, if it is in one of them.
fn touch_watched(cx: &mut Cx<'_, '_>, one: Db, other: Db) -> Result<()> {
    for db in [one, other] {
        let watched: Vec<_> = cx.clients.watched_in(db).cloned().collect();
        for key in watched {
            let here = cx.keys.open_as(one, &key, Want::Meta, Use::Look)?;
            let there = cx.keys.open_as(other, &key, Want::Meta, Use::Look)?;
            if cx.keys.kind(here).is_some() || cx.keys.kind(there).is_some() {
                cx.clients.touch(db, &key);
            }
        }
    }
    Ok(())
}

/// Parks the command while a backup runs: what is being copied must not change its place.
pub(super) fn await_no_backup(cx: &mut Cx<'_, '_>) -> Result<()> {
    if cx.server.backing_up { Err(Stop::Park(Need::NoBackup)) } else { Ok(()) }
}

fn time(cx: &mut Cx<'_, '_>) -> Result {
    let now_us = cx.server.now_us;
    cx.reply.array(2);
    cx.reply.bulk((now_us / 1_000_000).to_string().as_bytes());
    cx.reply.bulk((now_us % 1_000_000).to_string().as_bytes());
    Ok(Done)
}

fn lastsave(cx: &mut Cx<'_, '_>) -> Result {
    cx.reply.int(i64::try_from(cx.server.checkpoint_ms / 1000).unwrap_or(i64::MAX));
    Ok(Done)
}

fn bgsave(cx: &mut Cx<'_, '_>) -> Result {
    match cx.args.try_get(1) {
        Some(word) if cx.args.len() > 2 || !is(word, "schedule") => return fail(SYNTAX),
        _ => cx.server.save_wanted = cx.keys.backlog.issued(),
    }
    cx.reply.simple("Background saving started");
    Ok(Done)
}

fn bgrewriteaof(cx: &mut Cx<'_, '_>) -> Result {
    cx.server.save_wanted = cx.keys.backlog.issued();
    cx.reply.simple("Background append only file rewriting started");
    Ok(Done)
}

fn save(cx: &mut Cx<'_, '_>) -> Result {
    cx.wait_for(|keys| Need::Synced(keys.backlog.issued()))?;
    cx.reply.ok();
    Ok(Done)
}

/// Asks the event loop to end. There is no reply: the connection is closed.
fn shutdown(cx: &mut Cx<'_, '_>) -> Result {
    let (mut save, mut nosave, mut soon, mut abort) = (false, false, false, false);
    for word in cx.args.skip(1).iter() {
        let flag = match () {
            () if is(word, "save") => &mut save,
            () if is(word, "nosave") => &mut nosave,
            () if is(word, "now") || is(word, "force") => &mut soon,
            () if is(word, "abort") => &mut abort,
            () => return fail(SYNTAX),
        };
        *flag = true;
    }
    if (abort && (save || nosave || soon)) || (save && nosave) {
        return fail(SYNTAX);
    }
    if abort {
        if cx.server.shutdown.take().is_none() {
            return fail("ERR No shutdown in progress.");
        }
        cx.reply.ok();
        return Ok(Done);
    }
    if cx.server.scripts.busy && !nosave {
        return fail(BUSY);
    }
    cx.server.shutdown = Some(if nosave { Shutdown::NoSave } else { Shutdown::Save });
    Ok(Done)
}
