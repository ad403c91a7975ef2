//! The `cjson` library: values to and from JSON, byte for byte as lua-cjson 2.1.0.
//!
//! A table whose keys are 1 to n is an array, every other one an object; so an empty one is `{}`.
//! `null` is `cjson.null`, which is not nil. Strings are bytes: nothing checks that they are UTF-8.

mod decode;
mod encode;

use super::args::Arguments;
use super::state::{State, function};
use rlua::{LightUserData, Lua, MultiValue, Result, Table, Value};
use std::cell::Cell;
use std::rc::Rc;

const INT_MAX: i64 = 0x7fff_ffff;
const SWITCH: &[&str] = &["off", "on"];
const SWITCH_OR_NULL: &[&str] = &["off", "on", "null"];

/// What one library was told to do. It outlives a script, as Redis'.
#[derive(Clone, Copy, Debug)]
struct Settings {
    sparse_convert: i64,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_max_depth: i64,
    decode_max_depth: i64,
    encode_invalid_numbers: i64,
    decode_invalid_numbers: i64,
    keep_buffer: i64,
    number_precision: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse_convert: 0,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1_000,
            decode_max_depth: 1_000,
            encode_invalid_numbers: 0,
            decode_invalid_numbers: 1,
            keep_buffer: 1,
            number_precision: 14,
        }
    }
}

/// `cjson.null`
fn null<'lua>() -> Value<'lua> {
    Value::LightUserData(LightUserData(std::ptr::null_mut()))
}

/// A library with settings of its own.
pub(super) fn new<'lua>(lua: &'lua Lua, state: &Rc<State>) -> Result<Table<'lua>> {
    let settings = Rc::new(Cell::new(Settings::default()));
    let library = lua.create_table()?;
    let shared = Rc::clone(&settings);
    library.set(
        "encode",
        function(lua, state, move |lua, state, args: MultiValue<'_>| {
            let args = Arguments::new(lua, args);
            args.check(args.len() == 1, 0, "expected 1 argument")?;
            encode::encode(lua, state, shared.get(), args.get(0).cloned().unwrap_or(Value::Nil))
        })?,
    )?;
    let shared = Rc::clone(&settings);
    library.set(
        "decode",
        function(lua, state, move |lua, state, args: MultiValue<'_>| {
            let args = Arguments::new(lua, args);
            args.check(args.len() == 1, 0, "expected 1 argument")?;
            decode::decode(lua, state, shared.get(), args.string(0)?.as_bytes())
        })?,
    )?;
    for (name, options) in OPTIONS {
        let shared = Rc::clone(&settings);
        let set = function(lua, state, move |lua, _, args| set(lua, args, &shared, options))?;
        library.set(*name, set)?;
    }
    library.set("new", function(lua, state, |lua, state, ()| new(lua, state))?)?;
    library.set("null", null())?;
    library.set("_NAME", "cjson")?;
    library.set("_VERSION", "2.1.0")?;
    Ok(library)
}

type Field = fn(&mut Settings) -> &mut i64;

/// One argument of a function that shows and changes settings.
enum Setting {
    Integer(Field, i64, i64),
    Word(Field, &'static [&'static str]),
}

use Setting::{Integer, Word};

const OPTIONS: &[(&str, &[Setting])] = &[
    (
        "encode_sparse_array",
        &[
            Word(|settings| &mut settings.sparse_convert, SWITCH),
            Integer(|settings| &mut settings.sparse_ratio, 0, INT_MAX),
            Integer(|settings| &mut settings.sparse_safe, 0, INT_MAX),
        ],
    ),
    ("encode_max_depth", &[Integer(|settings| &mut settings.encode_max_depth, 1, INT_MAX)]),
    ("decode_max_depth", &[Integer(|settings| &mut settings.decode_max_depth, 1, INT_MAX)]),
    ("encode_number_precision", &[Integer(|settings| &mut settings.number_precision, 1, 14)]),
    ("encode_keep_buffer", &[Word(|settings| &mut settings.keep_buffer, SWITCH)]),
    (
        "encode_invalid_numbers",
        &[Word(|settings| &mut settings.encode_invalid_numbers, SWITCH_OR_NULL)],
    ),
    ("decode_invalid_numbers", &[Word(|settings| &mut settings.decode_invalid_numbers, SWITCH)]),
];

/// Changes the settings for which there are arguments, and answers all of them.
fn set<'lua>(
    lua: &'lua Lua,
    args: MultiValue<'lua>,
    settings: &Cell<Settings>,
    options: &[Setting],
) -> Result<MultiValue<'lua>> {
    let args = Arguments::new(lua, args);
    args.check(args.len() <= options.len(), options.len(), "found too many arguments")?;
    let mut answers = Vec::new();
    let mut now = settings.get();
    for (index, option) in options.iter().enumerate() {
        answers.push(match option {
            Integer(field, min, max) => {
                let field = field(&mut now);
                if !args.is_none(index) {
                    let value = args.integer(index)?;
                    let text = format!("expected integer between {min} and {max}");
                    args.check((*min..=*max).contains(&value), 0, &text)?;
                    *field = value;
                }
                Value::Integer(*field)
            }
            Word(field, words) => {
                let field = field(&mut now);
                match args.get(index) {
                    None | Some(Value::Nil) => {}
                    Some(Value::Boolean(value)) => *field = i64::from(*value),
                    Some(_) => *field = word(&args, index, words)?,
                }
                match words.get(*field as usize) {
                    Some(&word) if *field > 1 => Value::String(lua.create_string(word)?),
                    _ => Value::Boolean(*field == 1),
                }
            }
        });
        settings.set(now);
    }
    Ok(MultiValue::from_vec(answers))
}

fn word(args: &Arguments<'_>, index: usize, words: &[&str]) -> Result<i64> {
    let text = args.string(index)?;
    let found = words.iter().position(|word| word.as_bytes() == text.as_bytes());
    let complaint = format!("invalid option '{}'", text.to_string_lossy());
    args.check(found.is_some(), index, &complaint)?;
    Ok(found.unwrap_or(0) as i64)
}
