//! The arguments of a function, read as C functions of Lua do: numbers may be strings and strings
//! numbers, and what does not fit is an error that names the argument.

use super::raise;
use rlua::{Error, Lua, MultiValue, Result, String, Value};
use std::borrow::Cow;

/// The arguments of one call; all indices count from 0, those in messages from 1.
pub(super) struct Arguments<'lua> {
    lua: &'lua Lua,
    values: MultiValue<'lua>,
    /// Functions of the prelude between the script and the one that was given them.
    depth: usize,
}

impl<'lua> Arguments<'lua> {
    /// The arguments that a function was given.
    pub(super) fn new(lua: &'lua Lua, values: MultiValue<'lua>) -> Self {
        Self { lua, values, depth: 0 }
    }

    /// The same for what a function of the prelude hands on: errors are those of that function.
    pub(super) fn handed_on(lua: &'lua Lua, values: MultiValue<'lua>) -> Self {
        Self { lua, values, depth: 1 }
    }

    /// Their number.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The argument at `index`, where there is one.
    pub(super) fn get(&self, index: usize) -> Option<&Value<'lua>> {
        self.values.get(index)
    }

    /// Whether it is not there, or nil.
    pub(super) fn is_none(&self, index: usize) -> bool {
        matches!(self.get(index), None | Some(Value::Nil))
    }

    /// A number.
    pub(super) fn number(&self, index: usize) -> Result<f64> {
        let number = match self.get(index) {
            Some(Value::Integer(number)) => Some(*number as f64),
            Some(Value::Number(number)) => Some(*number),
            Some(value @ Value::String(_)) => self.lua.coerce_number(value.clone())?,
            _ => None,
        };
        number.ok_or_else(|| self.bad_type(index, "number"))
    }

    /// An integer: a number without its fraction.
    pub(super) fn integer(&self, index: usize) -> Result<i64> {
        self.number(index).map(super::number::to_i64)
    }

    /// The same, or `default` where the argument is not there.
    pub(super) fn integer_or(&self, index: usize, default: i64) -> Result<i64> {
        if self.is_none(index) { Ok(default) } else { self.integer(index) }
    }

    /// A string.
    pub(super) fn string(&self, index: usize) -> Result<String<'lua>> {
        self.text(index).map(Cow::into_owned)
    }

    /// The same without another handle to it, which is faster.
    pub(super) fn text(&self, index: usize) -> Result<Cow<'_, String<'lua>>> {
        let string = match self.get(index) {
            Some(Value::String(string)) => return Ok(Cow::Borrowed(string)),
            Some(value @ (Value::Integer(_) | Value::Number(_))) => {
                self.lua.coerce_string(value.clone())?
            }
            _ => None,
        };
        string.map(Cow::Owned).ok_or_else(|| self.bad_type(index, "string"))
    }

    /// Whether it counts as true.
    pub(super) fn is_true(&self, index: usize) -> bool {
        !matches!(self.get(index), None | Some(Value::Nil | Value::Boolean(false)))
    }

    /// An error about the argument at `index` unless `holds`.
    pub(super) fn check(&self, holds: bool, index: usize, text: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(self.bad(index, text)) }
    }

    /// An error of the function.
    pub(super) fn error(&self, text: &str) -> Error {
        raise::error_beyond(self.lua, self.depth, text)
    }

    fn bad(&self, index: usize, text: &str) -> Error {
        raise::bad_argument_beyond(self.lua, self.depth, index + 1, text)
    }

    fn bad_type(&self, index: usize, expected: &str) -> Error {
        let came = raise::type_name(self.get(index));
        self.bad(index, &format!("{expected} expected, got {came}"))
    }
}
