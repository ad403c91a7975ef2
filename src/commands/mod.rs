//! All commands. Plural files are families of commands; each holds its rows and its handlers.
//!
//! [`find`] is the one look-up of a command by its name.

use crate::base::hash::hash64;
use crate::base::number::parse_i64;
use crate::command::{Args, Command, Cx, Error, NOT_AN_INTEGER, Result, Stop, fail};
use crate::layout::op::{DATABASES, Db};
use hashbrown::HashTable;
use std::sync::OnceLock;

pub mod clients;
mod collections;
pub mod config;
pub mod connection;
pub mod expire;
pub mod hashes;
pub mod info;
pub mod introspection;
pub mod keys;
pub mod latency;
mod latency_report;
mod lcs;
pub mod memory;
mod ordered;
pub mod replication;
pub mod scan;
pub mod scripting;
pub mod server;
mod set_options;
pub mod sets;
pub mod strings;
pub mod transactions;
pub mod tree;
pub mod zset_algebra;
pub mod zset_members;
pub mod zset_ranges;
pub mod zsets;

/// The rows of all families. A static: a row has one address, by which it is told from others.
static FAMILIES: &[&[Command]] = &[
    strings::COMMANDS,
    hashes::COMMANDS,
    zset_members::COMMANDS,
    sets::COMMANDS,
    zsets::COMMANDS,
    zset_ranges::COMMANDS,
    zset_algebra::COMMANDS,
    keys::COMMANDS,
    expire::COMMANDS,
    scan::COMMANDS,
    transactions::COMMANDS,
    scripting::COMMANDS,
    connection::COMMANDS,
    clients::COMMANDS,
    introspection::COMMANDS,
    config::COMMANDS,
    info::COMMANDS,
    server::COMMANDS,
    latency::COMMANDS,
    memory::COMMANDS,
    replication::COMMANDS,
    tree::COMMANDS,
];

/// Longest name that a command may have.
const NAME_BYTES_MAX: usize = 32;

/// What the name of an unknown subcommand is cut to, as in Redis.
const QUOTED_BYTES_MAX: usize = 128;

/// All commands, containers once; their subcommands are in their rows.
pub fn all() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// The command with this name, in any case of letters. Costs one hash and one comparison.
pub fn find(name: &[u8]) -> Option<&'static Command> {
    static TABLE: OnceLock<HashTable<&'static Command>> = OnceLock::new();
    let mut buffer = [0; NAME_BYTES_MAX];
    let lower = buffer.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let table = TABLE.get_or_init(build_table);
    table.find(hash64(lower, 0), |command| command.name.as_bytes() == lower).copied()
}

fn build_table() -> HashTable<&'static Command> {
    let mut table = HashTable::new();
    for command in all() {
        let hash = |command: &&'static Command| hash64(command.name.as_bytes(), 0);
        table.insert_unique(hash(&command), command, hash);
    }
    table
}

/// A full name: that of a subcommand with its container, as `client|list`. Costs a search.
pub fn full_name(command: &'static Command) -> String {
    let is_mine = |sub: &Command| std::ptr::eq(sub, command);
    match all().find(|container| container.subcommands.iter().any(is_mine)) {
        Some(container) => format!("{}|{}", container.name, command.name),
        None => command.name.to_owned(),
    }
}

/// The command that a whole request names, the subcommand where there is one: `None` where the
/// command or the subcommand is unknown.
pub fn resolve(name: &[u8], subcommand: Option<&[u8]>) -> Option<&'static Command> {
    let command = find(name)?;
    match subcommand {
        Some(word) if !command.subcommands.is_empty() => command.subcommand(word),
        _ => Some(command),
    }
}

/// The handler of containers: dispatch runs one of their subcommands, or refuses.
fn container(_: &mut Cx<'_, '_>) -> Result {
    unreachable!("a container does nothing by itself")
}

/// The error of a request for a subcommand that its container does not have.
pub fn unknown_subcommand(args: Args<'_>) -> Error {
    try_help("ERR unknown subcommand '", args)
}

/// The error of a request with arguments that its subcommand does not have.
fn unknown_subcommand_or_arguments(args: Args<'_>) -> Error {
    try_help("ERR unknown subcommand or wrong number of arguments for '", args)
}

fn try_help(head: &str, args: Args<'_>) -> Error {
    let name = String::from_utf8_lossy(args.get(0)).to_ascii_uppercase();
    let word = quotable(args.try_get(1).unwrap_or_default(), QUOTED_BYTES_MAX);
    let rest = format!("'. Try {name} HELP.");
    Error::new([head.as_bytes(), word, rest.as_bytes()].concat())
}

/// Writes the reply of a container's HELP: its name, and the lines that describe subcommands.
fn help(cx: &mut Cx<'_, '_>, container: &str, lines: &[&str]) {
    cx.reply.array(lines.len() + 3);
    let head = "<subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    cx.reply.simple(&format!("{container} {head}"));
    for line in lines.iter().chain(&["HELP", "    Prints this help."]) {
        cx.reply.simple(line);
    }
}

/// An argument as an integer.
fn integer(arg: &[u8]) -> Result<i64> {
    parse_i64(arg).map_or_else(|| fail(NOT_AN_INTEGER), Ok)
}

/// An argument as the number of a database.
fn database(arg: &[u8]) -> Result<Db> {
    let number = integer(arg)?;
    if i32::try_from(number).is_err() {
        return fail("ERR value is out of range, value must between -2147483648 and 2147483647");
    }
    match Db::try_from(number) {
        Ok(db) if db < DATABASES => Ok(db),
        _ => fail("ERR DB index is out of range"),
    }
}

/// What an error repeats of what a client sent: as in Redis, at most so many bytes, and nothing
/// from a NUL on.
pub fn quotable(sent: &[u8], bytes_max: usize) -> &[u8] {
    let sent = &sent[..sent.len().min(bytes_max)];
    sent.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// An error that quotes what a client sent between two texts.
fn quoting<T>(before: &str, quoted: &[u8], after: &str) -> Result<T> {
    let quoted = quotable(quoted, usize::MAX);
    Err(Stop::Error(Error::new([before.as_bytes(), quoted, after.as_bytes()].concat())))
}

/// Whether an argument is this word, in any case of letters.
fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::synopsis::{Argument, arguments};

    #[test]
    fn every_name_is_found_in_any_case_and_once() {
        for command in all() {
            let found = find(command.name.to_ascii_uppercase().as_bytes());
            assert!(std::ptr::eq(found.unwrap(), command), "{} is there twice", command.name);
        }
        for name in [&b""[..], b"nothing", &[b'x'; 100], b"client|list", b"g\0t"] {
            assert!(find(name).is_none());
        }
    }

    #[test]
    fn rows_are_complete() {
        for command in all() {
            for row in std::iter::once(command).chain(command.subcommands) {
                assert!(!row.summary.is_empty() && !row.since.is_empty(), "{}", row.name);
                assert!(!row.group.is_empty() && row.arity != 0, "{}", row.name);
                assert_eq!(row.name, row.name.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn every_synopsis_is_a_tree() {
        fn check(argument: &Argument) {
            let Argument { name, text, token, kind, .. } = argument;
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            assert!(name.bytes().all(|byte| is_name(byte) || byte == b'-'), "{argument:?}");
            let is_token = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
            assert!(token.unwrap_or("").bytes().all(is_token), "{argument:?}");
            assert_eq!(kind.is_group(), text.is_empty(), "{argument:?}");
            assert_eq!(kind.is_group(), argument.arguments.len() > 1, "{argument:?}");
            argument.arguments.iter().for_each(check);
        }
        for row in all().flat_map(|command| std::iter::once(command).chain(command.subcommands)) {
            let count = |bracket| row.synopsis.matches(bracket).count();
            assert_eq!((count('['), count('<')), (count(']'), count('>')), "{}", row.name);
            arguments(row).iter().for_each(check);
        }
    }
}
