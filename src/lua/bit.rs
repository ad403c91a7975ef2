//! The `bit` library: operations on 32 bits, with results as signed numbers.

use super::args::Arguments;
use super::state::{State, function};
use rlua::{Lua, MultiValue, Result, String, Table};
use std::rc::Rc;

/// Added to a number, it leaves the number rounded to the nearest integer in the lowest bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0;

/// The library.
pub(super) fn new<'lua>(lua: &'lua Lua, state: &Rc<State>) -> Result<Table<'lua>> {
    let library = lua.create_table()?;
    for (name, operation) in UNARY {
        library.set(*name, function(lua, state, |lua, _, args| unary(lua, args, *operation))?)?;
    }
    for (name, operation) in SHIFTS {
        library.set(*name, function(lua, state, |lua, _, args| shift(lua, args, *operation))?)?;
    }
    for (name, operation) in FOLDS {
        library.set(*name, function(lua, state, |lua, _, args| fold(lua, args, *operation))?)?;
    }
    library.set("tohex", function(lua, state, |lua, _, args| tohex(lua, args))?)?;
    Ok(library)
}

type Unary = fn(u32) -> u32;
type Binary = fn(u32, u32) -> u32;

const UNARY: &[(&str, Unary)] =
    &[("tobit", |bits| bits), ("bnot", |bits| !bits), ("bswap", u32::swap_bytes)];

/// The second operand is below 32.
const SHIFTS: &[(&str, Binary)] = &[
    ("lshift", |bits, by| bits << by),
    ("rshift", |bits, by| bits >> by),
    ("arshift", |bits, by| ((bits as i32) >> by) as u32),
    ("rol", u32::rotate_left),
    ("ror", u32::rotate_right),
];

const FOLDS: &[(&str, Binary)] =
    &[("band", |a, b| a & b), ("bor", |a, b| a | b), ("bxor", |a, b| a ^ b)];

fn bits(args: &Arguments<'_>, index: usize) -> Result<u32> {
    Ok((args.number(index)? + ROUNDING).to_bits() as u32)
}

fn signed(bits: u32) -> i32 {
    bits as i32
}

fn unary(lua: &Lua, args: MultiValue<'_>, operation: Unary) -> Result<i32> {
    Ok(signed(operation(bits(&Arguments::new(lua, args), 0)?)))
}

fn shift(lua: &Lua, args: MultiValue<'_>, operation: Binary) -> Result<i32> {
    let args = Arguments::new(lua, args);
    Ok(signed(operation(bits(&args, 0)?, bits(&args, 1)? & 31)))
}

fn fold(lua: &Lua, args: MultiValue<'_>, operation: Binary) -> Result<i32> {
    let args = Arguments::new(lua, args);
    let first = bits(&args, 0)?;
    let all = (1..args.len())
        .try_fold(first, |all, index| Ok::<_, rlua::Error>(operation(all, bits(&args, index)?)));
    all.map(signed)
}

/// `bit.tohex(x [, n])`: the lowest `n` digits, in capitals where `n` is negative.
fn tohex<'lua>(lua: &'lua Lua, args: MultiValue<'lua>) -> Result<String<'lua>> {
    let args = Arguments::new(lua, args);
    let value = bits(&args, 0)?;
    let digits = if args.len() < 2 { 8 } else { signed(bits(&args, 1)?) };
    let text = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    lua.create_string(&text[8 - digits.unsigned_abs().min(8) as usize..])
}
