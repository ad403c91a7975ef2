//! Errors: how functions raise them as C functions do, what scripts catch, what leaves a script.
//!
//! A function of Rust raises a wrapped error, which scripts never see: `pcall` and its like turn
//! it into the string or table that it stands for ([`caught`]), but for the one that ends the
//! script.

use super::state::{Raised, State};
use rlua::{Error, Lua, Result, Table, Value};

/// Chunk name of what is written in Lua here; its frames are taken for those of C functions.
pub(super) const PRELUDE: &str = "=[C]";
/// Field of an error that a command replied with: it was counted then. Scripts see it, as in Redis.
const COUNTED: &str = "ignore_error_stats_update";
/// What is said of an error without a text.
const UNKNOWN: &str = "ERR unknown error";

/// The chunk and line of the function at `level`, as it stands before messages; nothing where that
/// is not Lua, or what is written in Lua here. Level 0 is the function of Rust that runs, 1 is who
/// called it.
pub(super) fn place(lua: &Lua, level: usize) -> String {
    let Some(frame) = lua.inspect_stack(level) else { return String::new() };
    let line = frame.curr_line();
    match frame.source().short_src {
        Some(chunk) if line > 0 && chunk != PRELUDE[1..] => format!("{chunk}:{line}: "),
        _ => String::new(),
    }
}

/// An error with this message, behind the place where the function was called.
pub(super) fn error(lua: &Lua, text: impl AsRef<[u8]>) -> Error {
    error_beyond(lua, 0, text)
}

/// The same of the function that called so many others to get here.
pub(super) fn error_beyond(lua: &Lua, depth: usize, text: impl AsRef<[u8]>) -> Error {
    let mut message = place(lua, depth + 1).into_bytes();
    message.extend_from_slice(text.as_ref());
    Raised::Text(message).into()
}

/// An error about the argument at `index`, counted from 1.
pub(super) fn bad_argument(lua: &Lua, index: usize, text: &str) -> Error {
    bad_argument_beyond(lua, 0, index, text)
}

/// The same of the function that called so many others to get here.
pub(super) fn bad_argument_beyond(lua: &Lua, depth: usize, index: usize, text: &str) -> Error {
    let frame = lua.inspect_stack(depth);
    let names = frame.as_ref().map(|frame| frame.names());
    let is_method = names.as_ref().is_some_and(|names| names.name_what == Some("method"));
    let name = names.and_then(|names| names.name).unwrap_or("?".into());
    error_beyond(
        lua,
        depth,
        match (is_method, index) {
            (true, 1) => format!("calling '{name}' on bad self ({text})"),
            (true, _) => format!("bad argument #{} to '{name}' ({text})", index - 1),
            (false, _) => format!("bad argument #{index} to '{name}' ({text})"),
        },
    )
}

/// An error about an argument of another type.
pub(super) fn bad_type(lua: &Lua, index: usize, expected: &str, came: Option<&Value<'_>>) -> Error {
    bad_argument(lua, index, &format!("{expected} expected, got {}", type_name(came)))
}

/// Lua's name of the type of an argument.
pub(super) fn type_name(value: Option<&Value<'_>>) -> &'static str {
    match value {
        None => "no value",
        Some(Value::Integer(_)) => "number",
        Some(Value::LightUserData(_) | Value::Error(_)) => "userdata",
        Some(value) => value.type_name(),
    }
}

/// What a wrapped error stands for.
fn unwrap(error: &Error) -> Raised {
    match error {
        Error::CallbackError { cause, .. } => unwrap(cause),
        Error::ExternalError(inner) => match inner.downcast_ref::<Raised>() {
            Some(raised) => raised.clone(),
            None => Raised::Text(inner.to_string().into_bytes()),
        },
        Error::RuntimeError(text) | Error::MemoryError(text) => {
            let text = text.split("\nstack traceback:\n").next().unwrap_or(text);
            Raised::Text(text.as_bytes().to_vec())
        }
        other => Raised::Text(other.to_string().into_bytes()),
    }
}

/// `{err = text}` of a command, which says that it was counted as an error already.
pub(super) fn reply_table<'lua>(lua: &'lua Lua, text: &[u8]) -> Result<Table<'lua>> {
    let table = error_table(lua, text)?;
    table.raw_set(COUNTED, true)?;
    Ok(table)
}

/// Whether this is an error that a command replied with.
pub(super) fn is_counted(value: &Value<'_>) -> Result<bool> {
    match value {
        Value::Table(table) => table.raw_get(COUNTED),
        _ => Ok(false),
    }
}

/// `{err = text}`
pub(super) fn error_table<'lua>(lua: &'lua Lua, text: &[u8]) -> Result<Table<'lua>> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set("err", lua.create_string(text)?)?;
    Ok(table)
}

/// The value that a script sees of an error that it caught. With `flat`, a table with an error is
/// its text, as `pcall` has it. Fails where the script is to end.
pub(super) fn caught<'lua>(
    lua: &'lua Lua,
    state: &State,
    (value, flat): (Value<'lua>, bool),
) -> Result<Value<'lua>> {
    if state.is_stopped() {
        return Err(Raised::Stop.into());
    }
    match value {
        Value::Error(error) => match unwrap(&error) {
            Raised::Table(text) if !flat => Ok(Value::Table(error_table(lua, &text)?)),
            Raised::Reply(text) if !flat => Ok(Value::Table(reply_table(lua, &text)?)),
            Raised::Text(text) | Raised::Table(text) | Raised::Reply(text) => {
                Ok(Value::String(lua.create_string(text)?))
            }
            Raised::Stop => Err(Raised::Stop.into()),
        },
        Value::String(text) => match split_place(text.as_bytes()) {
            (true, message) => Ok(Value::String(lua.create_string(message)?)),
            (false, _) => Ok(Value::String(text)),
        },
        Value::Table(table) if flat => match table.raw_get("err")? {
            text @ (Value::String(_) | Value::Integer(_) | Value::Number(_)) => Ok(text),
            _ => Ok(Value::Table(table)),
        },
        other => Ok(other),
    }
}

/// The handler of errors that leave a script: a table of the error's text, from its code on, and of
/// where it was raised. Looks at the stack, which is still as it was then.
pub(super) fn note<'lua>(lua: &'lua Lua, value: Value<'lua>) -> Result<Table<'lua>> {
    let origin = origin(lua);
    let table = match value {
        Value::Table(table) => {
            if !matches!(table.raw_get("err")?, Value::String(_) | Value::Integer(_)) {
                table.raw_set("err", UNKNOWN)?;
            }
            table
        }
        Value::Error(error) => match unwrap(&error) {
            Raised::Table(text) => error_table(lua, &text)?,
            Raised::Reply(text) => reply_table(lua, &text)?,
            Raised::Text(text) => error_table(lua, &with_code(&text))?,
            Raised::Stop => return lua.create_table(),
        },
        other => {
            let text = text_of(lua, other)?;
            let (hidden, message) = split_place(&text);
            let place = if hidden { place_of(origin.as_ref()) } else { String::new() };
            error_table(lua, &with_code(&[place.as_bytes(), message].concat()))?
        }
    };
    if let Some(origin) = origin {
        table.raw_set("source", lua.create_string(origin.source)?)?;
        table.raw_set("line", origin.line)?;
    }
    Ok(table)
}

/// What an error says that [`note`] noted, behind it the script's name and where it was raised.
pub(super) fn noted(lua: &Lua, sha: &str, table: &Table<'_>) -> Result<Vec<u8>> {
    let mut text = text_of(lua, table.raw_get("err")?)?;
    let (chunk, line): (Value<'_>, Value<'_>) = (table.raw_get("source")?, table.raw_get("line")?);
    if !chunk.is_nil() {
        text.extend_from_slice(format!(" script: {sha}, on ").as_bytes());
        text.extend(text_of(lua, chunk)?);
        text.push(b':');
        text.extend(text_of(lua, line)?);
        text.push(b'.');
    }
    Ok(text)
}

fn with_code(text: &[u8]) -> Vec<u8> {
    [b"ERR ", text].concat()
}

/// A message without the place that functions of Lua's own put before it when the prelude called
/// them, and whether that was there.
fn split_place(text: &[u8]) -> (bool, &[u8]) {
    let message = text.strip_prefix(b"[C]:").and_then(|rest| {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        rest[digits..].strip_prefix(b": ").filter(|_| digits > 0)
    });
    (message.is_some(), message.unwrap_or(text))
}

/// What `tostring` makes of it.
pub(super) fn text_of(lua: &Lua, value: Value<'_>) -> Result<Vec<u8>> {
    Ok(match value {
        Value::Nil => b"nil".to_vec(),
        Value::Boolean(value) => value.to_string().into_bytes(),
        value @ (Value::String(_) | Value::Integer(_) | Value::Number(_)) => {
            let text = lua.coerce_string(value)?;
            text.map_or(Vec::new(), |text| text.as_bytes().to_vec())
        }
        value => format!("{}: {:p}", type_name(Some(&value)), value.to_pointer()).into_bytes(),
    })
}

/// Where an error was raised.
struct Origin {
    /// The chunk's name as it was given, and as messages show it.
    source: Vec<u8>,
    shown: String,
    line: i32,
}

/// The place as it stands before messages.
fn place_of(origin: Option<&Origin>) -> String {
    match origin {
        Some(Origin { shown, line, .. }) if *line > 0 => format!("{shown}:{line}: "),
        _ => String::new(),
    }
}

/// Chunk and line of the function that raised the error; of its caller where that is of C. What is
/// written in Lua here counts as of C.
fn origin(lua: &Lua) -> Option<Origin> {
    let (mut level, mut of_c, mut lost) = (1, true, false);
    loop {
        let frame = lua.inspect_stack(level)?;
        let source = frame.source();
        let chunk = source.source.unwrap_or("?".into());
        let prelude = source.what == "Lua" && chunk == PRELUDE;
        // A tail call of the prelude leaves its caller on the stack or not: the next one tells.
        lost |= source.what == "tail" && level > 1;
        if lost && source.what == "C" {
            let source = b"=(tail call)".to_vec();
            return Some(Origin { source, shown: String::new(), line: -1 });
        }
        if !prelude && source.what != "tail" && !(source.what == "C" && of_c) {
            let shown = source.short_src.unwrap_or("?".into()).into_owned();
            let source = chunk.into_owned().into_bytes();
            return Some(Origin { source, shown, line: frame.curr_line() });
        }
        of_c &= prelude;
        level += 1;
    }
}
