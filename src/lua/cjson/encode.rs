//! Values to JSON, without recursion.

use super::Settings;
use crate::lua::number::general;
use crate::lua::raise::{error, type_name};
use crate::lua::state::State;
use rlua::{Lua, Result, String, Table, TablePairs, Value};

/// Each open table takes up to four of the 8,000 slots for references to values.
const DEPTH_MAX: usize = 1_900;

/// A table of which a part is written.
enum Open<'lua> {
    Array { table: Table<'lua>, next: usize, len: usize },
    Object { table: Table<'lua>, pairs: TablePairs<'lua, Value<'lua>, Value<'lua>>, first: bool },
}

/// The JSON of a value.
pub(super) fn encode<'lua>(
    lua: &'lua Lua,
    state: &State,
    settings: Settings,
    value: Value<'lua>,
) -> Result<String<'lua>> {
    let mut encoder = Encoder { lua, state, settings, out: Vec::new(), open: Vec::new(), steps: 0 };
    encoder.value(value, 0.0)?;
    while !encoder.open.is_empty() {
        encoder.step()?;
    }
    lua.create_string(encoder.out)
}

struct Encoder<'lua, 'a> {
    lua: &'lua Lua,
    state: &'a State,
    settings: Settings,
    out: Vec<u8>,
    open: Vec<Open<'lua>>,
    steps: u32,
}

impl<'lua> Encoder<'lua, '_> {
    /// Writes one more element of the innermost table, or its end.
    fn step(&mut self) -> Result<()> {
        self.state.step(self.lua, &mut self.steps, self.out.len())?;
        match self.open.last_mut() {
            None => {}
            Some(Open::Array { next, len, .. }) if *next > *len => self.close(b']'),
            Some(Open::Array { table, next, .. }) => {
                let value: Value<'_> = table.raw_get(*next)?;
                let exact = self.state.exact(self.lua, &value, table, *next)?;
                if *next > 1 {
                    self.out.push(b',');
                }
                *next += 1;
                self.value(value, exact)?;
            }
            Some(Open::Object { table, pairs, first }) => match pairs.next().transpose()? {
                None => self.close(b'}'),
                Some((key, value)) => {
                    let exact = self.state.exact(self.lua, &value, table, key.clone())?;
                    if !std::mem::take(first) {
                        self.out.push(b',');
                    }
                    self.key(key)?;
                    self.value(value, exact)?;
                }
            },
        }
        Ok(())
    }

    fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.open.pop();
    }

    /// Writes a value, or the beginning of a table. `exact` is the number where `value` is 0.
    fn value(&mut self, value: Value<'lua>, exact: f64) -> Result<()> {
        match value {
            Value::String(text) => self.string(text.as_bytes()),
            Value::Integer(0) => self.number(exact)?,
            Value::Integer(number) => self.number(number as f64)?,
            Value::Number(number) => self.number(number)?,
            Value::Boolean(value) => self.out.extend(value.to_string().bytes()),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => {
                self.out.extend_from_slice(b"null");
            }
            Value::Table(table) => self.table(table)?,
            other => return Err(self.refuse(&other, "type not supported")),
        }
        Ok(())
    }

    fn refuse(&self, value: &Value<'_>, text: &str) -> rlua::Error {
        error(self.lua, format!("Cannot serialise {}: {text}", type_name(Some(value))))
    }

    fn table(&mut self, table: Table<'lua>) -> Result<()> {
        let depth = self.open.len() + 1;
        if depth as i64 > self.settings.encode_max_depth || depth > DEPTH_MAX {
            let text = format!("Cannot serialise, excessive nesting ({depth})");
            return Err(error(self.lua, text));
        }
        match self.array_len(&table)? {
            0 => {
                let pairs = table.clone().pairs();
                self.out.push(b'{');
                self.open.push(Open::Object { table, pairs, first: true });
            }
            len => {
                self.out.push(b'[');
                self.open.push(Open::Array { table, next: 1, len });
            }
        }
        Ok(())
    }

    /// The greatest index of an array; 0 for what is an object, as what is empty.
    fn array_len(&self, table: &Table<'lua>) -> Result<usize> {
        let (mut max, mut items) = (0i64, 0i64);
        for pair in table.clone().pairs::<Value<'_>, Value<'_>>() {
            match pair?.0 {
                Value::Integer(index @ 1..) => max = max.max(index),
                _ => return Ok(0),
            }
            items += 1;
        }
        let Settings { sparse_convert, sparse_ratio, sparse_safe, .. } = self.settings;
        let sparse = sparse_ratio > 0 && max > items.saturating_mul(sparse_ratio);
        if sparse && max > sparse_safe {
            if sparse_convert == 0 {
                let table = Value::Table(table.clone());
                return Err(self.refuse(&table, "excessively sparse array"));
            }
            return Ok(0);
        }
        Ok(max as usize)
    }

    fn key(&mut self, key: Value<'lua>) -> Result<()> {
        match key {
            Value::String(text) => self.string(text.as_bytes()),
            Value::Integer(_) | Value::Number(_) => {
                self.out.push(b'"');
                self.value(key, 0.0)?;
                self.out.push(b'"');
            }
            other => {
                return Err(self.refuse(&other, "table key must be a number or string"));
            }
        }
        self.out.push(b':');
        Ok(())
    }

    fn number(&mut self, number: f64) -> Result<()> {
        if !number.is_finite() {
            match self.settings.encode_invalid_numbers {
                0 => {
                    return Err(self.refuse(&Value::Number(number), "must not be NaN or Inf"));
                }
                1 if number.is_nan() => self.out.extend_from_slice(b"nan"),
                1 => self.out.extend(general(number, 14).bytes()),
                _ => self.out.extend_from_slice(b"null"),
            }
            return Ok(());
        }
        self.out.extend(general(number, self.settings.number_precision as usize).bytes());
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for &byte in text {
            let letter = match byte {
                b'"' | b'\\' | b'/' => byte,
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0c => b'f',
                b'\r' => b'r',
                0x00..=0x1f | 0x7f => {
                    self.out.extend(format!("\\u{byte:04x}").bytes());
                    continue;
                }
                _ => {
                    self.out.push(byte);
                    continue;
                }
            };
            self.out.extend([b'\\', letter]);
        }
        self.out.push(b'"');
    }
}
