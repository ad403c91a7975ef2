//! COMMAND: the command table, told to clients. Everything here derives from the rows.

use super::{all, container, find, full_name, help, is, resolve};
use crate::base::glob::{Case, matches};
use crate::command::synopsis::{Argument, arguments};
use crate::command::table::{
    ADMIN, ALLOW_BUSY, DENYOOM, FAST, Flags, KeySpec, LOADING, MOVABLE, NO_ASYNC_LOADING, NO_AUTH,
    NO_KEY, NO_MANDATORY_KEYS, NO_MULTI, NOSCRIPT, READ, SKIP_MONITOR, SKIP_SLOWLOG, STALE, WRITE,
    row,
};
use crate::command::{Command, Cx, Done, Reply, Result, SYNTAX, fail};
use crate::resp::Args;

const EARLY: Flags = LOADING.and(STALE);
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
const CONNECTION: &[&str] = &["connection"];

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[row("command", -1, NO_KEY, EARLY, command, "")
    .doc("server", "2.8.13", "Describes all commands.")
    .categories(CONNECTION)
    .tips(UNORDERED)
    .with(COMMAND)];

#[rustfmt::skip] // A row is a line, and its documentation the next.
const COMMAND: &[Command] = &[
    row("count", 2, NO_KEY, EARLY, count, "")
        .doc("server", "2.8.13", "Replies with the number of commands.")
        .categories(CONNECTION),
    row("docs", -2, NO_KEY, EARLY, docs, "[command-name [command-name ...]]")
        .doc("server", "7.0.0", "Replies with the documentation of commands.")
        .categories(CONNECTION)
        .tips(UNORDERED),
    row("getkeys", -3, NO_KEY, EARLY, getkeys, "command [arg [arg ...]]")
        .doc("server", "2.8.13", "Picks the keys out of a whole command.")
        .categories(CONNECTION),
    row("getkeysandflags", -3, NO_KEY, EARLY, getkeysandflags, "command [arg [arg ...]]")
        .doc("server", "7.0.0", "Picks the keys out of a whole command, with their use.")
        .categories(CONNECTION),
    row("help", 2, NO_KEY, EARLY, command_help, "")
        .doc("server", "5.0.0", "Lists the subcommands.")
        .categories(CONNECTION),
    row("info", -2, NO_KEY, EARLY, info, "[command-name [command-name ...]]")
        .doc("server", "2.8.13", "Describes commands.")
        .categories(CONNECTION)
        .tips(UNORDERED),
    row("list", -2, NO_KEY, EARLY, list, LIST)
        .doc("server", "7.0.0", "Replies with the names of commands.")
        .categories(CONNECTION)
        .tips(UNORDERED),
];

const LIST: &str = "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]";

/// Flags in the order in which COMMAND INFO names them.
const FLAG_NAMES: &[(Flags, &str)] = &[
    (WRITE, "write"),
    (READ, "readonly"),
    (DENYOOM, "denyoom"),
    (ADMIN, "admin"),
    (NOSCRIPT, "noscript"),
    (LOADING, "loading"),
    (STALE, "stale"),
    (SKIP_MONITOR, "skip_monitor"),
    (SKIP_SLOWLOG, "skip_slowlog"),
    (FAST, "fast"),
    (NO_AUTH, "no_auth"),
    (MOVABLE, "movablekeys"),
    (NO_ASYNC_LOADING, "no_async_loading"),
    (NO_MANDATORY_KEYS, "no_mandatory_keys"),
    (NO_MULTI, "no_multi"),
    (ALLOW_BUSY, "allow_busy"),
];

/// ACL categories in the order in which COMMAND INFO names them.
const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Whether a command is in an ACL category: by its flags, its group, or because its row says so.
/// A container is in those of its flags only.
pub fn has_category(command: &Command, category: &str) -> bool {
    let flags = command.flags;
    let container = !command.subcommands.is_empty();
    let of_flags = match category {
        "fast" => flags.has(FAST),
        "slow" => !flags.has(FAST),
        _ if container => false,
        // Redis leaves scripts out, those that only read too.
        "read" => flags.has(READ) && command.group != "scripting",
        "write" => flags.has(WRITE),
        "admin" | "dangerous" if flags.has(ADMIN) => true,
        "keyspace" => command.group == "generic",
        "sortedset" => command.group == "sorted-set",
        "transaction" => command.group == "transactions",
        _ => command.group == category,
    };
    of_flags || command.categories.contains(&category)
}

fn command(cx: &mut Cx<'_, '_>) -> Result {
    if cx.args.len() > 1 {
        return container(cx);
    }
    cx.reply.array(all().count());
    for command in all() {
        describe(&mut cx.reply, command);
    }
    Ok(Done)
}

fn count(cx: &mut Cx<'_, '_>) -> Result {
    cx.reply.count(all().count());
    Ok(Done)
}

/// A command by its full name, as `config|get`.
fn named(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|byte| *byte == b'|') {
        None => find(name),
        Some(at) => find(&name[..at])?.subcommand(&name[at + 1..]),
    }
}

fn info(cx: &mut Cx<'_, '_>) -> Result {
    let names = cx.args.skip(2);
    if names.is_empty() {
        cx.reply.array(all().count());
        for command in all() {
            describe(&mut cx.reply, command);
        }
        return Ok(Done);
    }
    cx.reply.array(names.len());
    for name in names.iter() {
        match named(name) {
            Some(command) => describe(&mut cx.reply, command),
            None => cx.reply.null(),
        }
    }
    Ok(Done)
}

/// Writes the ten elements that COMMAND INFO has for a command.
fn describe(reply: &mut Reply<'_>, command: &'static Command) {
    reply.array(10);
    reply.bulk(full_name(command).as_bytes());
    reply.int(i64::from(command.arity));
    let flags = if command.subcommands.is_empty() || command.name == "command" {
        command.flags
    } else {
        Flags(0)
    };
    let flags = FLAG_NAMES.iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, name)| *name);
    words(reply, flags.map(str::to_owned).collect());
    let (first, last, step) = command.fixed_keys();
    for number in [first, last, step] {
        reply.int(i64::from(number));
    }
    let categories = CATEGORIES.iter().filter(|category| has_category(command, category));
    words(reply, categories.map(|category| format!("@{category}")).collect());
    reply.set(command.tips.len());
    for tip in command.tips {
        reply.bulk(tip.as_bytes());
    }
    describe_keys(reply, command);
    match command.subcommands.len() {
        0 => reply.set(0),
        count => reply.array(count),
    }
    for sub in command.subcommands {
        describe(reply, sub);
    }
}

/// Writes a set of words.
fn words(reply: &mut Reply<'_>, words: Vec<String>) {
    reply.set(words.len());
    for word in &words {
        reply.simple(word);
    }
}

/// Writes the key specifications: as many as the row says what is done with keys.
fn describe_keys(reply: &mut Reply<'_>, command: &Command) {
    reply.set(command.access.len());
    for (index, access) in command.access.iter().enumerate() {
        let (access, notes) = access.split_once("; ").unwrap_or((access, ""));
        reply.map(3 + usize::from(!notes.is_empty()));
        if !notes.is_empty() {
            reply.bulk(b"notes");
            reply.bulk(notes.as_bytes());
        }
        reply.bulk(b"flags");
        words(reply, access.split(' ').map(str::to_owned).collect());
        let (begin, kind, find) = key_search(command, index);
        describe_search(reply, "begin_search", "index", &[("index", begin)]);
        describe_search(reply, "find_keys", kind, &find);
    }
}

/// Where the keys of one key specification begin, how the others are found from there, and with
/// what numbers.
fn key_search(command: &Command, index: usize) -> (i32, &'static str, [(&'static str, i32); 3]) {
    let (first, last, step) = command.fixed_keys();
    let begin = first + index as i32;
    match command.keys {
        KeySpec::Counted { before, count } if index as i32 >= before => {
            (count, "keynum", [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)])
        }
        _ => {
            // With several specifications, each is of one key, and the last one of the others.
            let is_last = index + 1 == command.access.len();
            let (last, step) = match command.access.len() {
                0 | 1 if last >= 0 => (last - first, step),
                0 | 1 => (last, step),
                _ if is_last && last < 0 => (last, 1),
                _ => (0, 1),
            };
            (begin, "range", [("lastkey", last), ("keystep", step), ("limit", 0)])
        }
    }
}

/// Writes one of the two steps by which keys are found.
fn describe_search(reply: &mut Reply<'_>, step: &str, kind: &str, spec: &[(&str, i32)]) {
    reply.bulk(step.as_bytes());
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(spec.len());
    for (name, number) in spec {
        reply.bulk(name.as_bytes());
        reply.int(i64::from(*number));
    }
}

fn docs(cx: &mut Cx<'_, '_>) -> Result {
    let names = cx.args.skip(2);
    let chosen: Vec<_> =
        if names.is_empty() { all().collect() } else { names.iter().filter_map(named).collect() };
    cx.reply.map(chosen.len());
    for command in chosen {
        document(&mut cx.reply, command);
    }
    Ok(Done)
}

/// Writes a command's name and the map of its documentation.
fn document(reply: &mut Reply<'_>, command: &'static Command) {
    reply.bulk(full_name(command).as_bytes());
    let arguments = arguments(command);
    let more = 3 * usize::from(command.deprecated.is_some())
        + usize::from(!arguments.is_empty())
        + usize::from(!command.subcommands.is_empty());
    reply.map(3 + more);
    let parts = [("summary", command.summary), ("since", command.since), ("group", command.group)];
    texts(reply, &parts);
    if let Some((since, replaced_by)) = command.deprecated {
        reply.bulk(b"doc_flags");
        words(reply, vec!["deprecated".to_owned()]);
        texts(reply, &[("deprecated_since", since), ("replaced_by", replaced_by)]);
    }
    if !arguments.is_empty() {
        document_arguments(reply, &arguments);
    }
    if !command.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(command.subcommands.len());
        for sub in command.subcommands {
            document(reply, sub);
        }
    }
}

/// Writes the entry of a map that has arguments.
fn document_arguments(reply: &mut Reply<'_>, arguments: &[Argument]) {
    reply.bulk(b"arguments");
    reply.array(arguments.len());
    for argument in arguments {
        document_argument(reply, argument);
    }
}

/// Writes the map of an argument.
fn document_argument(reply: &mut Reply<'_>, argument: &Argument) {
    let flags = [(argument.is_optional, "optional"), (argument.is_multiple, "multiple")];
    let flags: Vec<_> = flags.iter().filter(|flag| flag.0).map(|flag| flag.1.to_owned()).collect();
    let more = usize::from(argument.key_spec.is_some())
        + usize::from(argument.token.is_some())
        + usize::from(!flags.is_empty());
    reply.map(3 + more); // A group has arguments, the others a text that is shown.
    texts(reply, &[("name", &argument.name), ("type", argument.kind.name())]);
    if !argument.kind.is_group() {
        texts(reply, &[("display_text", &argument.text)]);
    }
    if let Some(index) = argument.key_spec {
        reply.bulk(b"key_spec_index");
        reply.count(index);
    }
    if let Some(token) = argument.token {
        texts(reply, &[("token", token)]);
    }
    if !flags.is_empty() {
        reply.bulk(b"flags");
        words(reply, flags);
    }
    if argument.kind.is_group() {
        document_arguments(reply, &argument.arguments);
    }
}

/// Writes entries of a map that are texts.
fn texts(reply: &mut Reply<'_>, entries: &[(&str, &str)]) {
    for (name, text) in entries {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
}

/// Whether COMMAND LIST names a command, given its full name.
type Filter<'a> = dyn Fn(&Command, &str) -> bool + 'a;

fn list(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args.skip(2);
    let admits: Box<Filter<'_>> = match args.len() {
        0 => Box::new(|_, _| true),
        3 if is(args.get(0), "filterby") => {
            let (by, value) = (args.get(1), args.get(2));
            match () {
                () if is(by, "module") => Box::new(|_, _| false),
                () if is(by, "aclcat") => {
                    let known = CATEGORIES.iter().find(|category| is(value, category));
                    Box::new(move |command, _| {
                        known.is_some_and(|category| has_category(command, category))
                    })
                }
                () if is(by, "pattern") => {
                    Box::new(move |_, name| matches(value, name.as_bytes(), Case::Ignored))
                }
                () => return fail(SYNTAX),
            }
        }
        _ => return fail(SYNTAX),
    };
    let mut names = Vec::new();
    for command in all().flat_map(|command| std::iter::once(command).chain(command.subcommands)) {
        let name = full_name(command);
        if admits(command, &name) {
            names.push(name);
        }
    }
    cx.reply.array(names.len());
    for name in names {
        cx.reply.bulk(name.as_bytes());
    }
    Ok(Done)
}

/// The row that a whole command behind COMMAND GETKEYS means, and its arguments.
fn whole<'a>(cx: &Cx<'a, '_>) -> Result<(&'static Command, Args<'a>)> {
    let args = cx.args.skip(2);
    let Some(command) = resolve(args.get(0), args.try_get(1)) else {
        return fail("ERR Invalid command specified");
    };
    if command.keys == KeySpec::None {
        return fail("ERR The command has no key arguments");
    }
    if !command.takes(args.len()) {
        return fail("ERR Invalid number of arguments specified for command");
    }
    Ok((command, args))
}

/// Where the keys of a whole command stand: nowhere, in one that may have none and has no number
/// of them.
fn positions(command: &Command, args: Args<'_>) -> Result<Vec<usize>> {
    match command.key_positions(args) {
        Some(positions) => Ok(positions.collect()),
        None if command.flags.has(NO_MANDATORY_KEYS) => Ok(Vec::new()),
        None => fail("ERR Invalid arguments specified for command"),
    }
}

/// What a whole command does with its keys, given what one of its key specifications says: SET
/// reads its key only with GET.
fn access_of<'a>(access: &'a str, args: Args<'_>) -> &'a str {
    let (flags, _notes) = access.split_once("; ").unwrap_or((access, ""));
    let gets = || (3..args.len()).any(|at| is(args.get(at), "get"));
    match flags.contains("variable_flags") {
        false => flags,
        true if gets() => "RW access update",
        true => "OW update",
    }
}

fn getkeys(cx: &mut Cx<'_, '_>) -> Result {
    let (command, args) = whole(cx)?;
    let positions = positions(command, args)?;
    cx.reply.array(positions.len());
    for at in positions {
        cx.reply.bulk(args.get(at));
    }
    Ok(Done)
}

fn getkeysandflags(cx: &mut Cx<'_, '_>) -> Result {
    let (command, args) = whole(cx)?;
    let positions = positions(command, args)?;
    cx.reply.array(positions.len());
    for (index, at) in positions.into_iter().enumerate() {
        let access = command.access.get(index).or(command.access.last()).copied().unwrap_or("");
        cx.reply.array(2);
        cx.reply.bulk(args.get(at));
        let flags = access_of(access, args).split_whitespace().map(str::to_owned);
        words(&mut cx.reply, flags.collect());
    }
    Ok(Done)
}

fn command_help(cx: &mut Cx<'_, '_>) -> Result {
    let lines = [
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
    ];
    help(cx, "COMMAND", &lines);
    Ok(Done)
}
