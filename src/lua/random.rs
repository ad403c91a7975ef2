//! `math.random` with Redis' own numbers.
//!
//! They are those of `lrand48` of C, a linear congruence of 48 bits. A new interpreter begins where
//! Redis does when it starts, and scripts go on where others ended.

use super::raise::{bad_argument, bad_type, error};
use super::state::State;
use rlua::{Lua, MultiValue, Result, Value};
use std::rc::Rc;

const FACTOR: u64 = 0x5_DEEC_E66D;
const ADDEND: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
const LOW_OF_SEED: u64 = 0x330E;
const FIRST: u64 = 0x1234_ABCD_330E;

/// A generator of numbers below 2^31.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(u64);

impl Default for Random {
    fn default() -> Random {
        Random(FIRST)
    }
}

impl Random {
    /// The generator of this seed.
    pub(super) fn new(seed: i32) -> Random {
        Random((u64::from(seed as u32) << 16) | LOW_OF_SEED)
    }

    /// The next number.
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(FACTOR).wrapping_add(ADDEND) & MASK;
        (self.0 >> 17) as u32
    }
}

/// `math.random([m [, n]])`
pub(super) fn random<'lua>(
    lua: &'lua Lua,
    state: &Rc<State>,
    args: MultiValue<'lua>,
) -> Result<Value<'lua>> {
    let mut random = state.random.get();
    let max = i32::MAX as u32;
    let unit = f64::from(random.next() % max) / f64::from(max);
    state.random.set(random);
    let (low, high, culprit) = match args.len() {
        0 => return Ok(Value::Number(unit)),
        1 => (1, int(lua, &args, 0)?, 1),
        2 => (int(lua, &args, 0)?, int(lua, &args, 1)?, 2),
        _ => return Err(error(lua, "wrong number of arguments")),
    };
    if low > high {
        return Err(bad_argument(lua, culprit, "interval is empty"));
    }
    let span = high.wrapping_sub(low).wrapping_add(1);
    Ok(Value::Number((unit * f64::from(span)).floor() + f64::from(low)))
}

/// `math.randomseed(x)`
pub(super) fn seed<'lua>(lua: &'lua Lua, state: &Rc<State>, args: MultiValue<'lua>) -> Result<()> {
    state.random.set(Random::new(int(lua, &args, 0)?));
    Ok(())
}

/// An argument as a C `int`: the fraction goes, and so do the upper bits.
fn int(lua: &Lua, args: &MultiValue<'_>, index: usize) -> Result<i32> {
    let value = args.get(index);
    let number = match value {
        Some(value) => lua.coerce_number(value.clone())?,
        None => None,
    };
    let number = number.ok_or_else(|| bad_type(lua, index + 1, "number", value))?;
    Ok(number as i64 as i32)
}
