//! The `cmsgpack` library: values to and from MessagePack.
//!
//! Numbers that are integers of 64 bits are packed as such, others as a float where it is exact,
//! else as a double. A table with the keys 1 to n is an array, every other one a map. Extensions
//! and binary strings are not read. Nothing here recurses.

use super::args::Arguments;
use super::raise::error;
use super::state::{Raised, State, function};
use rlua::{Error, Lua, MultiValue, Result, String, Table, TablePairs, Value};
use std::rc::Rc;

/// Tables nested deeper are packed as nil.
const PACKED_DEPTH_MAX: usize = 16;
/// Each open table takes two of the 8,000 slots for references to values.
const UNPACKED_DEPTH_MAX: usize = 2_500;
/// So does each value that is returned, one.
const RESULTS_MAX: usize = 7_920;

/// The library.
pub(super) fn new<'lua>(lua: &'lua Lua, state: &Rc<State>) -> Result<Table<'lua>> {
    let library = lua.create_table()?;
    library.set("pack", function(lua, state, pack)?)?;
    library.set(
        "unpack",
        function(lua, state, |lua, state, args| {
            let args = Arguments::new(lua, args);
            unpack(lua, state, &args, 0, 0)
        })?,
    )?;
    library.set(
        "unpack_one",
        function(lua, state, |lua, state, args| {
            let args = Arguments::new(lua, args);
            let offset = args.integer_or(1, 0)?;
            unpack(lua, state, &args, 1, offset)
        })?,
    )?;
    library.set(
        "unpack_limit",
        function(lua, state, |lua, state, args| {
            let args = Arguments::new(lua, args);
            let (limit, offset) = (args.integer(1)?, args.integer_or(2, 0)?);
            unpack(lua, state, &args, limit, offset)
        })?,
    )?;
    library.set("_NAME", "cmsgpack")?;
    library.set("_VERSION", "lua-cmsgpack 0.4.0")?;
    library.set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    library.set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(library)
}

/// A table of which a part is packed.
enum Packing<'lua> {
    Array(Table<'lua>, usize, usize),
    Map(TablePairs<'lua, Value<'lua>, Value<'lua>>, Table<'lua>, Option<(Value<'lua>, f64)>),
}

fn pack<'lua>(lua: &'lua Lua, state: &Rc<State>, args: MultiValue<'lua>) -> Result<String<'lua>> {
    if args.is_empty() {
        let text = "bad argument #0 to 'pack' (MessagePack pack needs input.)";
        return Err(error(lua, text));
    }
    let mut packer = Packer { lua, state, out: Vec::new(), open: Vec::new(), steps: 0 };
    for value in args {
        packer.all(value)?;
    }
    lua.create_string(packer.out)
}

struct Packer<'lua, 'a> {
    lua: &'lua Lua,
    state: &'a State,
    out: Vec<u8>,
    open: Vec<Packing<'lua>>,
    steps: u32,
}

impl<'lua> Packer<'lua, '_> {
    fn all(&mut self, value: Value<'lua>) -> Result<()> {
        self.value(value, 0.0)?;
        self.state.step(self.lua, &mut self.steps, self.out.len())?;
        while let Some(open) = self.open.last_mut() {
            self.state.step(self.lua, &mut self.steps, self.out.len())?;
            match open {
                Packing::Array(_, next, len) if *next > *len => {
                    self.open.pop();
                }
                Packing::Array(table, next, _) => {
                    let value: Value<'_> = table.get(*next)?;
                    let exact = self.state.exact(self.lua, &value, table, *next)?;
                    *next += 1;
                    self.value(value, exact)?;
                }
                Packing::Map(pairs, table, second) => match second.take() {
                    Some((value, exact)) => self.value(value, exact)?,
                    None => match pairs.next().transpose()? {
                        None => {
                            self.open.pop();
                        }
                        Some((key, value)) => {
                            let exact = self.state.exact(self.lua, &value, table, key.clone())?;
                            *second = Some((value, exact));
                            self.value(key, 0.0)?;
                        }
                    },
                },
            }
        }
        Ok(())
    }

    /// Packs a value, or the header of a table, which is then open. `exact` is the number where
    /// `value` is 0.
    fn value(&mut self, value: Value<'lua>, exact: f64) -> Result<()> {
        match value {
            Value::String(text) => self.string(text.as_bytes()),
            Value::Boolean(value) => self.out.push(if value { 0xc3 } else { 0xc2 }),
            Value::Integer(0) => self.number(exact),
            Value::Integer(number) => self.integer(number),
            Value::Number(number) => self.number(number),
            Value::Table(table) if self.open.len() < PACKED_DEPTH_MAX => self.table(table)?,
            _ => self.out.push(0xc0),
        }
        Ok(())
    }

    fn table(&mut self, table: Table<'lua>) -> Result<()> {
        let (mut count, mut max, mut is_array) = (0usize, 0, true);
        for pair in table.clone().pairs::<Value<'_>, Value<'_>>() {
            match pair?.0 {
                Value::Integer(index @ 1..=0x7fff_ffff) => max = max.max(index),
                _ => is_array = false,
            }
            count += 1;
        }
        if is_array && max == count as i64 {
            let len = table.raw_len();
            self.header(len, 0x90, 16, [None, Some(0xdc), Some(0xdd)]);
            self.open.push(Packing::Array(table, 1, len));
        } else {
            self.header(count, 0x80, 16, [None, Some(0xde), Some(0xdf)]);
            self.open.push(Packing::Map(table.clone().pairs(), table, None));
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.header(text.len(), 0xa0, 32, [Some(0xd9), Some(0xda), Some(0xdb)]);
        self.out.extend_from_slice(text);
    }

    /// A length: in the marker below `small`, else behind the marker of its size.
    fn header(&mut self, len: usize, fixed: u8, small: usize, markers: [Option<u8>; 3]) {
        match (len, markers) {
            (len, _) if len < small => self.out.push(fixed | len as u8),
            (0..=0xff, [Some(marker), ..]) => self.out.extend([marker, len as u8]),
            (0..=0xffff, [_, Some(marker), _]) => {
                self.out.push(marker);
                self.out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            (len, [.., marker]) => {
                self.out.extend(marker);
                self.out.extend_from_slice(&(len as u32).to_be_bytes());
            }
        }
    }

    fn number(&mut self, number: f64) {
        let integer = number as i64;
        if integer as f64 == number && integer != i64::MAX {
            return self.integer(integer);
        }
        if f64::from(number as f32) == number {
            self.out.push(0xca);
            self.out.extend_from_slice(&(number as f32).to_be_bytes());
        } else {
            self.out.push(0xcb);
            self.out.extend_from_slice(&number.to_be_bytes());
        }
    }

    fn integer(&mut self, number: i64) {
        let bytes = number.to_be_bytes();
        let (marker, used) = match number {
            -0x20..=0x7f => (None, 1),
            0x80..=0xff => (Some(0xcc), 1),
            0x100..=0xffff => (Some(0xcd), 2),
            0x1_0000..=0xffff_ffff => (Some(0xce), 4),
            0x1_0000_0000.. => (Some(0xcf), 8),
            -0x80..=-0x21 => (Some(0xd0), 1),
            -0x8000..=-0x81 => (Some(0xd1), 2),
            -0x8000_0000..=-0x8001 => (Some(0xd2), 4),
            _ => (Some(0xd3), 8),
        };
        self.out.extend(marker);
        self.out.extend_from_slice(&bytes[8 - used..]);
    }
}

/// Up to `limit` values from `offset` on, behind the offset of the next; all of them and no offset
/// where both are 0.
fn unpack<'lua>(
    lua: &'lua Lua,
    state: &State,
    args: &Arguments<'lua>,
    limit: i64,
    offset: i64,
) -> Result<MultiValue<'lua>> {
    let text = args.string(0)?;
    let bytes = text.as_bytes();
    // C takes both for an `int`.
    let (limit, offset) = (limit as i32, offset as i32);
    if limit < 0 || offset < 0 {
        let len = bytes.len();
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {len}.");
        return Err(error(lua, text));
    }
    let Some(rest) = bytes.get(offset as usize..) else {
        let text = format!("Start offset {offset} greater than input length {}.", bytes.len());
        return Err(error(lua, text));
    };
    let everything = limit == 0 && offset == 0;
    let limit = if everything { usize::MAX } else { limit as usize };
    let mut unpacker = Unpacker { lua, state, rest };
    let mut found = Vec::new();
    if !everything {
        found.push(Value::Nil);
    }
    let before = found.len();
    while !unpacker.rest.is_empty() && found.len() - before < limit {
        if found.len() >= RESULTS_MAX {
            return Err(error(
                lua,
                "stack overflow (too many return values at once; \
                 use unpack_one or unpack_limit instead.)",
            ));
        }
        found.push(unpacker.value()?);
    }
    if !everything {
        let left = unpacker.rest.len();
        found[0] = Value::Integer(if left == 0 { -1 } else { (bytes.len() - left) as i64 });
    }
    Ok(MultiValue::from_vec(found))
}

/// A table of which a part is unpacked.
struct Unpacking<'lua> {
    table: Table<'lua>,
    left: usize,
    shape: Shape<'lua>,
}

enum Shape<'lua> {
    /// With the index of the next element.
    Array(usize),
    /// With the key whose value comes next.
    Map(Option<Value<'lua>>),
}

impl<'lua> Unpacking<'lua> {
    /// Takes an element, a key or a value; answers whether the table is complete.
    fn take(&mut self, value: Value<'lua>) -> Result<bool> {
        match &mut self.shape {
            Shape::Array(index) => {
                self.table.raw_set(*index, value)?;
                *index += 1;
            }
            Shape::Map(key) => match key.take() {
                None => {
                    *key = Some(usable_as_key(value)?);
                    return Ok(false);
                }
                Some(key) => self.table.raw_set(key, value)?,
            },
        }
        self.left -= 1;
        Ok(self.left == 0)
    }
}

fn usable_as_key(value: Value<'_>) -> Result<Value<'_>> {
    let text = match value {
        Value::Nil => "table index is nil",
        Value::Number(number) if number.is_nan() => "table index is NaN",
        value => return Ok(value),
    };
    Err(Raised::Text(text.as_bytes().to_vec()).into())
}

enum Element<'lua> {
    Value(Value<'lua>),
    Table(usize, Shape<'lua>),
}

struct Unpacker<'lua, 'a> {
    lua: &'lua Lua,
    state: &'a State,
    rest: &'a [u8],
}

impl<'lua, 'a> Unpacker<'lua, 'a> {
    fn value(&mut self) -> Result<Value<'lua>> {
        let mut open: Vec<Unpacking<'lua>> = Vec::new();
        loop {
            let mut value = match self.element()? {
                Element::Value(value) => value,
                Element::Table(left, shape) => {
                    if open.len() == UNPACKED_DEPTH_MAX {
                        let text = "stack overflow (in function mp_decode_to_lua_array)";
                        return Err(error(self.lua, text));
                    }
                    let table = self.lua.create_table()?;
                    if left > 0 {
                        open.push(Unpacking { table, left, shape });
                        continue;
                    }
                    Value::Table(table)
                }
            };
            self.state.check_memory(self.lua)?;
            loop {
                let Some(top) = open.last_mut() else { return Ok(value) };
                if !top.take(value)? {
                    break;
                }
                value = open.pop().map_or(Value::Nil, |full| Value::Table(full.table));
            }
        }
    }

    fn element(&mut self) -> Result<Element<'lua>> {
        let [marker] = self.bytes()?;
        let number = |number: i64| Ok(Element::Value(Value::Number(number as f64)));
        match marker {
            0x00..=0x7f => number(i64::from(marker)),
            0xe0..=0xff => number(i64::from(marker as i8)),
            0xcc => number(self.unsigned(1)? as i64),
            0xcd => number(self.unsigned(2)? as i64),
            0xce => number(self.unsigned(4)? as i64),
            0xcf | 0xd3 => number(self.unsigned(8)? as i64),
            0xd0 => number(i64::from(self.unsigned(1)? as i8)),
            0xd1 => number(i64::from(self.unsigned(2)? as i16)),
            0xd2 => number(i64::from(self.unsigned(4)? as i32)),
            0xc0 => Ok(Element::Value(Value::Nil)),
            0xc2 => Ok(Element::Value(Value::Boolean(false))),
            0xc3 => Ok(Element::Value(Value::Boolean(true))),
            0xca => {
                let value = f32::from_be_bytes(self.bytes()?);
                Ok(Element::Value(Value::Number(f64::from(value))))
            }
            0xcb => Ok(Element::Value(Value::Number(f64::from_be_bytes(self.bytes()?)))),
            0xa0..=0xbf => self.string(usize::from(marker & 0x1f)),
            0xd9..=0xdb => {
                let len = self.unsigned(1 << (marker - 0xd9))?;
                self.string(len as usize)
            }
            0x90..=0x9f => Ok(Element::Table(usize::from(marker & 0xf), Shape::Array(1))),
            0xdc | 0xdd => {
                let len = self.unsigned(2 << (marker - 0xdc))?;
                Ok(Element::Table(len as usize, Shape::Array(1)))
            }
            0x80..=0x8f => Ok(Element::Table(usize::from(marker & 0xf), Shape::Map(None))),
            0xde | 0xdf => {
                let len = self.unsigned(2 << (marker - 0xde))?;
                Ok(Element::Table(len as usize, Shape::Map(None)))
            }
            _ => Err(error(self.lua, "Bad data format in input.")),
        }
    }

    fn string(&mut self, len: usize) -> Result<Element<'lua>> {
        let bytes = self.some(len)?;
        Ok(Element::Value(Value::String(self.lua.create_string(bytes)?)))
    }

    fn unsigned(&mut self, size: usize) -> Result<u64> {
        Ok(self.some(size)?.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.some(N)?.try_into().map_err(Error::external)
    }

    fn some(&mut self, len: usize) -> Result<&'a [u8]> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(error(self.lua, "Missing bytes in input."));
        };
        self.rest = rest;
        Ok(bytes)
    }
}
