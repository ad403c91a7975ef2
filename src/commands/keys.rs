//! Commands on keys of any type: existence, names, copies, and what there is to know of a key.
//!
//! Deadlines are in `expire`, listings in `scan`.

use super::server::await_no_backup;
use super::{container, database, help, integer, is};
use crate::command::table::{
    DENYOOM, FAST, FREES, KEY1, KEY2, KEYS, KEYS2, LOADING, NO_KEY, READ, STALE, WRITE, row,
};
use crate::command::{
    Command, Cx, Db, Done, NO_SUCH_KEY, Need, Result, SYNTAX, SlotId, Use, Want, fail,
};
use crate::layout::op::DATABASES;

const SUM: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const ON_ALL: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const VARIES: &[&str] = &["nondeterministic_output"];

const COPY: &str = "source destination [DB destination-db] [REPLACE]";

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("del", -2, KEYS, WRITE.and(FREES), del, "key [key ...]")
        .doc("generic", "1.0.0", "Removes keys and replies with how many there were.")
        .access(&["RM delete"])
        .tips(SUM),
    row("unlink", -2, KEYS, WRITE.and(FAST).and(FREES), del, "key [key ...]")
        .doc("generic", "4.0.0", "Removes keys; their files are freed in the background.")
        .access(&["RM delete"])
        .tips(SUM),
    row("exists", -2, KEYS, READ.and(FAST), exists, "key [key ...]")
        .doc("generic", "1.0.0", "Counts how many of the keys are there.")
        .access(&["RO"])
        .tips(SUM),
    row("touch", -2, KEYS, READ.and(FAST), touch, "key [key ...]")
        .doc("generic", "3.2.1", "Counts how many of the keys are there and marks them as used.")
        .access(&["RO"])
        .tips(SUM),
    row("type", 2, KEY1, READ.and(FAST), type_of, "key")
        .doc("generic", "1.0.0", "Replies with the type of a key, or none.")
        .access(&["RO"]),
    row("rename", 3, KEYS2, WRITE, rename, "key newkey")
        .doc("generic", "1.0.0", "Gives a key another name, in place of what was there.")
        .access(&["RW access delete", "OW update"]),
    row("renamenx", 3, KEYS2, WRITE.and(FAST), renamenx, "key newkey")
        .doc("generic", "1.0.0", "Gives a key another name, unless that is taken.")
        .access(&["RW access delete", "OW insert"]),
    row("copy", -3, KEYS2, WRITE.and(DENYOOM), copy, COPY)
        .doc("generic", "6.2.0", "Copies a key to another name or database.")
        .access(&["RO access", "OW update"]),
    row("move", 3, KEY1, WRITE.and(FAST), move_to, "key db")
        .doc("generic", "1.0.0", "Moves a key to another database.")
        .access(&["RW access update"]),
    row("object", -2, NO_KEY, READ, container, "")
        .doc("generic", "2.2.3", "Holds commands that tell how a value is kept.")
        .with(OBJECT),
    row("dbsize", 1, NO_KEY, READ.and(FAST), dbsize, "")
        .doc("server", "1.0.0", "Replies with the number of keys of the database.")
        .categories(&["keyspace"])
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    row("flushdb", -1, NO_KEY, WRITE.and(FREES), flushdb, "[ASYNC | SYNC]")
        .doc("server", "1.0.0", "Removes all keys of the database.")
        .categories(&["keyspace", "dangerous"])
        .tips(ON_ALL),
    row("flushall", -1, NO_KEY, WRITE.and(FREES), flushall, "[ASYNC | SYNC]")
        .doc("server", "1.0.0", "Removes all keys of all databases.")
        .categories(&["keyspace", "dangerous"])
        .tips(ON_ALL),
];

#[rustfmt::skip] // A row is a line, and its documentation the next.
const OBJECT: &[Command] = &[
    row("encoding", 3, KEY2, READ, object_encoding, "key")
        .doc("generic", "2.2.3", "Replies with the name of Redis' encoding of such a value.")
        .access(&["RO"])
        .tips(VARIES),
    row("freq", 3, KEY2, READ, object_freq, "key")
        .doc("generic", "4.0.0", "Fails: how often a key is used is not counted.")
        .access(&["RO"])
        .tips(VARIES),
    row("help", 2, NO_KEY, LOADING.and(STALE), object_help, "")
        .doc("generic", "6.2.0", "Lists the subcommands."),
    row("idletime", 3, KEY2, READ, object_idletime, "key")
        .doc("generic", "2.2.3", "Replies with the seconds since a key was last used.")
        .access(&["RO"])
        .tips(VARIES),
    row("refcount", 3, KEY2, READ, object_refcount, "key")
        .doc("generic", "2.2.3", "Replies with the number of references to the value of a key.")
        .access(&["RO"])
        .tips(VARIES),
];

/// What Redis answers for integers that it shares between keys.
const SHARED: i64 = i32::MAX as i64;
/// The first integer that Redis does not share.
const SHARED_END: i64 = 10_000;

/// Replies with the number of keys that were removed.
fn del(cx: &mut Cx<'_, '_>) -> Result {
    let slots = cx.keys.open_all(cx.db, cx.args.skip(1).iter(), Want::Meta, Use::Change)?;
    let removed = slots.into_iter().filter(|slot| cx.keys.remove(*slot)).count();
    cx.reply.count(removed);
    Ok(Done)
}

/// Replies with the number of keys that are there; one named twice counts twice.
fn exists(cx: &mut Cx<'_, '_>) -> Result {
    count_present(cx, Use::Look)
}

/// As EXISTS; that somebody asked counts as use.
fn touch(cx: &mut Cx<'_, '_>) -> Result {
    count_present(cx, Use::Read)
}

fn count_present(cx: &mut Cx<'_, '_>, by: Use) -> Result {
    let slots = cx.keys.open_all(cx.db, cx.args.skip(1).iter(), Want::Meta, by)?;
    let present = slots.into_iter().filter(|slot| cx.keys.kind(*slot).is_some()).count();
    cx.reply.count(present);
    Ok(Done)
}

fn type_of(cx: &mut Cx<'_, '_>) -> Result {
    let slot = cx.keys.open_as(cx.db, cx.args.get(1), Want::Meta, Use::Look)?;
    cx.reply.simple(cx.keys.kind(slot).map_or("none", |kind| kind.name()));
    Ok(Done)
}

fn rename(cx: &mut Cx<'_, '_>) -> Result {
    rename_unless(cx, |_| false)?;
    cx.reply.ok();
    Ok(Done)
}

/// Replies whether the key was renamed.
fn renamenx(cx: &mut Cx<'_, '_>) -> Result {
    let renamed = rename_unless(cx, |taken| taken)?;
    cx.reply.int(i64::from(renamed));
    Ok(Done)
}

/// Renames unless `refuse` says so, given whether the new name is taken. Answers whether it did.
fn rename_unless(cx: &mut Cx<'_, '_>, refuse: impl FnOnce(bool) -> bool) -> Result<bool> {
    let (old, new) = (cx.args.get(1), cx.args.get(2));
    if old == new {
        let slot = cx.keys.open(cx.db, old, Want::Meta)?;
        return match cx.keys.kind(slot) {
            Some(_) => Ok(false),
            None => fail(NO_SUCH_KEY),
        };
    }
    let want = cx.keys.wanted_to_rename();
    let both = open_both(cx, (cx.db, old), (cx.db, new), want, Use::Change)?;
    let Some((from, to)) = both else {
        return fail(NO_SUCH_KEY);
    };
    if refuse(cx.keys.kind(to).is_some()) {
        return Ok(false);
    }
    relocate(cx, from, to)?;
    Ok(true)
}

/// Has a key change its place: a small one is written anew, the directory of a large one moved.
fn relocate(cx: &mut Cx<'_, '_>, from: SlotId, to: SlotId) -> Result<()> {
    if cx.keys.is_moved(from) {
        await_no_backup(cx)?;
        cx.keys.move_key(from, to);
    } else {
        cx.copy(from, to)?;
        cx.keys.remove(from);
    }
    Ok(())
}

/// Opens a key with what is wanted of it, and another that it may replace. `None` where the first
/// is absent.
fn open_both(
    cx: &mut Cx<'_, '_>,
    from: (Db, &[u8]),
    to: (Db, &[u8]),
    want: Want<'_>,
    by: Use,
) -> Result<Option<(SlotId, SlotId)>> {
    let source = cx.keys.open_as(from.0, from.1, want, by);
    let target = cx.keys.open(to.0, to.1, Want::Meta);
    let (source, target) = (source?, target?); // Both are read before the command runs again.
    Ok(cx.keys.kind(source).map(|_| (source, target)))
}

/// Replies whether the key was copied.
fn copy(cx: &mut Cx<'_, '_>) -> Result {
    let (source, target) = (cx.args.get(1), cx.args.get(2));
    let (mut db, mut replace) = (cx.db, false);
    let mut options = cx.args.skip(3).iter();
    while let Some(option) = options.next() {
        if is(option, "replace") {
            replace = true;
        } else if is(option, "db") && options.len() > 0 {
            db = database(options.next().unwrap_or_default())?;
        } else {
            return fail(SYNTAX);
        }
    }
    let both = carry(cx, source, (db, target), replace, Want::Whole, Use::Read)?;
    if let Some((from, to)) = both {
        cx.copy(from, to)?;
    }
    cx.reply.int(i64::from(both.is_some()));
    Ok(Done)
}

/// Replies whether the key was moved.
fn move_to(cx: &mut Cx<'_, '_>) -> Result {
    let (key, db) = (cx.args.get(1), database(cx.args.get(2))?);
    let both = carry(cx, key, (db, key), false, cx.keys.wanted_to_rename(), Use::Change)?;
    if let Some((from, to)) = both {
        relocate(cx, from, to)?;
    }
    cx.reply.int(i64::from(both.is_some()));
    Ok(Done)
}

/// Opens a key and another place that it is to go to. `None` where it is absent or would replace a
/// key.
fn carry(
    cx: &mut Cx<'_, '_>,
    source: &[u8],
    target: (Db, &[u8]),
    replace: bool,
    want: Want<'_>,
    by: Use,
) -> Result<Option<(SlotId, SlotId)>> {
    if target == (cx.db, source) {
        return fail("ERR source and destination objects are the same");
    }
    let slots = open_both(cx, (cx.db, source), target, want, by)?;
    Ok(slots.filter(|(_, to)| replace || cx.keys.kind(*to).is_none()))
}

/// Opens the key behind the subcommand. Where it is absent, replies with nothing.
fn object(cx: &mut Cx<'_, '_>, want: Want<'_>) -> Result<Option<SlotId>> {
    let slot = cx.keys.open_as(cx.db, cx.args.get(2), want, Use::Look)?;
    if cx.keys.kind(slot).is_none() {
        cx.reply.null();
        return Ok(None);
    }
    Ok(Some(slot))
}

fn object_encoding(cx: &mut Cx<'_, '_>) -> Result {
    if let Some(slot) = object(cx, cx.keys.small())? {
        cx.reply.bulk(cx.keys.encoding(slot).as_bytes());
    }
    Ok(Done)
}

fn object_freq(cx: &mut Cx<'_, '_>) -> Result {
    match object(cx, Want::Meta)? {
        None => Ok(Done),
        Some(_) => fail(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take some \
             time to adjust.",
        ),
    }
}

fn object_idletime(cx: &mut Cx<'_, '_>) -> Result {
    if let Some(slot) = object(cx, Want::Meta)? {
        let idle_s = cx.keys.idle_s(slot);
        cx.reply.int(i64::try_from(idle_s).unwrap_or(i64::MAX));
    }
    Ok(Done)
}

/// Replies with 1, or with Redis' mark of what it would share.
fn object_refcount(cx: &mut Cx<'_, '_>) -> Result {
    if let Some(slot) = object(cx, Want::Value)? {
        let is_int = cx.keys.encoding(slot) == "int";
        let content = if is_int { cx.keys.string(slot)? } else { None };
        let number = content.and_then(|content| integer(content).ok());
        let shared = number.is_some_and(|number| (0..SHARED_END).contains(&number));
        cx.reply.int(if shared { SHARED } else { 1 });
    }
    Ok(Done)
}

fn object_help(cx: &mut Cx<'_, '_>) -> Result {
    let lines = [
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
    ];
    help(cx, "OBJECT", &lines);
    Ok(Done)
}

fn dbsize(cx: &mut Cx<'_, '_>) -> Result {
    let db = cx.db;
    if cx.keys.sizes.known(db).is_none() {
        cx.wait_for(|keys| Need::Count { db: keys.place(db).unwrap_or(db) })?;
    }
    cx.keys.show_all();
    let keys = cx.keys.sizes.known(db).unwrap_or(0);
    cx.reply.int(i64::try_from(keys).unwrap_or(i64::MAX));
    Ok(Done)
}

/// ASYNC and SYNC mean the same: the files go to the trash and are freed in the background.
fn check_flush_mode(cx: &Cx<'_, '_>) -> Result<()> {
    let modes = cx.args.skip(1);
    match modes.try_get(0) {
        Some(mode) if modes.len() > 1 || !(is(mode, "sync") || is(mode, "async")) => fail(SYNTAX),
        _ => Ok(()),
    }
}

fn flushdb(cx: &mut Cx<'_, '_>) -> Result {
    check_flush_mode(cx)?;
    cx.keys.flush(cx.db);
    cx.reply.ok();
    Ok(Done)
}

fn flushall(cx: &mut Cx<'_, '_>) -> Result {
    check_flush_mode(cx)?;
    for db in 0..DATABASES {
        cx.keys.flush(db);
    }
    cx.reply.ok();
    Ok(Done)
}
