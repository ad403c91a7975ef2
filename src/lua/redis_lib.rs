//! The `redis` library: commands, replies, the log.

use super::convert::{self, Answer};
use super::host::{Called, Host, LogLevel, Question};
use super::raise::{error_table, reply_table};
use super::state::{Raised, State, function};
use crate::base::number;
use crate::resp::{OwnedArgs, Protocol};
use rlua::{Lua, MultiValue, Result, Table, Value};
use sha1::{Digest, Sha1};
use std::cell::RefCell;
use std::rc::Rc;

/// The version that scripts are told: whose commands and library these are.
const VERSION: &str = "7.2.4";
const VERSION_NUMBER: u32 = 0x0007_0204;
const NO_ARGUMENT: &str = "Please specify at least one argument for this redis lib call";
const BAD_ARGUMENT: &str = "Lua redis lib command arguments must be strings or integers";

/// Room for the bytes of most commands; that of others grows.
const ARGS_BYTES: usize = 64;

const LEVELS: [(&str, LogLevel); 4] = [
    ("LOG_DEBUG", LogLevel::Debug),
    ("LOG_VERBOSE", LogLevel::Verbose),
    ("LOG_NOTICE", LogLevel::Notice),
    ("LOG_WARNING", LogLevel::Warning),
];
/// What may be replicated is accepted and has no effect.
const REPLICATION: [(&str, i64); 5] =
    [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)];

/// The SHA-1 of `bytes` in hexadecimal, as scripts are named.
pub fn sha1hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha1::digest(bytes);
    let mut hex = String::with_capacity(2 * digest.len());
    for byte in digest {
        hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
        hex.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    hex
}

/// The library, but for [`call`].
pub(super) fn new<'lua>(lua: &'lua Lua, state: &Rc<State>) -> Result<Table<'lua>> {
    let library = lua.create_table()?;
    library.set("acl_check_cmd", function(lua, state, acl_check_cmd)?)?;
    library.set(
        "error_reply",
        function(lua, state, |lua, _, args| {
            single(lua, args, |text| error_table(lua, &with_code(&dashed(text))))
        })?,
    )?;
    library.set(
        "status_reply",
        function(lua, state, |lua, _, args| {
            single(lua, args, |text| convert::status_table(lua, text))
        })?,
    )?;
    library.set("sha1hex", function(lua, state, sha1hex_of)?)?;
    library.set("log", function(lua, state, log)?)?;
    library.set("setresp", function(lua, state, setresp)?)?;
    library.set("set_repl", function(lua, state, |lua, _, args| set_repl(lua, args))?)?;
    library.set("replicate_commands", function(lua, state, |_, _, ()| Ok(true))?)?;
    library.set("breakpoint", function(lua, state, |_, _, ()| Ok(false))?)?;
    library.set("debug", function(lua, state, |_, _, ()| Ok(()))?)?;
    for (number, (name, _)) in LEVELS.iter().enumerate() {
        library.set(*name, number)?;
    }
    for (name, number) in REPLICATION {
        library.set(name, number)?;
    }
    library.set("REDIS_VERSION", VERSION)?;
    library.set("REDIS_VERSION_NUM", VERSION_NUMBER)?;
    Ok(library)
}

/// `redis.call` and, where nothing is raised, `redis.pcall`.
pub(super) fn call<'lua>(
    lua: &'lua Lua,
    state: &State,
    host: &RefCell<&mut dyn Host>,
    args: MultiValue<'lua>,
    raises: bool,
) -> Result<Value<'lua>> {
    let args = match command(args) {
        Ok(args) => args,
        Err(text) if raises => return raise(text),
        Err(text) => return Ok(Value::Table(error_table(lua, &with_code(text.as_bytes()))?)),
    };
    let reply = match state.is_stopped() {
        true => Called::Stop,
        false => host.borrow_mut().call(args, state.protocol.get()),
    };
    let Called::Reply(reply) = reply else { return Err(state.stop()) };
    match convert::error_of(&reply) {
        Some(text) if raises => Err(Raised::Reply(with_code(text)).into()),
        Some(text) => Ok(Value::Table(reply_table(lua, &with_code(text))?)),
        None => convert::to_lua(lua, state, &reply),
    }
}

/// The arguments of a command, or what is wrong with them.
fn command(values: MultiValue<'_>) -> std::result::Result<OwnedArgs, &'static str> {
    if values.is_empty() {
        return Err(NO_ARGUMENT);
    }
    let mut args = OwnedArgs::with_capacity(values.len(), ARGS_BYTES);
    for value in values {
        match value {
            Value::String(text) => args.push(text.as_bytes()),
            Value::Integer(number) => args.push(number::Digits::new(number).as_bytes()),
            Value::Number(number) => args.push(number::format_f64(number).as_bytes()),
            _ => return Err(BAD_ARGUMENT),
        }
    }
    Ok(args)
}

/// The text of an error with its code: behind a dash the code is the first of several words; else
/// it is `ERR`.
fn with_code(text: &[u8]) -> Vec<u8> {
    let (code, message) = match text.strip_prefix(b"-") {
        None => (&b"ERR"[..], text),
        Some(rest) => match rest.iter().position(|&byte| byte == b' ') {
            None => (&b"ERR"[..], rest),
            Some(space) => (&rest[..space], &rest[space + 1..]),
        },
    };
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = message.iter().position(|byte| !is_end(byte)).unwrap_or(message.len());
    let end = message.iter().rposition(|byte| !is_end(byte)).map_or(start, |end| end + 1);
    [code, b" ", &message[start..end]].concat()
}

fn dashed(text: &[u8]) -> Vec<u8> {
    if text.starts_with(b"-") { text.to_vec() } else { [b"-", text].concat() }
}

/// What `make` makes of the only argument, a string.
fn single<'lua>(
    lua: &'lua Lua,
    args: MultiValue<'lua>,
    make: impl FnOnce(&[u8]) -> Result<Table<'lua>>,
) -> Result<Table<'lua>> {
    match (args.len(), args.get(0)) {
        (1, Some(Value::String(text))) => make(text.as_bytes()),
        _ => error_table(lua, b"ERR wrong number or type of arguments"),
    }
}

fn raise<T>(text: &str) -> Result<T> {
    Err(Raised::Table(with_code(text.as_bytes())).into())
}

fn acl_check_cmd<'lua>(
    lua: &'lua Lua,
    state: &Rc<State>,
    args: MultiValue<'lua>,
) -> Result<Value<'lua>> {
    let args = match command(args) {
        Ok(args) => args,
        Err(text) => return raise(text),
    };
    match state.ask(lua, Question::MayCall(args))? {
        Answer::Permission(Some(may)) => Ok(Value::Boolean(may)),
        _ => raise("Invalid command passed to redis.acl_check_cmd()"),
    }
}

fn sha1hex_of<'lua>(lua: &'lua Lua, _: &Rc<State>, args: MultiValue<'lua>) -> Result<Value<'lua>> {
    let (1, Some(value)) = (args.len(), args.get(0)) else {
        return raise("wrong number of arguments");
    };
    let text = lua.coerce_string(value.clone())?;
    let digest = sha1hex(text.as_ref().map_or(b"", |text| text.as_bytes()));
    Ok(Value::String(lua.create_string(digest)?))
}

fn log<'lua>(lua: &'lua Lua, state: &Rc<State>, args: MultiValue<'lua>) -> Result<()> {
    if args.len() < 2 {
        return raise("redis.log() requires two arguments or more.");
    }
    let mut args = args.into_iter();
    let Some(level) = lua.coerce_number(args.next().unwrap_or(Value::Nil))? else {
        return raise("First argument must be a number (log level).");
    };
    if !(0.0..=3.0).contains(&level.trunc()) {
        return raise("Invalid debug level.");
    }
    let mut text = Vec::new();
    for (index, value) in args.enumerate() {
        if let Some(word) = lua.coerce_string(value)? {
            text.extend_from_slice(if index == 0 { b"" } else { b" " });
            text.extend_from_slice(word.as_bytes());
        }
    }
    state.log(lua, LEVELS[level as usize].1, text)
}

fn setresp<'lua>(lua: &'lua Lua, state: &Rc<State>, args: MultiValue<'lua>) -> Result<()> {
    let (1, Some(version)) = (args.len(), args.get(0)) else {
        return raise("redis.setresp() requires one argument.");
    };
    match lua.coerce_number(version.clone())?.map(|version| version as i64) {
        Some(2) => state.protocol.set(Protocol::Resp2),
        Some(3) => state.protocol.set(Protocol::Resp3),
        _ => return raise("RESP version must be 2 or 3."),
    }
    Ok(())
}

fn set_repl(lua: &Lua, args: MultiValue<'_>) -> Result<()> {
    let (1, Some(flags)) = (args.len(), args.get(0)) else {
        return raise("redis.set_repl() requires two arguments.");
    };
    match lua.coerce_number(flags.clone())?.map(|flags| flags as i64) {
        Some(0..=3) | None => Ok(()),
        _ => raise("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."),
    }
}
