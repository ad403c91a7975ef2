//! The `struct` library: values to and from the bytes of C structures.
//!
//! ```text
//! > <    big, little endian (little where nothing is said)    ![n]   alignment, a power of 2 (8)
//! b B    char      h H  short    i I [n]  int, or n bytes     c[n]   n bytes (1); 0: a string, or
//! l L    long      T    size_t   f d      float, double              as many as the value before
//! x      a byte of padding       s        string up to its NUL       blank: nothing
//! ```

use super::args::Arguments;
use super::number::to_i64;
use super::raise::{bad_argument, bad_type, error};
use super::state::{State, function};
use rlua::{Lua, MultiValue, Result, String, Table, Value};
use std::rc::Rc;

const INTEGER_BYTES_MAX: usize = 32;
const ALIGNMENT: usize = 8;
/// Each value that is returned takes one of 8,000 slots.
const RESULTS_MAX: usize = 7_700;

/// The library.
pub(super) fn new<'lua>(lua: &'lua Lua, state: &Rc<State>) -> Result<Table<'lua>> {
    let library = lua.create_table()?;
    library.set("pack", function(lua, state, |lua, _, args| pack(lua, args))?)?;
    library.set("unpack", function(lua, state, |lua, _, args| unpack(lua, args))?)?;
    library.set("size", function(lua, state, |lua, _, args| size(lua, args))?)?;
    Ok(library)
}

/// Reads a format, option by option.
struct Format<'lua, 'a> {
    lua: &'lua Lua,
    rest: &'a [u8],
    big_endian: bool,
    alignment: usize,
}

impl<'lua, 'a> Format<'lua, 'a> {
    fn new(lua: &'lua Lua, format: &'a [u8]) -> Self {
        let end = format.iter().position(|&byte| byte == 0).unwrap_or(format.len());
        Self { lua, rest: &format[..end], big_endian: false, alignment: 1 }
    }

    /// The next option and the bytes that its value takes; 0 where the value says it.
    fn next(&mut self) -> Result<Option<(u8, usize)>> {
        let Some((&option, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(1)?,
            b'i' | b'I' => match self.number(4)? {
                size if size > INTEGER_BYTES_MAX => {
                    let text = "integral size {size} is larger than limit of {max}";
                    let text = text.replace("{size}", &size.to_string());
                    let text = text.replace("{max}", &INTEGER_BYTES_MAX.to_string());
                    return Err(error(self.lua, text));
                }
                size => size,
            },
            _ => 0,
        };
        Ok(Some((option, size)))
    }

    fn number(&mut self, default: usize) -> Result<usize> {
        let end = self.rest.iter().position(|byte| !byte.is_ascii_digit());
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        if digits.is_empty() {
            return Ok(default);
        }
        let number = digits.iter().try_fold(0i32, |number, digit| {
            number.checked_mul(10)?.checked_add(i32::from(digit - b'0'))
        });
        let number = number.ok_or_else(|| error(self.lua, "integral size overflow"))?;
        Ok(number as usize)
    }

    /// Bytes of padding before a value of `size` bytes at `position`.
    fn padding(&self, position: usize, option: u8, size: usize) -> usize {
        if size == 0 || option == b'c' {
            return 0;
        }
        let size = size.min(self.alignment);
        size.wrapping_sub(position & size.wrapping_sub(1)) & size.wrapping_sub(1)
    }

    /// An option that is no value.
    fn control(&mut self, option: u8) -> Result<()> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let alignment = self.number(ALIGNMENT)?;
                if !alignment.is_power_of_two() {
                    let text = format!("alignment {alignment} is not a power of 2");
                    return Err(error(self.lua, text));
                }
                self.alignment = alignment;
            }
            _ => {
                let text = format!("invalid format option '{}'", char::from(option));
                return Err(bad_argument(self.lua, 1, &text));
            }
        }
        Ok(())
    }

    /// Bytes of a value, least significant first, in the order that is wanted, and back.
    fn ordered<const N: usize>(&self, mut bytes: [u8; N]) -> [u8; N] {
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }
}

fn pack<'lua>(lua: &'lua Lua, values: MultiValue<'lua>) -> Result<String<'lua>> {
    let args = Arguments::new(lua, values);
    let text = args.string(0)?;
    let mut format = Format::new(lua, text.as_bytes());
    let (mut out, mut next) = (Vec::new(), 1);
    while let Some((option, size)) = format.next()? {
        out.resize(out.len() + format.padding(out.len(), option, size), 0);
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                put_integer(&mut out, to_bits(number(lua, &args, next)?), size, format.big_endian);
            }
            b'f' => {
                let bytes = (number(lua, &args, next)? as f32).to_le_bytes();
                out.extend_from_slice(&format.ordered(bytes));
            }
            b'd' => {
                let bytes = number(lua, &args, next)?.to_le_bytes();
                out.extend_from_slice(&format.ordered(bytes));
            }
            b'x' => out.push(0),
            b'c' | b's' => {
                let value = args.string(next)?;
                let bytes = value.as_bytes();
                let size = if size == 0 { bytes.len() } else { size };
                args.check(bytes.len() >= size, next + 1, "string too short")?;
                out.extend_from_slice(&bytes[..size]);
                if option == b's' {
                    out.push(0);
                }
            }
            _ => format.control(option)?,
        }
        next += usize::from(option.is_ascii_alphabetic() && option != b'x');
    }
    lua.create_string(out)
}

/// A number; the first one that lacks is nil.
fn number(lua: &Lua, args: &Arguments<'_>, index: usize) -> Result<f64> {
    if index == args.len() {
        return Err(bad_type(lua, index + 1, "number", Some(&Value::Nil)));
    }
    args.number(index)
}

/// What a cast to `unsigned long` makes of it on x86-64.
fn to_bits(value: f64) -> u64 {
    match value {
        _ if value < 0.0 || value.is_nan() => to_i64(value) as u64,
        _ if value >= 2f64.powi(64) => 0,
        _ => value as u64,
    }
}

fn put_integer(out: &mut Vec<u8>, value: u64, size: usize, big_endian: bool) {
    let byte = |index| if index < 8 { (value >> (8 * index)) as u8 } else { 0 };
    if big_endian {
        out.extend((0..size).rev().map(byte));
    } else {
        out.extend((0..size).map(byte));
    }
}

fn unpack<'lua>(lua: &'lua Lua, values: MultiValue<'lua>) -> Result<MultiValue<'lua>> {
    const SHORT: &str = "data string too short";
    let args = Arguments::new(lua, values);
    let (text, data) = (args.string(0)?, args.string(1)?);
    let data = data.as_bytes();
    let start = args.integer_or(2, 1)?;
    args.check(start != 0, 2, "offset must be 1 or greater")?;
    let mut at = (start as u64 - 1) as usize;
    let fits = |at: usize, size| at.checked_add(size).is_some_and(|end| end <= data.len());
    let mut format = Format::new(lua, text.as_bytes());
    let mut found: Vec<Value<'_>> = Vec::new();
    while let Some((option, mut size)) = format.next()? {
        args.check(fits(at, size), 1, SHORT)?;
        at += format.padding(at, option, size);
        args.check(fits(at, size), 1, SHORT)?;
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let bytes = &data[at..at + size];
                let value = get_integer(bytes, format.big_endian);
                found.push(Value::Number(match option.is_ascii_lowercase() {
                    true => extend(value, size) as f64,
                    false => value as f64,
                }));
            }
            b'f' => {
                let bytes: [u8; 4] = data[at..at + 4].try_into().unwrap_or_default();
                let value = f32::from_le_bytes(format.ordered(bytes));
                found.push(Value::Number(f64::from(value)));
            }
            b'd' => {
                let bytes: [u8; 8] = data[at..at + 8].try_into().unwrap_or_default();
                found.push(Value::Number(f64::from_le_bytes(format.ordered(bytes))));
            }
            b'x' => {}
            b'c' => {
                if size == 0 {
                    size = previous_size(lua, &mut found)?;
                    args.check(fits(at, size), 1, SHORT)?;
                }
                found.push(Value::String(lua.create_string(&data[at..at + size])?));
            }
            b's' => {
                let end = data[at..].iter().position(|&byte| byte == 0);
                let end = end.ok_or_else(|| error(lua, "unfinished string in data"))?;
                found.push(Value::String(lua.create_string(&data[at..at + end])?));
                size = end + 1;
            }
            _ => format.control(option)?,
        }
        at += size;
        if found.len() > RESULTS_MAX {
            return Err(error(lua, "stack overflow (too many results)"));
        }
    }
    found.push(Value::Number(at as f64 + 1.0));
    Ok(MultiValue::from_vec(found))
}

/// The last value found, which says how long the next one is.
fn previous_size(lua: &Lua, found: &mut Vec<Value<'_>>) -> Result<usize> {
    let size = match found.pop() {
        Some(value) => lua.coerce_number(value)?,
        None => None,
    };
    size.map(|size| to_bits(size) as usize)
        .ok_or_else(|| error(lua, "format 'c0' needs a previous size"))
}

fn get_integer(bytes: &[u8], big_endian: bool) -> u64 {
    let add = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
}

/// The value of so many bytes as a signed one.
fn extend(value: u64, size: usize) -> i64 {
    let unused = 64u32.saturating_sub(8 * size as u32).min(63);
    ((value << unused) as i64) >> unused
}

fn size(lua: &Lua, values: MultiValue<'_>) -> Result<f64> {
    let args = Arguments::new(lua, values);
    let text = args.string(0)?;
    let mut format = Format::new(lua, text.as_bytes());
    let mut total = 0usize;
    while let Some((option, size)) = format.next()? {
        total += format.padding(total, option, size);
        args.check(option != b's', 0, "option 's' has no fixed size")?;
        args.check(option != b'c' || size > 0, 0, "option 'c0' has no fixed size")?;
        if !option.is_ascii_alphanumeric() {
            format.control(option)?;
        }
        total = total.saturating_add(size);
    }
    Ok(total as f64)
}
