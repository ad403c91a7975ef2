//! Scripts: EVAL and its like say which script runs on what, and dispatch runs it.

use super::{container, help, integer, is};
use crate::command::table::{
    ALLOW_BUSY, COUNTED_AT_2, Flags, LOADING, MAY_REPLICATE, MOVABLE, NO_KEY, NO_MANDATORY_KEYS,
    NOSCRIPT, READ, SKIP_MONITOR, STALE, row,
};
use crate::command::{Command, Cx, Done, Error, Program, Result, Stop, fail};
use crate::lua;

const EVAL_RO: Flags =
    READ.and(NOSCRIPT).and(STALE).and(SKIP_MONITOR).and(NO_MANDATORY_KEYS).and(MOVABLE);
const EVAL: Flags =
    NOSCRIPT.and(STALE).and(SKIP_MONITOR).and(NO_MANDATORY_KEYS).and(MOVABLE).and(MAY_REPLICATE);
const EVAL_ARGS: &str = "script numkeys [key [key ...]] [arg [arg ...]]";
const EVALSHA_ARGS: &str = "sha1 numkeys [key [key ...]] [arg [arg ...]]";
const WRITES: &[&str] = &["RW access update; \
     We cannot tell how the keys will be used so we assume the worst, RW and UPDATE"];
const READS: &[&str] =
    &["RO access; We cannot tell how the keys will be used so we assume the worst, RO and ACCESS"];

const WRITES_KNOWN: &[&str] = &["RW access update"];
const READS_KNOWN: &[&str] = &["RO access"];

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("eval", -3, COUNTED_AT_2, EVAL, eval, EVAL_ARGS)
        .doc("scripting", "2.6.0", "Runs a Lua script as one batch.")
        .access(WRITES),
    row("evalsha", -3, COUNTED_AT_2, EVAL, evalsha, EVALSHA_ARGS)
        .doc("scripting", "2.6.0", "Runs a script that the server knows.")
        .access(WRITES_KNOWN),
    row("eval_ro", -3, COUNTED_AT_2, EVAL_RO, eval_ro, EVAL_ARGS)
        .doc("scripting", "7.0.0", "Runs a Lua script that only reads.")
        .access(READS),
    row("evalsha_ro", -3, COUNTED_AT_2, EVAL_RO, evalsha_ro, EVALSHA_ARGS)
        .doc("scripting", "7.0.0", "Runs a script that the server knows and that only reads.")
        .access(READS_KNOWN),
    row("script", -2, NO_KEY, Flags(0), container, "")
        .doc("scripting", "2.6.0", "Holds commands on scripts.")
        .with(SCRIPT),
];

#[rustfmt::skip] // A row is a line, and its documentation the next.
const SCRIPT: &[Command] = &[
    row("debug", 3, NO_KEY, NOSCRIPT, debug, "YES | SYNC | NO")
        .doc("scripting", "3.2.0", "Fails but for NO: there is no debugger."),
    row("exists", -3, NO_KEY, NOSCRIPT, exists, "sha1 [sha1 ...]")
        .doc("scripting", "2.6.0", "Replies which scripts the server knows.")
        .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"]),
    row("flush", -2, NO_KEY, NOSCRIPT, flush, "[ASYNC | SYNC]")
        .doc("scripting", "2.6.0", "Forgets all scripts.")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    row("help", 2, NO_KEY, LOADING.and(STALE), script_help, "")
        .doc("scripting", "5.0.0", "Lists the subcommands."),
    row("kill", 2, NO_KEY, NOSCRIPT.and(ALLOW_BUSY), kill, "")
        .doc("scripting", "2.6.0", "Ends the script that runs, and takes back what it has done.")
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
    row("load", 3, NO_KEY, NOSCRIPT.and(STALE), load, "script")
        .doc("scripting", "2.6.0", "Keeps a script and replies with its SHA-1.")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];

fn eval(cx: &mut Cx<'_, '_>) -> Result {
    run_text(cx, false)
}

fn eval_ro(cx: &mut Cx<'_, '_>) -> Result {
    run_text(cx, true)
}

fn evalsha(cx: &mut Cx<'_, '_>) -> Result {
    run_known(cx, false)
}

fn evalsha_ro(cx: &mut Cx<'_, '_>) -> Result {
    run_known(cx, true)
}

fn run_text(cx: &mut Cx<'_, '_>, read_only: bool) -> Result {
    let keys = count_keys(cx)?;
    let sha = keep(cx, cx.args.get(1))?;
    run(cx, sha, keys, read_only)
}

fn run_known(cx: &mut Cx<'_, '_>, read_only: bool) -> Result {
    let keys = count_keys(cx)?;
    let sha = String::from_utf8_lossy(cx.args.get(1)).to_ascii_lowercase();
    if cx.server.scripts.flags(&sha).is_none() {
        return fail("NOSCRIPT No matching script. Please use EVAL.");
    }
    run(cx, sha, keys, read_only)
}

/// The number of keys, if there are so many arguments.
fn count_keys(cx: &Cx<'_, '_>) -> Result<usize> {
    match integer(cx.args.get(2))? {
        count if count < 0 => fail("ERR Number of keys can't be negative"),
        count if count as usize > cx.args.len() - 3 => {
            fail("ERR Number of keys can't be greater than number of args")
        }
        count => Ok(count as usize),
    }
}

/// Has the script run.
fn run(cx: &mut Cx<'_, '_>, sha: String, keys: usize, read_only: bool) -> Result {
    if let Some(crate::command::Grant::Failed(error)) = cx.grant.take() {
        return Err(error.into());
    }
    let flags = cx.server.scripts.note(&sha, false).unwrap_or_default();
    if read_only && flags.shebang && !flags.no_writes {
        return fail("ERR Can not execute a script with write flag using *_ro command.");
    }
    let read_only = read_only || flags.no_writes;
    Err(Stop::Script(Box::new(Program { sha, keys, read_only })))
}

/// Has the interpreter keep a script; answers its SHA-1.
fn keep(cx: &mut Cx<'_, '_>, text: &[u8]) -> Result<String> {
    let sha = lua::sha1hex(text);
    if cx.server.scripts.flags(&sha).is_none() {
        let bytes_max = cx.server.config.lua_bytes;
        cx.server.scripts.compile(bytes_max, &sha, text).map_err(Error::new)?;
    }
    Ok(sha)
}

fn load(cx: &mut Cx<'_, '_>) -> Result {
    let sha = keep(cx, cx.args.get(2))?;
    cx.server.scripts.note(&sha, true);
    cx.reply.bulk(sha.as_bytes());
    Ok(Done)
}

fn exists(cx: &mut Cx<'_, '_>) -> Result {
    let scripts = cx.args.skip(2);
    cx.reply.array(scripts.len());
    for sha in scripts.iter() {
        let sha = String::from_utf8_lossy(sha).to_ascii_lowercase();
        cx.reply.int(i64::from(cx.server.scripts.flags(&sha).is_some()));
    }
    Ok(Done)
}

fn flush(cx: &mut Cx<'_, '_>) -> Result {
    let modes = cx.args.skip(2);
    match modes.try_get(0) {
        Some(mode) if modes.len() > 1 || !(is(mode, "sync") || is(mode, "async")) => {
            return fail("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        }
        _ => cx.server.scripts.forget_all(),
    }
    cx.reply.ok();
    Ok(Done)
}

fn kill(cx: &mut Cx<'_, '_>) -> Result {
    if !cx.server.scripts.busy {
        return fail("NOTBUSY No scripts in execution right now.");
    }
    cx.server.scripts.killed = true;
    cx.reply.ok();
    Ok(Done)
}

fn debug(cx: &mut Cx<'_, '_>) -> Result {
    match cx.args.get(2) {
        mode if is(mode, "no") => cx.reply.ok(),
        mode if is(mode, "yes") || is(mode, "sync") => {
            return fail("ERR this server has no debugger for scripts: use redis.log, or a Redis");
        }
        _ => return fail("ERR Use SCRIPT DEBUG YES/SYNC/NO"),
    }
    Ok(Done)
}

fn script_help(cx: &mut Cx<'_, '_>) -> Result {
    let lines = [
        "DEBUG (YES|SYNC|NO)",
        "    Fails but for NO.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Tell which scripts are known.",
        "FLUSH [ASYNC|SYNC]",
        "    Forget all scripts.",
        "KILL",
        "    End the script that runs, and take back what it has done.",
        "LOAD <script>",
        "    Keep a script without running it.",
    ];
    help(cx, "SCRIPT", &lines);
    Ok(Done)
}
