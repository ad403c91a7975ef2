//! From Lua to RESP: what a client is sent of a script's result.
//!
//! Numbers become integers, and a table ends where nil is. Tables with one of these fields, looked
//! for in this order, are replies of another kind: `err`, `ok`, `double`, `big_number`,
//! `verbatim_string`, `map`, `set`.

use super::number::to_i64;
use super::state::{Raised, State};
use crate::resp::{Protocol, Reply};
use rlua::{Lua, Result, Table, TablePairs, Value};

/// Redis has 7,995 slots on its stack for a result that nests, and each reference to a value takes
/// one of so many here.
const SLOTS_MAX: usize = 7_900;
const ARRAY_SLOTS: usize = 1;
const PAIRS_SLOTS: usize = 3;

/// A table of which a part is written.
enum Open<'lua> {
    Array { table: Table<'lua>, next: usize, mark: usize },
    Map { pairs: TablePairs<'lua, Value<'lua>, Value<'lua>>, value: Option<Value<'lua>> },
    Set { pairs: TablePairs<'lua, Value<'lua>, Value<'lua>> },
}

impl Open<'_> {
    fn slots(&self) -> usize {
        if matches!(self, Open::Array { .. }) { ARRAY_SLOTS } else { PAIRS_SLOTS }
    }
}

/// Writes a script's result, if that is no longer than so many bytes.
pub(super) fn write<'lua>(
    lua: &'lua Lua,
    state: &State,
    result: Value<'lua>,
    bytes_max: usize,
    out: &mut Reply<'_>,
) -> Result<()> {
    let script = state.protocol.get();
    let (start, mut steps) = (out.mark(), 0);
    let mut writer = Writer { lua, state, script, out, open: Vec::new(), slots: 0 };
    writer.value(result)?;
    while let Some(value) = writer.next()? {
        state.step(lua, &mut steps, 0)?;
        if writer.out.written_since(start) > bytes_max {
            let text = format!("the reply would be longer than {bytes_max} bytes");
            return Err(Raised::Text(text.into_bytes()).into());
        }
        writer.value(value)?;
    }
    Ok(())
}

struct Writer<'lua, 'a, 'b> {
    lua: &'lua Lua,
    state: &'a State,
    /// The protocol that the script chose; the client's is that of `out`.
    script: Protocol,
    out: &'a mut Reply<'b>,
    open: Vec<Open<'lua>>,
    slots: usize,
}

impl<'lua> Writer<'lua, '_, '_> {
    /// The next value to be written, inside the innermost open table that has one.
    fn next(&mut self) -> Result<Option<Value<'lua>>> {
        while let Some(open) = self.open.last_mut() {
            let value = match open {
                Open::Array { table, next, mark } => match table.raw_get(*next)? {
                    Value::Nil => {
                        self.out.array_before(*mark, *next - 1);
                        None
                    }
                    value => {
                        *next += 1;
                        Some(value)
                    }
                },
                Open::Map { pairs, value } => match value.take() {
                    None => match pairs.next().transpose()? {
                        None => None,
                        Some((key, second)) => {
                            *value = Some(second);
                            Some(key)
                        }
                    },
                    value => value,
                },
                Open::Set { pairs } => pairs.next().transpose()?.map(|(member, _)| member),
            };
            if value.is_some() {
                return Ok(value);
            }
            self.slots -= open.slots();
            self.open.pop();
        }
        Ok(None)
    }

    fn value(&mut self, value: Value<'lua>) -> Result<()> {
        if self.slots >= SLOTS_MAX {
            self.out.error("ERR reached lua stack limit");
            return Ok(());
        }
        match value {
            Value::String(text) => self.out.bulk(text.as_bytes()),
            Value::Boolean(value) if self.script == Protocol::Resp3 => self.out.bool(value),
            Value::Boolean(true) => self.out.int(1),
            Value::Integer(number) => self.out.int(number),
            Value::Number(number) => self.out.int(to_i64(number)),
            Value::Table(table) => self.table(table)?,
            _ => self.out.null(),
        }
        Ok(())
    }

    fn table(&mut self, table: Table<'lua>) -> Result<()> {
        if let Value::String(text) = table.raw_get("err")? {
            self.out.error_bytes(until_nul(text.as_bytes()));
        } else if let Value::String(text) = table.raw_get("ok")? {
            self.status(until_nul(text.as_bytes()));
        } else if let Some(number) = self.double(&table)? {
            self.out.double(number);
        } else if let Value::String(digits) = table.raw_get("big_number")? {
            self.out.big_number(&one_line(digits.as_bytes()));
        } else if !self.verbatim(&table)? {
            let open = match (table.raw_get("map")?, table.raw_get("set")?) {
                (Value::Table(map), _) => {
                    self.out.map(count(&map)?);
                    Open::Map { pairs: map.pairs(), value: None }
                }
                (_, Value::Table(set)) => {
                    self.out.set(count(&set)?);
                    Open::Set { pairs: set.pairs() }
                }
                _ => Open::Array { table, next: 1, mark: self.out.mark() },
            };
            self.slots += open.slots();
            self.open.push(open);
        }
        Ok(())
    }

    fn double(&self, table: &Table<'lua>) -> Result<Option<f64>> {
        let value: Value<'_> = table.raw_get("double")?;
        Ok(match value {
            Value::Integer(0) => Some(self.state.exact(self.lua, &value, table, "double")?),
            Value::Integer(number) => Some(number as f64),
            Value::Number(number) => Some(number),
            _ => None,
        })
    }

    fn status(&mut self, text: &[u8]) {
        let line = [b"+", &one_line(text)[..], b"\r\n"].concat();
        self.out.raw(line);
    }

    /// Writes the table if it is a verbatim string.
    fn verbatim(&mut self, table: &Table<'lua>) -> Result<bool> {
        let Value::Table(parts) = table.raw_get("verbatim_string")? else { return Ok(false) };
        let (Value::String(format), Value::String(text)) =
            (parts.raw_get("format")?, parts.raw_get("string")?)
        else {
            return Ok(false);
        };
        let letters = until_nul(format.as_bytes()).iter().chain(b"   ").take(3);
        let letters: String = letters.map(|&byte| char::from(byte & 0x7f)).collect();
        self.out.verbatim(&letters, text.as_bytes());
        Ok(true)
    }
}

fn count(table: &Table<'_>) -> Result<usize> {
    let mut count = 0;
    for pair in table.clone().pairs::<Value<'_>, Value<'_>>() {
        pair?;
        count += 1;
    }
    Ok(count)
}

/// What C takes of a string that ends at its first NUL.
fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or(text)
}

fn one_line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }).collect()
}
