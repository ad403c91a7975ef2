//! From RESP to Lua: what `redis.call` gives of a command's reply.
//!
//! | RESP | Lua |
//! |---|---|
//! | integer, bulk string, boolean | number, string, boolean |
//! | array | table |
//! | status, error | `{ok = ...}`, `{err = ...}` |
//! | nothing | false; nil in RESP3's own form |
//! | map, set | `{map = {...}}`, `{set = {[member] = true, ...}}` |
//! | double, big number | `{double = ...}`, `{big_number = ...}` |
//! | verbatim string | `{verbatim_string = {format = ..., string = ...}}` |

pub(super) use super::host::Answer;
use super::raise::error_table;
use super::state::State;
use crate::base::number;
use rlua::{Error, Lua, Result, Table, Value};

/// Replies nest no deeper: none of the server's does.
const DEPTH_MAX: u32 = 100;

/// The text of a reply that is an error, with its dash.
pub(super) fn error_of(reply: &[u8]) -> Option<&[u8]> {
    reply.starts_with(b"-").then(|| reply.split(|&byte| byte == b'\r').next().unwrap_or(reply))
}

/// The value of a reply.
pub(super) fn to_lua<'lua>(lua: &'lua Lua, state: &State, reply: &[u8]) -> Result<Value<'lua>> {
    let mut reader = Reader { lua, state, rest: reply };
    reader.value(0)
}

/// `{ok = text}`
pub(super) fn status_table<'lua>(lua: &'lua Lua, text: &[u8]) -> Result<Table<'lua>> {
    single(lua, "ok", Value::String(lua.create_string(text)?))
}

fn single<'lua>(lua: &'lua Lua, name: &str, value: Value<'lua>) -> Result<Table<'lua>> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, value)?;
    Ok(table)
}

struct Reader<'lua, 'a> {
    lua: &'lua Lua,
    state: &'a State,
    rest: &'a [u8],
}

impl<'lua, 'a> Reader<'lua, 'a> {
    fn value(&mut self, depth: u32) -> Result<Value<'lua>> {
        let lua = self.lua;
        let (kind, line) = self.line()?;
        if depth > DEPTH_MAX {
            return Err(broken(line));
        }
        Ok(match kind {
            b':' => Value::Number(integer(line)? as f64),
            b'$' if line == b"-1" => Value::Boolean(false),
            b'$' => {
                let bytes = self.bytes(line)?;
                Value::String(lua.create_string(bytes)?)
            }
            b'*' if line == b"-1" => Value::Boolean(false),
            b'*' => Value::Table(self.array(line, depth)?),
            b'+' => Value::Table(status_table(lua, line)?),
            b'-' => Value::Table(error_table(lua, line)?),
            b'_' => Value::Nil,
            b'#' => Value::Boolean(line == b"t"),
            b',' => {
                let value = number::parse_f64(line).unwrap_or(f64::NAN);
                Value::Table(single(lua, "double", Value::Number(value))?)
            }
            b'(' => {
                let digits = Value::String(lua.create_string(line)?);
                Value::Table(single(lua, "big_number", digits)?)
            }
            b'=' => Value::Table(self.verbatim(line)?),
            b'%' => Value::Table(self.map(line, depth)?),
            b'~' => Value::Table(self.set(line, depth)?),
            _ => return Err(broken(line)),
        })
    }

    fn array(&mut self, line: &[u8], depth: u32) -> Result<Table<'lua>> {
        let len = integer(line)? as usize;
        let table = self.lua.create_table()?; // So `#` is Redis' where there is nil.
        for index in 1..=len {
            let value = self.value(depth + 1)?;
            table.raw_set(index, value)?;
            self.state.check_memory(self.lua)?;
        }
        Ok(table)
    }

    fn map(&mut self, line: &[u8], depth: u32) -> Result<Table<'lua>> {
        let map = self.lua.create_table()?;
        for _ in 0..integer(line)? {
            let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
            if !key.is_nil() {
                map.raw_set(key, value)?;
            }
            self.state.check_memory(self.lua)?;
        }
        single(self.lua, "map", Value::Table(map))
    }

    fn set(&mut self, line: &[u8], depth: u32) -> Result<Table<'lua>> {
        let set = self.lua.create_table()?;
        for _ in 0..integer(line)? {
            let member = self.value(depth + 1)?;
            if !member.is_nil() {
                set.raw_set(member, true)?;
            }
            self.state.check_memory(self.lua)?;
        }
        single(self.lua, "set", Value::Table(set))
    }

    fn verbatim(&mut self, line: &[u8]) -> Result<Table<'lua>> {
        let bytes = self.bytes(line)?;
        let (format, text) = bytes.split_at(bytes.len().min(3));
        let parts = self.lua.create_table_with_capacity(0, 2)?;
        parts.raw_set("format", self.lua.create_string(format)?)?;
        parts.raw_set("string", self.lua.create_string(text.get(1..).unwrap_or_default())?)?;
        single(self.lua, "verbatim_string", Value::Table(parts))
    }

    /// The kind of the next element and the rest of its line.
    fn line(&mut self) -> Result<(u8, &'a [u8])> {
        let rest = self.rest;
        let end = rest.iter().position(|&byte| byte == b'\r').filter(|&end| end > 0);
        let end = end.ok_or_else(|| broken(rest))?;
        self.rest = rest.get(end + 2..).unwrap_or_default();
        Ok((rest[0], &rest[1..end]))
    }

    /// As many bytes as `line` says, and the end of their line.
    fn bytes(&mut self, line: &[u8]) -> Result<&'a [u8]> {
        let len = integer(line)? as usize;
        let bytes = self.rest.get(..len).ok_or_else(|| broken(line))?;
        self.rest = self.rest.get(len + 2..).unwrap_or_default();
        Ok(bytes)
    }
}

fn broken(line: &[u8]) -> Error {
    Error::RuntimeError(format!("a reply of the server is broken at {}", line.escape_ascii()))
}

fn integer(line: &[u8]) -> Result<i64> {
    number::parse_i64(line).ok_or_else(|| broken(line))
}
