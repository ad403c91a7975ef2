//! JSON to values, without recursion.
//!
//! A number is what `strtod` takes, so hexadecimal ones, infinities and NaN are read unless
//! `decode_invalid_numbers` forbids it. The text ends at its first NUL.

use super::{Settings, null};
use crate::base::number;
use crate::lua::raise::error;
use crate::lua::state::State;
use rlua::{Lua, Result, Table, Value};

/// Each open table takes up to three of the 8,000 slots for references to values.
const DEPTH_MAX: usize = 2_500;

/// The value of a text.
pub(super) fn decode<'lua>(
    lua: &'lua Lua,
    state: &State,
    settings: Settings,
    text: &[u8],
) -> Result<Value<'lua>> {
    if text.len() >= 2 && text[..2].contains(&0) {
        return Err(error(lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    let lenient = settings.decode_invalid_numbers != 0;
    let mut decoder = Decoder { lua, state, settings, text, at: 0, lenient, open: Vec::new() };
    let value = decoder.document()?;
    match decoder.token() {
        (Token::End, _) => Ok(value),
        found => Err(decoder.unexpected("the end", found)),
    }
}

enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(text) => text,
        }
    }
}

/// A table of which a part is read.
struct Open<'lua> {
    table: Table<'lua>,
    place: Place<'lua>,
}

/// Where the next value goes.
enum Place<'lua> {
    Index(usize),
    Key(rlua::String<'lua>),
}

struct Decoder<'lua, 'a> {
    lua: &'lua Lua,
    state: &'a State,
    settings: Settings,
    text: &'a [u8],
    at: usize,
    lenient: bool,
    open: Vec<Open<'lua>>,
}

type Found = (Token, usize);

impl<'lua> Decoder<'lua, '_> {
    fn document(&mut self) -> Result<Value<'lua>> {
        let mut token = self.token();
        loop {
            let mut value = match token.0 {
                Token::String(text) => Value::String(self.lua.create_string(text)?),
                Token::Number(number) => Value::Number(number),
                Token::Boolean(value) => Value::Boolean(value),
                Token::Null => null(),
                Token::ArrayBegin | Token::ObjectBegin => match self.begin(token.0)? {
                    (None, first) => {
                        token = first;
                        continue;
                    }
                    (Some(empty), _) => empty,
                },
                _ => return Err(self.unexpected("value", token)),
            };
            self.state.check_memory(self.lua)?;
            // What is complete goes into the table around it.
            loop {
                let Some(open) = self.open.last_mut() else { return Ok(value) };
                match &mut open.place {
                    Place::Key(key) => open.table.raw_set(key.clone(), value)?,
                    Place::Index(index) => {
                        open.table.raw_set(*index, value)?;
                        *index += 1;
                    }
                }
                match self.more()? {
                    Some(next) => {
                        token = next;
                        break;
                    }
                    None => {
                        let full = self.open.pop();
                        value = full.map_or(Value::Nil, |full| Value::Table(full.table));
                    }
                }
            }
        }
    }

    /// Opens a table: the first token of its first value, or nothing of an empty one.
    fn begin(&mut self, token: Token) -> Result<(Option<Value<'lua>>, Found)> {
        let depth = self.open.len() + 1;
        if depth as i64 > self.settings.decode_max_depth || depth > DEPTH_MAX {
            let at = self.at;
            let text = format!("Found too many nested data structures ({depth}) at character {at}");
            return Err(error(self.lua, text));
        }
        let table = self.lua.create_table()?;
        let first = self.token();
        match (&token, &first.0) {
            (Token::ArrayBegin, Token::ArrayEnd) | (Token::ObjectBegin, Token::ObjectEnd) => {
                return Ok((Some(Value::Table(table)), first));
            }
            _ => {}
        }
        self.open.push(Open { table, place: Place::Index(1) });
        match token {
            Token::ArrayBegin => Ok((None, first)),
            _ => Ok((None, self.key(first)?)),
        }
    }

    /// Reads a key, of which the first token is given, up to its value.
    fn key(&mut self, token: Found) -> Result<Found> {
        let Token::String(key) = token.0 else {
            return Err(self.unexpected("object key string", token));
        };
        let key = self.lua.create_string(key)?;
        let colon = self.token();
        if !matches!(colon.0, Token::Colon) {
            return Err(self.unexpected("colon", colon));
        }
        if let Some(open) = self.open.last_mut() {
            open.place = Place::Key(key);
        }
        Ok(self.token())
    }

    /// What follows a value: the first token of the next one, or nothing at the table's end.
    fn more(&mut self) -> Result<Option<Found>> {
        let place = self.open.last().map(|open| &open.place);
        let is_array = matches!(place, Some(Place::Index(_)));
        let token = self.token();
        match (&token.0, is_array) {
            (Token::ArrayEnd, true) | (Token::ObjectEnd, false) => Ok(None),
            (Token::Comma, true) => Ok(Some(self.token())),
            (Token::Comma, false) => {
                let first = self.token();
                self.key(first).map(Some)
            }
            (_, true) => Err(self.unexpected("comma or array end", token)),
            (_, false) => Err(self.unexpected("comma or object end", token)),
        }
    }

    fn unexpected(&self, expected: &str, (token, at): Found) -> rlua::Error {
        let found = token.name();
        let text = format!("Expected {expected} but found {found} at character {}", at + 1);
        error(self.lua, text)
    }

    /// The byte at `at`; NUL behind the end.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next token and where it begins.
    fn token(&mut self) -> Found {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let start = self.at;
        let single = match self.byte(start) {
            0 => return (Token::End, start),
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => {
                if !self.lenient && self.is_invalid_number() {
                    return (Token::Error("invalid number"), start);
                }
                return (self.number(), start);
            }
            b'+' | b'f' | b'i' | b'I' | b'n' | b'N' | b't' => return (self.word(), start),
            _ => return (Token::Error("invalid token"), start),
        };
        self.at += 1;
        (single, start)
    }

    fn word(&mut self) -> Token {
        let words = [
            ("true", Token::Boolean(true)),
            ("false", Token::Boolean(false)),
            ("null", Token::Null),
        ];
        for (word, token) in words {
            if self.rest().starts_with(word.as_bytes()) {
                self.at += word.len();
                return token;
            }
        }
        if self.lenient && self.is_invalid_number() {
            return self.number();
        }
        Token::Error("invalid token")
    }

    /// Whether a number begins here that JSON does not have.
    fn is_invalid_number(&self) -> bool {
        let rest = self.rest();
        let unsigned = match rest {
            [b'+', ..] => return true,
            [b'-', unsigned @ ..] => unsigned,
            _ => rest,
        };
        match unsigned {
            [b'0', second, ..] => matches!(second, b'x' | b'X' | b'0'..=b'9'),
            _ => begins_with(unsigned, b"inf") || begins_with(unsigned, b"nan"),
        }
    }

    fn number(&mut self) -> Token {
        match leading_number(self.rest()) {
            None => Token::Error("invalid number"),
            Some((value, len)) => {
                self.at += len;
                Token::Number(value)
            }
        }
    }

    fn string(&mut self) -> Found {
        let start = self.at;
        let mut text = Vec::new();
        self.at += 1;
        loop {
            match self.byte(self.at) {
                b'"' => break,
                0 => return (Token::Error("unexpected end of string"), self.at),
                b'\\' => match self.byte(self.at + 1) {
                    b'u' => {
                        let Some((letter, len)) = self.unicode_escape() else {
                            return (Token::Error("invalid unicode escape code"), self.at);
                        };
                        text.extend(letter);
                        self.at += len;
                    }
                    letter => {
                        let Some(byte) = escaped(letter) else {
                            return (Token::Error("invalid escape code"), self.at);
                        };
                        text.push(byte);
                        self.at += 2;
                    }
                },
                byte => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        (Token::String(text), start)
    }

    /// The UTF-8 of the escape that begins here, and the escape's length.
    fn unicode_escape(&self) -> Option<(Vec<u8>, usize)> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 4)?;
            let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
            u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let first = unit(self.at + 2)?;
        let (code, len) = if first & 0xf800 == 0xd800 {
            let second = unit(self.at + 8)?;
            let pair = self.text.get(self.at + 6..self.at + 8) == Some(b"\\u");
            if first & 0x400 != 0 || !pair || second & 0xfc00 != 0xdc00 {
                return None;
            }
            (0x10000 + ((first & 0x3ff) << 10) + (second & 0x3ff), 12)
        } else {
            (first, 6)
        };
        Some((char::from_u32(code)?.to_string().into_bytes(), len))
    }
}

fn escaped(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

fn begins_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// The number at the beginning of `text` that `strtod` finds, and its length.
fn leading_number(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let unsigned = &text[sign..];
    let (value, len) = if begins_with(unsigned, b"infinity") {
        (f64::INFINITY, 8)
    } else if begins_with(unsigned, b"inf") {
        (f64::INFINITY, 3)
    } else if begins_with(unsigned, b"nan") {
        (f64::NAN, 3 + name_in_brackets(&unsigned[3..]))
    } else {
        match hexadecimal_len(unsigned) {
            0 => {
                let len = decimal_len(unsigned);
                (std::str::from_utf8(&unsigned[..len]).ok()?.parse().ok()?, len)
            }
            len => (number::parse_f64(&unsigned[..len]).unwrap_or(f64::INFINITY), len),
        }
    };
    Some((if text.first() == Some(&b'-') { -value } else { value }, sign + len))
}

/// Length of what may follow `nan`.
fn name_in_brackets(text: &[u8]) -> usize {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match text.first() {
        Some(b'(') => match text[1..].iter().position(|byte| !is_name(byte)) {
            Some(len) if text[1 + len] == b')' => len + 2,
            _ => 0,
        },
        _ => 0,
    }
}

/// Length of the digits, a point among them or not.
fn mantissa_len(text: &[u8], is_digit: fn(&u8) -> bool) -> usize {
    let count = |text: &[u8]| text.iter().take_while(|byte| is_digit(byte)).count();
    let whole = count(text);
    if text.get(whole) != Some(&b'.') {
        return whole;
    }
    let fraction = count(&text[whole + 1..]);
    if whole + fraction == 0 { 0 } else { whole + 1 + fraction }
}

/// `start`, and the length of the exponent there if there is one.
fn with_exponent(text: &[u8], start: usize, letter: u8) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    if !rest.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&letter)) {
        return start;
    }
    let sign = usize::from(matches!(rest.get(1), Some(b'-' | b'+')));
    let digits = rest[1 + sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 { start } else { start + 1 + sign + digits }
}

fn decimal_len(text: &[u8]) -> usize {
    match mantissa_len(text, u8::is_ascii_digit) {
        0 => 0,
        len => with_exponent(text, len, b'e'),
    }
}

fn hexadecimal_len(text: &[u8]) -> usize {
    if !begins_with(text, b"0x") {
        return 0;
    }
    match mantissa_len(&text[2..], u8::is_ascii_hexdigit) {
        0 => 0,
        len => with_exponent(text, 2 + len, b'p'),
    }
}
