//! MEMORY: what keys take of it, and what the server does.

use super::{container, help, integer, is};
use crate::base::sys;
use crate::command::table::{Flags, KEY2, LOADING, NO_KEY, READ, STALE, row};
use crate::command::{Command, Cx, Done, Result, SYNTAX, Use, fail};

const VARIES: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[row("memory", -2, NO_KEY, Flags(0), container, "")
    .doc("server", "4.0.0", "Holds commands on memory.")
    .with(MEMORY)];

#[rustfmt::skip] // A row is a line, and its documentation the next.
const MEMORY: &[Command] = &[
    row("doctor", 2, NO_KEY, Flags(0), doctor, "")
        .doc("server", "4.0.0", "Tells whether memory is within its bounds.")
        .tips(VARIES),
    row("help", 2, NO_KEY, LOADING.and(STALE), memory_help, "")
        .doc("server", "4.0.0", "Lists the subcommands."),
    row("purge", 2, NO_KEY, Flags(0), purge, "")
        .doc("server", "4.0.0", "Gives free memory back to the system.")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    row("stats", 2, NO_KEY, Flags(0), stats, "")
        .doc("server", "4.0.0", "Replies with what memory is used for.")
        .tips(VARIES),
    row("usage", -3, KEY2, READ, usage, "key [SAMPLES count]")
        .doc("server", "4.0.0", "Replies with the bytes that a key would take in memory.")
        .access(&["RO"]),
];

/// Replies with the bytes that a key takes in the cache. Of a large collection that is there in
/// part it is what the whole would take.
fn usage(cx: &mut Cx<'_, '_>) -> Result {
    let mut options = cx.args.skip(3).iter();
    while let Some(option) = options.next() {
        let Some(count) = options.next().filter(|_| is(option, "samples")) else {
            return fail(SYNTAX);
        };
        if integer(count)? < 0 {
            return fail(SYNTAX);
        }
    }
    let want = cx.keys.small();
    let slot = cx.keys.open_as(cx.db, cx.args.get(2), want, Use::Look)?;
    match cx.keys.memory_bytes(slot) {
        Some(bytes) => cx.reply.count(bytes),
        None => cx.reply.null(),
    }
    Ok(Done)
}

fn purge(cx: &mut Cx<'_, '_>) -> Result {
    sys::collect_memory();
    cx.reply.ok();
    Ok(Done)
}

fn doctor(cx: &mut Cx<'_, '_>) -> Result {
    let (cache, budget) = (cx.keys.cache_bytes() as u64, cx.server.config.cache_bytes);
    let (backlog, bound) = (cx.keys.backlog.bytes() as u64, cx.server.config.backlog_bytes);
    let text = match () {
        () if cache > budget => format!(
            "The cache takes {cache} bytes of {budget}: commands that run now need more than \
             DREDIS_CACHE_BYTES at a time."
        ),
        () if backlog > bound => format!(
            "The backlog takes {backlog} bytes of {bound}: the disk is slower than those who \
             write. Writes wait until it has caught up."
        ),
        () => format!(
            "The cache takes {cache} bytes of {budget}, the backlog {backlog} of {bound}: all is \
             well. Memory does not grow with the number of keys."
        ),
    };
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(Done)
}

/// Redis' names where they mean something here, and our own.
fn stats(cx: &mut Cx<'_, '_>) -> Result {
    let cache = cx.keys.cache_bytes();
    let backlog = cx.keys.backlog.bytes();
    let clients = |cx: &Cx<'_, '_>| {
        let buffers = cx.clients.iter().map(|client| client.input_bytes[1] + client.output_bytes);
        buffers.sum::<usize>()
    };
    let rows = [
        ("total.allocated", cache + backlog),
        ("clients.normal", clients(cx)),
        ("clients.slaves", 0),
        ("replication.backlog", 0),
        ("keys.cached", cx.keys.cached()),
        ("dataset.bytes", cache),
        ("dredis.cache.bytes", cache),
        ("dredis.cache.max", cx.server.config.cache_bytes as usize),
        ("dredis.backlog.bytes", backlog),
        ("dredis.backlog.max", cx.server.config.backlog_bytes as usize),
    ];
    cx.reply.map(rows.len());
    for (name, value) in rows {
        cx.reply.bulk(name.as_bytes());
        cx.reply.count(value);
    }
    Ok(Done)
}

fn memory_help(cx: &mut Cx<'_, '_>) -> Result {
    let lines = [
        "DOCTOR",
        "    Tell whether memory is within its bounds.",
        "PURGE",
        "    Give free memory back to the system.",
        "STATS",
        "    Reply with what memory is used for.",
        "USAGE <key> [SAMPLES <count>]",
        "    Reply with the bytes that the key would take in memory as a whole.",
    ];
    help(cx, "MEMORY", &lines);
    Ok(Done)
}
