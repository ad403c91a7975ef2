//! Our own commands, in containers so that they collide with nothing: TREE tells where keys lie
//! and how far the tree lags, BACKUP holds the journal while the tree is copied.

use super::{container, help};
use crate::command::server::Server;
use crate::command::table::{
    ADMIN, Flags, KEY2, LOADING, NO_KEY, NO_MULTI, NOSCRIPT, READ, STALE, row,
};
use crate::command::{Command, Cx, Done, Error, Keyspace, Need, Result, Stop, fail};
use crate::layout::op::Seq;

const OURS: &str = "dredis";
const RUNS_IT: Flags = ADMIN.and(NOSCRIPT).and(NO_MULTI);

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("backup", -2, NO_KEY, RUNS_IT, container, "")
        .doc("server", OURS, "Holds commands that make a live server safe to copy.")
        .with(BACKUP),
    row("tree", -2, NO_KEY, READ, container, "")
        .doc("server", OURS, "Holds commands on the tree of files.")
        .with(TREE),
];

#[rustfmt::skip] // A row is a line, and its documentation the next.
const TREE: &[Command] = &[
    row("help", 2, NO_KEY, LOADING.and(STALE), tree_help, "")
        .doc("server", OURS, "Lists the subcommands."),
    row("path", 3, KEY2, READ, tree_path, "key")
        .doc("server", OURS, "Replies with the directory of a key below ROOT_DIR.")
        .access(&["RO"]),
    row("status", 2, NO_KEY, LOADING.and(STALE), tree_status, "")
        .doc("server", OURS, "Replies with how far the tree is behind."),
    row("sync", 2, NO_KEY, NOSCRIPT.and(NO_MULTI), tree_sync, "")
        .doc("server", OURS, "Returns when the tree shows everything and is synced."),
];

#[rustfmt::skip] // A row is a line, and its documentation the next.
const BACKUP: &[Command] = &[
    row("help", 2, NO_KEY, LOADING.and(STALE), backup_help, "")
        .doc("server", OURS, "Lists the subcommands."),
    row("start", 2, NO_KEY, RUNS_IT, backup_start, "")
        .doc("server", OURS, "Keeps the journal from here on and replies with an id."),
    row("status", 2, NO_KEY, ADMIN.and(LOADING).and(STALE), backup_status, "")
        .doc("server", OURS, "Replies with the backup under way."),
    row("stop", 3, NO_KEY, RUNS_IT, backup_stop, "id")
        .doc("server", OURS, "Ends a backup; fails where the copy is not usable."),
];

/// How far the tree is behind.
pub(super) struct Lag {
    /// Bytes of what is not in the tree.
    pub backlog_bytes: u64,
    /// The newest batch.
    pub issued: Seq,
    /// The newest batch that survives a power cut.
    pub durable: Seq,
    /// The tree has everything up to this batch.
    pub applied: Seq,
    /// The same, and it is synced.
    pub checkpointed: Seq,
    /// Batches of which the tree lacks something.
    pub batches: u64,
    /// Milliseconds that the backlog needs at the present speed; 0 where that is unknown.
    pub drain_ms: u64,
}

impl Lag {
    pub(super) fn of(keys: &Keyspace, server: &Server) -> Lag {
        let backlog = &keys.backlog;
        let bytes = backlog.bytes() as u64;
        let (issued, applied) = (backlog.issued(), backlog.applied_seq());
        let drain_ms = bytes.saturating_mul(1000).checked_div(server.stats.apply_bytes_per_s);
        Lag {
            backlog_bytes: bytes,
            issued,
            durable: backlog.durable_seq(),
            applied,
            checkpointed: server.checkpoint,
            batches: issued.saturating_sub(applied),
            drain_ms: drain_ms.unwrap_or(0),
        }
    }
}

/// The directory below ROOT_DIR, whether or not the key is there.
fn tree_path(cx: &mut Cx<'_, '_>) -> Result {
    let path = cx.keys.dir(cx.db, cx.args.get(2))?;
    cx.reply.bulk(path.as_bytes());
    Ok(Done)
}

fn tree_sync(cx: &mut Cx<'_, '_>) -> Result {
    cx.wait_for(|keys| Need::Synced(keys.backlog.issued()))?;
    cx.reply.ok();
    Ok(Done)
}

fn tree_status(cx: &mut Cx<'_, '_>) -> Result {
    let lag = Lag::of(cx.keys, cx.server);
    let fields = [
        ("backlog_bytes", lag.backlog_bytes),
        ("backlog_bytes_max", cx.server.config.backlog_bytes),
        ("issued", lag.issued),
        ("durable", lag.durable),
        ("applied", lag.applied),
        ("checkpointed", lag.checkpointed),
        ("lag_batches", lag.batches),
        ("drain_ms", lag.drain_ms),
    ];
    cx.reply.map(fields.len());
    for (name, value) in fields {
        cx.reply.bulk(name.as_bytes());
        cx.reply.int(i64::try_from(value).unwrap_or(i64::MAX));
    }
    Ok(Done)
}

fn tree_help(cx: &mut Cx<'_, '_>) -> Result {
    let lines = [
        "PATH <key>",
        "    Return the directory of a key, relative to ROOT_DIR.",
        "STATUS",
        "    Return how far the tree is behind: bytes, sequence numbers of batches, time.",
        "SYNC",
        "    Return when the tree shows everything acknowledged before, and is synced.",
    ];
    help(cx, "TREE", &lines);
    Ok(Done)
}

/// Replies with the id that STOP takes.
fn backup_start(cx: &mut Cx<'_, '_>) -> Result {
    if cx.grant.is_none()
        && let Some(backup) = cx.server.backup.as_ref().filter(|backup| !backup.lost)
    {
        let text = format!("ERR backup {} is under way: stop it first", backup.id);
        return Err(Stop::Error(Error::new(text)));
    }
    let id = format!("{:016x}", cx.server.rng.next_u64());
    cx.wait_for(|_| Need::BackupStart(id))?;
    match &cx.server.backup {
        Some(backup) => cx.reply.bulk(backup.id.as_bytes()),
        None => return fail("ERR the backup did not begin"),
    }
    Ok(Done)
}

fn backup_stop(cx: &mut Cx<'_, '_>) -> Result {
    if cx.grant.is_none() {
        check_backup(cx)?;
    }
    cx.wait_for(|_| Need::BackupStop)?;
    cx.reply.ok();
    Ok(Done)
}

/// Whether the backup that is to end is the one under way. Whether its journal is whole is found
/// out when it ends.
fn check_backup(cx: &Cx<'_, '_>) -> Result<()> {
    let id = cx.args.get(2);
    if cx.server.backup.as_ref().is_none_or(|backup| backup.id.as_bytes() != id) {
        return fail(
            "ERR no backup with this id is under way: the server restarted or it was stopped \
             already; the copy is not usable, make it again",
        );
    }
    Ok(())
}

fn backup_status(cx: &mut Cx<'_, '_>) -> Result {
    let backup = cx.server.backup.clone();
    let state = match &backup {
        None => "none",
        Some(backup) if backup.lost => "lost",
        Some(_) => "running",
    };
    cx.reply.map(5);
    cx.reply.bulk(b"state");
    cx.reply.bulk(state.as_bytes());
    cx.reply.bulk(b"id");
    cx.reply.bulk(backup.as_ref().map_or("", |backup| &backup.id).as_bytes());
    let numbers = [
        ("first", backup.as_ref().map_or(0, |backup| backup.first)),
        ("since_ms", backup.as_ref().map_or(0, |backup| backup.since_ms)),
        ("journal_bytes", cx.server.journal.bytes_pinned),
    ];
    for (name, value) in numbers {
        cx.reply.bulk(name.as_bytes());
        cx.reply.int(i64::try_from(value).unwrap_or(i64::MAX));
    }
    Ok(Done)
}

fn backup_help(cx: &mut Cx<'_, '_>) -> Result {
    let lines = [
        "START",
        "    Keep the journal from here on, so that the tree can be copied; return an id.",
        "STATUS",
        "    Return the state of the backup under way.",
        "STOP <id>",
        "    End the backup, after all was copied, the journal last.",
    ];
    help(cx, "BACKUP", &lines);
    Ok(Done)
}
