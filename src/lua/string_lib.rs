//! What is Rust of the `string` library: the functions that may take long.
//!
//! `find`, `match` and `rep` are whole. Of `gmatch` and `gsub` the prelude has the rest: what calls
//! functions of a script is written in Lua, so that errors pass it as they are, and where a look
//! at the text shows that it takes few steps, Lua's own functions are faster. Patterns are the
//! subject of [`super::patterns`].

use super::args::Arguments;
use super::patterns::{self, Capture, Failure, Matcher};
use super::state::State;
use rlua::{Error, Lua, MultiValue, Result, String, Table, Value};
use std::borrow::Cow;
use std::rc::Rc;

/// `gsub` finds so many matches before the first of them is replaced by a function,
const MATCHES_MAX: usize = 100;
/// or so many bytes.
const MATCHES_BYTES_MAX: usize = 64 << 10;

/// Lua's own functions match by recursion: they are given no longer patterns.
const QUICK_PATTERN_BYTES_MAX: usize = 1_000;

/// `string.rep(s, n)`
pub(super) fn rep<'lua>(
    lua: &'lua Lua,
    state: &Rc<State>,
    args: MultiValue<'lua>,
) -> Result<Value<'lua>> {
    let args = Arguments::new(lua, args);
    let (text, count) = (args.text(0)?, args.integer(1)?);
    let count = usize::try_from(count).unwrap_or(0);
    state.step(lua, &mut 0, text.as_bytes().len().saturating_mul(count))?;
    Ok(Value::String(lua.create_string(text.as_bytes().repeat(count))?))
}

/// `string.find(s, pattern [, init [, plain]])`
pub(super) fn find<'lua>(
    lua: &'lua Lua,
    state: &Rc<State>,
    args: MultiValue<'lua>,
) -> Result<MultiValue<'lua>> {
    let args = Arguments::new(lua, args);
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let from = start_of(&args, text.len())?;
    if args.is_true(3) || !patterns::is_special(pattern) {
        let found = patterns::find_plain(&text[from..], pattern, || state.proceed(lua))?;
        let place = found.map(|at| (from + at, from + at + pattern.len()));
        let values = place.map(|place| MultiValue::from_vec(place_of(place).into()));
        return Ok(values.unwrap_or_else(none));
    }
    first_match(lua, state, &args, (text, pattern, from), true)
}

/// `string.match(s, pattern [, init])`
pub(super) fn match_once<'lua>(
    lua: &'lua Lua,
    state: &Rc<State>,
    args: MultiValue<'lua>,
) -> Result<MultiValue<'lua>> {
    let args = Arguments::new(lua, args);
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    let text = text.as_bytes();
    let from = start_of(&args, text.len())?;
    first_match(lua, state, &args, (text, pattern.as_bytes(), from), false)
}

/// The first match in a text, of a pattern, from a position on: its place and captures, or, for
/// `string.match`, captures alone, with all of it for one where there are none.
fn first_match<'lua>(
    lua: &'lua Lua,
    state: &Rc<State>,
    args: &Arguments<'lua>,
    (text, pattern, from): (&[u8], &[u8], usize),
    with_place: bool,
) -> Result<MultiValue<'lua>> {
    let (anchored, pattern) = patterns::split_anchor(pattern);
    let mut matcher = Matcher::new(text, pattern, || state.proceed(lua));
    let found = matcher.search(from, anchored).map_err(|failure| error_of(args, failure))?;
    let Some(place) = found else { return Ok(none()) };
    let captures = matcher.captures();
    let mut values = Vec::with_capacity(2 + captures.len());
    if with_place {
        values.extend(place_of(place));
    }
    if !(with_place && captures.is_empty()) {
        push_captures(lua, args, text, place, captures, &mut values)?;
    }
    Ok(MultiValue::from_vec(values))
}

/// Whether Lua's own `string.gmatch(s, pattern)` is done in a moment.
pub(super) fn is_gmatch_quick<'lua>(
    lua: &'lua Lua,
    _: &Rc<State>,
    args: MultiValue<'lua>,
) -> Result<bool> {
    let args = Arguments::handed_on(lua, args);
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    Ok(is_quick(text.as_bytes(), pattern.as_bytes(), false, usize::MAX))
}

/// Whether so many matches are found before anybody would be asked, and nothing is wrong with them.
fn is_quick(text: &[u8], pattern: &[u8], anchored: bool, most: usize) -> bool {
    if pattern.len() > QUICK_PATTERN_BYTES_MAX {
        return false;
    }
    let mut matcher = Matcher::new(text, pattern, || Err(()));
    let (mut from, mut count) = (0, 0);
    while count < most && from <= text.len() && !(anchored && count > 0) {
        match matcher.search(from, anchored) {
            Ok(Some(place)) => from = behind(place),
            Ok(None) => return true,
            Err(_) => return false,
        }
        if matcher.captures().iter().any(|capture| matches!(capture, Capture::Open(_))) {
            return false;
        }
        count += 1;
    }
    true
}

/// The next match for `gmatch`, in the text and of the pattern that are given, from a position on
/// that counts from 0: where to go on, and what it captured. Nothing if there is none.
pub(super) fn next_match<'lua>(
    lua: &'lua Lua,
    state: &Rc<State>,
    args: MultiValue<'lua>,
) -> Result<MultiValue<'lua>> {
    let args = Arguments::handed_on(lua, args);
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    let from = position(&args, 2)?;
    let text = text.as_bytes();
    if from > text.len() {
        return Ok(MultiValue::new());
    }
    let mut matcher = Matcher::new(text, pattern.as_bytes(), || state.proceed(lua));
    let found = matcher.search(from, false).map_err(|failure| error_of(&args, failure))?;
    let Some(place) = found else { return Ok(MultiValue::new()) };
    let mut values = Vec::with_capacity(1 + matcher.captures().len().max(1));
    values.push(integer(behind(place)));
    push_captures(lua, &args, text, place, matcher.captures(), &mut values)?;
    Ok(MultiValue::from_vec(values))
}

/// What `gsub` is given but for what replaces.
struct Job<'lua, 'a> {
    text: Cow<'a, String<'lua>>,
    pattern: Cow<'a, String<'lua>>,
    most: i32,
}

impl<'lua, 'a> Job<'lua, 'a> {
    fn new(args: &'a Arguments<'lua>) -> Result<Self> {
        let (text, pattern) = (args.text(0)?, args.text(1)?);
        // Numbers are those of C: their upper bits go.
        let most = args.integer_or(3, text.as_bytes().len() as i64 + 1)? as i32;
        Ok(Self { text, pattern, most })
    }
}

/// `string.gsub(s, pattern, repl [, n])` where `repl` is a string: the new text, and how many
/// matches there were. For a function or table whether Lua's own is done in a moment but for what
/// that does, and nil.
pub(super) fn gsub<'lua>(
    lua: &'lua Lua,
    state: &Rc<State>,
    args: MultiValue<'lua>,
) -> Result<(Value<'lua>, Option<i32>)> {
    let args = Arguments::handed_on(lua, args);
    let job = Job::new(&args)?;
    let (anchored, pattern) = patterns::split_anchor(job.pattern.as_bytes());
    match args.get(2) {
        Some(Value::String(_) | Value::Integer(_) | Value::Number(_)) => {}
        Some(Value::Function(_) | Value::Table(_)) => {
            let most = usize::try_from(job.most).unwrap_or(0);
            let quick = is_quick(job.text.as_bytes(), pattern, anchored, most);
            return Ok((Value::Boolean(quick), None));
        }
        _ => args.check(false, 2, "string/function/table expected")?,
    }
    let by = args.text(2)?;
    let text = job.text.as_bytes();
    let mut matcher = Matcher::new(text, pattern, || state.proceed(lua));
    let mut out = Output { lua, state, args: &args, text, bytes: Vec::new(), steps: 0 };
    let (mut from, mut kept, mut count) = (0, 0, 0);
    while count < job.most && from <= text.len() && !(anchored && count > 0) {
        let found = matcher.search(from, anchored).map_err(|failure| error_of(&args, failure))?;
        let Some(place) = found else { break };
        out.push(&text[kept..place.0])?;
        out.replace(by.as_bytes(), place, matcher.captures())?;
        (from, kept, count) = (behind(place), place.1, count + 1);
    }
    out.push(&text[kept..])?;
    Ok((Value::String(lua.create_string(&out.bytes)?), Some(count)))
}

/// The result of `gsub` as far as it is made.
struct Output<'lua, 'a> {
    lua: &'lua Lua,
    state: &'a State,
    args: &'a Arguments<'lua>,
    text: &'a [u8],
    bytes: Vec<u8>,
    steps: u32,
}

impl Output<'_, '_> {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.state.step(self.lua, &mut self.steps, self.bytes.len() + bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Adds what replaces a match: `%0` and `%1` are what it captured, `%` goes before others.
    fn replace(&mut self, by: &[u8], place: (usize, usize), captures: &[Capture]) -> Result<()> {
        let mut rest = by;
        while let Some(at) = memchr::memchr(b'%', rest) {
            self.push(&rest[..at])?;
            // What ends with it has a NUL behind it, as strings of C have.
            match rest.get(at + 1).copied().unwrap_or(0) {
                digit @ b'0'..=b'9' => self.push_capture(digit, place, captures)?,
                other => self.push(&[other])?,
            }
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        self.push(rest)
    }

    fn push_capture(
        &mut self,
        digit: u8,
        place: (usize, usize),
        captures: &[Capture],
    ) -> Result<()> {
        let text = self.text;
        match (digit, captures.get(usize::from(digit.saturating_sub(b'1')))) {
            (b'0', _) | (b'1', None) => self.push(&text[place.0..place.1]),
            (_, Some(&Capture::Text(start, end))) => self.push(&text[start..end]),
            (_, Some(Capture::Position(at))) => self.push((at + 1).to_string().as_bytes()),
            (_, Some(Capture::Open(_))) => Err(self.args.error("unfinished capture")),
            (_, None) => Err(self.args.error("invalid capture index")),
        }
    }
}

/// Matches for `gsub` where `repl` is a function or table, whose arguments are followed by where to
/// begin, counted from 0, and by how many matches there were before.
///
/// In the table is, for each match, the text before it, the whole of it, and what it captured, for
/// a table the first only; then the text behind the last. Behind the table come the number of
/// matches, how many entries each has, and where to go on unless these were all.
pub(super) fn matches<'lua>(
    lua: &'lua Lua,
    state: &Rc<State>,
    args: MultiValue<'lua>,
) -> Result<(Table<'lua>, usize, usize, Option<usize>)> {
    let args = Arguments::handed_on(lua, args);
    let job = Job::new(&args)?;
    let (mut from, before) = (position(&args, 4)?, args.integer(5)?);
    let wanted = usize::try_from(i64::from(job.most) - before).unwrap_or(0);
    let captures_max = if matches!(args.get(2), Some(Value::Table(_))) { 1 } else { usize::MAX };
    let text = job.text.as_bytes();
    let (anchored, pattern) = patterns::split_anchor(job.pattern.as_bytes());
    let mut matcher = Matcher::new(text, pattern, || state.proceed(lua));
    let (first, mut kept, mut count, mut width) = (from, from, 0, 2);
    let mut values = Vec::new();
    let string = |start: usize, end: usize| lua.create_string(&text[start..end]).map(Value::String);
    let all = loop {
        if count == wanted || from > text.len() || (anchored && count > 0) {
            break true;
        }
        if count == MATCHES_MAX || from - first > MATCHES_BYTES_MAX {
            break false;
        }
        let place = match matcher.search(from, anchored) {
            Ok(Some(place)) => place,
            Ok(None) => break true,
            // What was found comes first.
            Err(Failure::Malformed(_)) if count > 0 => break false,
            Err(failure) => return Err(error_of(&args, failure)),
        };
        values.push(string(kept, place.0)?);
        values.push(string(place.0, place.1)?);
        let captures = matcher.captures();
        let captures = &captures[..captures.len().min(captures_max)];
        for &capture in captures {
            values.push(value_of(lua, &args, text, capture)?);
        }
        width = 2 + captures.len();
        (from, kept, count) = (behind(place), place.1, count + 1);
    };
    values.push(string(kept, if all { text.len() } else { from })?);
    Ok((lua.create_sequence_from(values)?, count, width, (!all).then_some(from)))
}

/// Where a search begins, counted from 0, by the third argument.
fn start_of(args: &Arguments<'_>, len: usize) -> Result<usize> {
    let init = args.integer_or(2, 1)?;
    let init = if init < 0 { init + len as i64 + 1 } else { init };
    Ok(usize::try_from(init - 1).unwrap_or(0).min(len))
}

/// A position that the prelude was given here.
fn position(args: &Arguments<'_>, index: usize) -> Result<usize> {
    Ok(usize::try_from(args.integer(index)?).unwrap_or(0))
}

/// Where to look for the next match: there is a byte at least behind an empty one.
fn behind((start, end): (usize, usize)) -> usize {
    end + usize::from(start == end)
}

fn error_of(args: &Arguments<'_>, failure: Failure<Error>) -> Error {
    match failure {
        Failure::Malformed(text) => args.error(text),
        Failure::Stopped(error) => error,
    }
}

fn none<'lua>() -> MultiValue<'lua> {
    MultiValue::from_vec(vec![Value::Nil])
}

fn integer<'lua>(number: usize) -> Value<'lua> {
    Value::Integer(number as i64)
}

/// The first and the last byte of a match, as Lua counts them.
fn place_of<'lua>((start, end): (usize, usize)) -> [Value<'lua>; 2] {
    [integer(start + 1), integer(end)]
}

/// What a match captured, or all of it where there are no captures.
fn push_captures<'lua>(
    lua: &'lua Lua,
    args: &Arguments<'lua>,
    text: &[u8],
    (start, end): (usize, usize),
    captures: &[Capture],
    values: &mut Vec<Value<'lua>>,
) -> Result<()> {
    let whole = [Capture::Text(start, end)];
    for &capture in if captures.is_empty() { &whole } else { captures } {
        values.push(value_of(lua, args, text, capture)?);
    }
    Ok(())
}

fn value_of<'lua>(
    lua: &'lua Lua,
    args: &Arguments<'lua>,
    text: &[u8],
    capture: Capture,
) -> Result<Value<'lua>> {
    match capture {
        Capture::Open(_) => Err(args.error("unfinished capture")),
        Capture::Position(at) => Ok(integer(at + 1)),
        Capture::Text(start, end) => Ok(Value::String(lua.create_string(&text[start..end])?)),
    }
}
