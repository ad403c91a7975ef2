//! Replication, of which there is none: this server is a master without replicas.

use super::is;
use crate::command::table::{
    ADMIN, FAST, Flags, LOADING, NO_ASYNC_LOADING, NO_KEY, NOSCRIPT, STALE, row,
};
use crate::command::{Command, Cx, Done, Result, fail};

const ROLE: Flags = NOSCRIPT.and(LOADING).and(STALE).and(FAST);
const CHANGES: Flags = ADMIN.and(NOSCRIPT).and(STALE).and(NO_ASYNC_LOADING);

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("replicaof", 3, NO_KEY, CHANGES, replicaof, "NO ONE")
        .doc("server", "5.0.0", "Fails but for NO ONE: this server replicates no other."),
    row("role", 1, NO_KEY, ROLE, role, "")
        .doc("server", "2.8.12", "Replies that this is a master without replicas.")
        .categories(&["admin", "dangerous"]),
    row("slaveof", 3, NO_KEY, CHANGES, replicaof, "NO ONE")
        .doc("server", "1.0.0", "The old name of REPLICAOF.")
        .deprecated("5.0.0", "`REPLICAOF`"),
];

fn role(cx: &mut Cx<'_, '_>) -> Result {
    cx.reply.array(3);
    cx.reply.bulk(b"master");
    cx.reply.int(0);
    cx.reply.array(0);
    Ok(Done)
}

fn replicaof(cx: &mut Cx<'_, '_>) -> Result {
    if !is(cx.args.get(1), "no") || !is(cx.args.get(2), "one") {
        return fail(
            "ERR this server cannot be a replica: copy its tree with scripts/backup instead",
        );
    }
    cx.reply.ok();
    Ok(Done)
}
