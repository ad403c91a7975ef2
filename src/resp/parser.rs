//! Finds requests in a client's byte stream: RESP arrays of bulk strings, and inline commands.
//!
//! ```text
//! request = "*" count CRLF { "$" length CRLF bytes CRLF }     count <= 0: no command
//!         | line LF                                           words, quoted as in redis-cli
//! ```
//!
//! The parser remembers how far it came, so bytes that were looked at are not looked at again
//! when the rest arrives. It owns no input: the caller keeps the bytes and hands them in from the
//! first byte of the request on. Leniencies are Redis': the byte behind a header's CR and the two
//! behind a bulk's bytes are skipped unread.

use super::args::{Args, Span};
use crate::base::number;
use std::borrow::Cow;

/// Longest header or inline line in bytes, as in Redis.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Most arguments of a request before the client has authenticated.
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
/// Longest argument in bytes before the client has authenticated.
const UNAUTHENTICATED_BULK_BYTES_MAX: i64 = 16_384;
/// Room for this many arguments is kept between requests; more is given back.
const SPANS_KEPT_MAX: usize = 1_024;
/// Room for unescaped inline bytes that is kept between requests.
const INLINE_BYTES_KEPT_MAX: usize = 4_096;

/// What a client may send at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest argument in bytes (proto-max-bulk-len).
    pub bulk_bytes_max: usize,
    /// Whether the client has authenticated, or need not.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bulk_bytes_max: 512 * 1024 * 1024, authenticated: true }
    }
}

/// What [`Parser::parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A request ends before byte `end` of the input; [`Parser::args`] has its arguments.
    Command {
        /// Number of input bytes that the request takes.
        end: usize,
    },
    /// The request goes on behind the input; come back with the same bytes and more.
    Incomplete {
        /// At least this many more bytes are needed: 1, or what an announced argument lacks (up to
        /// [`Limits::bulk_bytes_max`], so a hint for reading, not a size to allocate at once).
        need: usize,
    },
    /// A request without arguments (an empty line, `*0`), to be skipped without a reply.
    Empty {
        /// Number of input bytes that it takes.
        end: usize,
    },
}

/// The client does not speak the protocol: tell it [`ProtocolError::text`] and hang up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A line without end where `*` began it.
    TooBigCount,
    /// A line without end where a bulk header should be.
    TooBigBulkCount,
    /// A line without end that is an inline command.
    TooBigInline,
    /// The number behind `*` is none, or too large.
    InvalidCount,
    /// More arguments than allowed before AUTH.
    UnauthenticatedCount,
    /// This byte stood where `$` should.
    ExpectedBulk(u8),
    /// The number behind `$` is none, negative, or too large.
    InvalidBulk,
    /// A longer argument than allowed before AUTH.
    UnauthenticatedBulk,
    /// An inline command's quotes do not match.
    UnbalancedQuotes,
}

impl ProtocolError {
    /// The error reply, from `ERR` on, without `-` and CRLF.
    pub fn text(&self) -> Cow<'static, [u8]> {
        let text: &'static [u8] = match self {
            Self::TooBigCount => b"ERR Protocol error: too big mbulk count string",
            Self::TooBigBulkCount => b"ERR Protocol error: too big bulk count string",
            Self::TooBigInline => b"ERR Protocol error: too big inline request",
            Self::InvalidCount => b"ERR Protocol error: invalid multibulk length",
            Self::UnauthenticatedCount => b"ERR Protocol error: unauthenticated multibulk length",
            Self::InvalidBulk => b"ERR Protocol error: invalid bulk length",
            Self::UnauthenticatedBulk => b"ERR Protocol error: unauthenticated bulk length",
            Self::UnbalancedQuotes => b"ERR Protocol error: unbalanced quotes in request",
            Self::ExpectedBulk(got) => {
                let mut text = b"ERR Protocol error: expected '$', got '".to_vec();
                text.push(*got);
                text.push(b'\'');
                return Cow::Owned(text);
            }
        };
        Cow::Borrowed(text)
    }
}

/// Glances at the request at the beginning of `input`: where the argument is whose position `which`
/// tells from the request's name, and where the request ends. `None` where it is not whole, has no
/// such argument, or is not the plain form that client libraries send; the parser says what is
/// wrong then.
pub fn glance(input: &[u8], which: impl Fn(&[u8]) -> usize) -> Option<(Span, usize)> {
    let (count, mut at) = glance_number(input, 0, b'*')?;
    let (mut found, mut wanted) = (None, usize::MAX);
    for index in 0..count {
        let (len, start) = glance_number(input, at, b'$')?;
        at = start.checked_add(len)?.checked_add(2)?;
        if index == 0 {
            wanted = which(input.get(start..start + len)?);
        } else if index == wanted {
            found = Some(Span { start, end: start + len });
        }
    }
    found.filter(|_| at <= input.len()).map(|span| (span, at))
}

/// The number of up to six digits in the header at `at`, and where the line behind it begins.
fn glance_number(input: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let header = input.get(at..)?;
    if header.first() != Some(&kind) {
        return None;
    }
    let mut number = 0;
    for (index, byte) in header.iter().enumerate().skip(1).take(7) {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            b'\r' if index > 1 => return Some((number, at + index + 2)),
            _ => return None,
        }
    }
    None
}

/// Parser of one client's requests.
#[derive(Debug, Default)]
pub struct Parser {
    /// Arguments found so far: offsets from the request's first byte, or into `inline`.
    spans: Vec<Span>,
    /// The words of an inline command, unescaped.
    inline: Vec<u8>,
    /// Whether `spans` point into `inline`.
    is_inline: bool,
    /// Offset of the first byte not understood yet. 0: the next byte begins a request.
    at: usize,
    /// Bytes from `at` on known to hold no end of line.
    scanned: usize,
    /// Arguments still to come.
    missing: usize,
    /// Length of the argument whose bytes begin at `at`, once its header was read.
    bulk_len: Option<usize>,
}

impl Parser {
    /// Looks for one request at the beginning of `input`.
    ///
    /// After `Incomplete` the next call must begin with the same bytes. After `Command` and
    /// `Empty` it must begin `end` bytes further on. After an error the stream is not usable.
    #[inline]
    pub fn parse(&mut self, input: &[u8], limits: Limits) -> Result<Parsed, ProtocolError> {
        if self.at == 0 {
            match input.first() {
                None => return Ok(Parsed::Incomplete { need: 1 }),
                Some(b'*') => {}
                Some(_) => return self.parse_inline(input),
            }
            self.begin();
            let Some(line) = self.header(input, ProtocolError::TooBigCount)? else {
                return Ok(Parsed::Incomplete { need: 1 });
            };
            let count = number::parse_i64(&input[line.start + 1..line.end])
                .filter(|&count| count <= i64::from(i32::MAX))
                .ok_or(ProtocolError::InvalidCount)?;
            if count > UNAUTHENTICATED_ARGS_MAX && !limits.authenticated {
                return Err(ProtocolError::UnauthenticatedCount);
            }
            self.missing = usize::try_from(count).unwrap_or(0);
        }
        self.parse_bulks(input, limits)
    }

    /// Arguments of the request that the last `parse` of the same `input` found.
    #[inline]
    pub fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        Args::new(if self.is_inline { &self.inline } else { input }, &self.spans)
    }

    /// Whether a request has been begun whose end has not come.
    pub fn is_mid_request(&self) -> bool {
        self.at != 0 || self.scanned != 0
    }

    fn begin(&mut self) {
        self.spans.clear();
        self.is_inline = false;
        self.bulk_len = None;
        if self.spans.capacity() > SPANS_KEPT_MAX {
            self.spans = Vec::new();
        }
        if self.inline.capacity() > INLINE_BYTES_KEPT_MAX {
            self.inline = Vec::new();
        }
    }

    /// The line that begins at `self.at`, without its end, and moves behind it.
    #[inline]
    fn header(
        &mut self,
        input: &[u8],
        too_long: ProtocolError,
    ) -> Result<Option<Span>, ProtocolError> {
        let start = self.at;
        let from = start + self.scanned;
        let Some(length) = input[from..].iter().position(|&byte| byte == b'\r') else {
            self.scanned = input.len() - start;
            return if self.scanned > LINE_BYTES_MAX { Err(too_long) } else { Ok(None) };
        };
        let end = from + length;
        if end + 2 > input.len() {
            self.scanned = end - start;
            return Ok(None);
        }
        self.at = end + 2;
        self.scanned = 0;
        Ok(Some(Span { start, end }))
    }

    #[inline]
    fn parse_bulks(&mut self, input: &[u8], limits: Limits) -> Result<Parsed, ProtocolError> {
        while self.missing > 0 {
            let length = match self.bulk_len {
                Some(length) => length,
                None => {
                    let Some(line) = self.header(input, ProtocolError::TooBigBulkCount)? else {
                        return Ok(Parsed::Incomplete { need: 1 });
                    };
                    let length = bulk_length(&input[line.start..line.end], limits)?;
                    self.bulk_len = Some(length);
                    length
                }
            };
            let end = self.at + length;
            if end + 2 > input.len() {
                return Ok(Parsed::Incomplete { need: end + 2 - input.len() });
            }
            self.spans.push(Span { start: self.at, end });
            self.at = end + 2;
            self.bulk_len = None;
            self.missing -= 1;
        }
        let end = std::mem::take(&mut self.at);
        Ok(if self.spans.is_empty() { Parsed::Empty { end } } else { Parsed::Command { end } })
    }

    #[cold]
    fn parse_inline(&mut self, input: &[u8]) -> Result<Parsed, ProtocolError> {
        let Some(length) = input[self.scanned..].iter().position(|&byte| byte == b'\n') else {
            self.scanned = input.len();
            return if self.scanned > LINE_BYTES_MAX {
                Err(ProtocolError::TooBigInline)
            } else {
                Ok(Parsed::Incomplete { need: 1 })
            };
        };
        let end = self.scanned + length;
        self.scanned = 0;
        self.begin();
        self.is_inline = true;
        self.inline.clear();
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        split_words(line, &mut self.inline, &mut self.spans)
            .ok_or(ProtocolError::UnbalancedQuotes)?;
        let end = end + 1;
        Ok(if self.spans.is_empty() { Parsed::Empty { end } } else { Parsed::Command { end } })
    }
}

/// The length that a bulk header (`$5`) announces.
#[inline]
fn bulk_length(header: &[u8], limits: Limits) -> Result<usize, ProtocolError> {
    // An empty header is followed by its CR, which is what Redis shows (as a space).
    let Some((&first, digits)) = header.split_first() else {
        return Err(ProtocolError::ExpectedBulk(b' '));
    };
    if first != b'$' {
        return Err(ProtocolError::ExpectedBulk(first));
    }
    let length = number::parse_i64(digits).ok_or(ProtocolError::InvalidBulk)?;
    let bytes = usize::try_from(length).map_err(|_| ProtocolError::InvalidBulk)?;
    if bytes > limits.bulk_bytes_max {
        return Err(ProtocolError::InvalidBulk);
    }
    if length > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
        return Err(ProtocolError::UnauthenticatedBulk);
    }
    Ok(bytes)
}

/// Splits a line into words as redis-cli does; `None` where quotes do not match.
///
/// Words are separated by white space. `"..."` knows `\n \r \t \b \a`, `\xHH` and a backslash
/// before any other byte for that byte; `'...'` knows only `\'`. Behind a closing quote there must
/// be white space or the end.
fn split_words(line: &[u8], bytes: &mut Vec<u8>, spans: &mut Vec<Span>) -> Option<()> {
    let mut rest = line;
    loop {
        rest = &rest[rest.iter().take_while(|byte| is_space(**byte)).count()..];
        if rest.is_empty() {
            return Some(());
        }
        let start = bytes.len();
        rest = word(rest, bytes)?;
        spans.push(Span { start, end: bytes.len() });
    }
}

/// Appends the word at the beginning of `rest` to `bytes`; answers what follows it.
fn word<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest.split_first() {
            None => return Some(rest),
            Some((b' ' | b'\n' | b'\r' | b'\t', tail)) => return Some(tail),
            Some((quote @ (b'"' | b'\''), tail)) => {
                rest = quoted(tail, *quote, bytes)?;
                return match rest.first() {
                    Some(&byte) if !is_space(byte) => None,
                    _ => Some(rest),
                };
            }
            Some((&byte, tail)) => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
}

/// Appends what stands before the closing `quote`, unescaped; answers what follows it.
fn quoted<'a>(mut rest: &'a [u8], quote: u8, bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, tail) = match *rest {
            [] => return None,
            [byte, ref tail @ ..] if byte == quote => return Some(tail),
            [b'\\', b'\'', ref tail @ ..] if quote == b'\'' => (b'\'', tail),
            [b'\\', b'x', high, low, ref tail @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex_digit(high) * 16 + hex_digit(low), tail)
            }
            [b'\\', escaped, ref tail @ ..] if quote == b'"' => (unescape(escaped), tail),
            [byte, ref tail @ ..] => (byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => byte - b'A' + 10,
    }
}

/// isspace(3) in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All requests of `input`, `|` between arguments, and the error that ends them. The input
    /// comes in pieces of `piece` bytes.
    fn requests(input: &[u8], piece: usize, limits: Limits) -> Vec<Vec<u8>> {
        let mut parser = Parser::default();
        let (mut start, mut have, mut found) = (0, 0, Vec::new());
        loop {
            match parser.parse(&input[start..have], limits) {
                Ok(Parsed::Incomplete { need }) => {
                    assert!(need > 0);
                    if have == input.len() {
                        return found;
                    }
                    have = (have + piece).min(input.len());
                }
                Ok(Parsed::Empty { end }) => start += end,
                Ok(Parsed::Command { end }) => {
                    let args: Vec<_> = parser.args(&input[start..have]).iter().collect();
                    found.push(args.join(&b'|'));
                    start += end;
                }
                Err(error) => {
                    found.push(error.text().into_owned());
                    return found;
                }
            }
        }
    }

    fn check(input: &[u8], expect: &[&[u8]]) {
        for piece in [1, 2, 3, 7, 1_000_000] {
            let got = requests(input, piece, Limits::default());
            assert_eq!(got, expect, "{} by {piece}", input.escape_ascii());
        }
    }

    fn refused(input: &[u8], reason: &[u8]) {
        check(input, &[&[b"ERR Protocol error: ", reason].concat()]);
    }

    /// Every row was put to a Redis 7.0.15.
    #[test]
    fn arrays() {
        check(b"*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\n*1\r\n$4\r\nPING\r\n", &[b"ECHO|\r\n", b"PING"]);
        check(b"*-1\r\n*0\r\n*1\r\n$4\r\nPING\r\n", &[b"PING"]);
        check(b"*1\rX$4\rXPINGab", &[b"PING"]);
        check(b"*1\r\n$0\r\n\r\n", &[b""]);
        check(b"*1\r\n$4\r\nPIN", &[]);
        for count in [&b"x"[..], b"2147483648", b"01", b"+1", b"", b"9223372036854775808"] {
            refused(&[b"*", count, b"\r\n"].concat(), b"invalid multibulk length");
        }
        for length in [&b"-1"[..], b"x", b"536870913", b""] {
            refused(&[b"*1\r\n$", length, b"\r\n"].concat(), b"invalid bulk length");
        }
        refused(b"*1\r\n+4\r\n", b"expected '$', got '+'");
        refused(b"*1\r\n\r\n", b"expected '$', got ' '");
        refused(b"*1\r\n\xff\r\n", b"expected '$', got '\xff'");
    }

    /// Every row was put to a Redis 7.0.15.
    #[test]
    fn inline() {
        for (line, expect) in [
            (&b"PING\n"[..], &b"PING"[..]),
            (b"\r\n   \r\n\n PING \r\n", b"PING"),
            (b"ECHO a\"b c\"\r\n", b"ECHO|ab c"),
            (b"ECHO \"\\x41\\n\\q\\xZZ\"\r\n", b"ECHO|A\nqxZZ"),
            (b"ECHO \"\\a\\b\\r\\t\\\"\\\\\"\r\n", b"ECHO|\x07\x08\r\t\"\\"),
            (b"ECHO 'a\\'b\\n'\r\n", b"ECHO|a'b\\n"),
            (b"ECHO a\x0bb\r\n", b"ECHO|a\x0bb"),
            (b"\x0b ECHO x\r\n", b"ECHO|x"),
            (b"ECHO \"\"\r\n", b"ECHO|"),
            (b"ECHO a\\\"b\"\r\n", b"ECHO|a\\b"),
            (b"ECHO \"a\"\x0bPING\r\n", b"ECHO|a|PING"),
            (b"ECHO a\rb\r\n", b"ECHO|a|b"),
            (b"ECHO a\r\r\n", b"ECHO|a"),
        ] {
            check(line, &[expect]);
        }
        for line in
            [&b"E \"a\r\n"[..], b"E 'a'b\r\n", b"E \"a\"b\r\n", b"E \"a\\\r\n", b"E 'a\\'\n"]
        {
            refused(line, b"unbalanced quotes in request");
        }
    }

    #[test]
    fn lines_without_end_are_refused() {
        let long = vec![b'1'; LINE_BYTES_MAX + 1];
        for (begin, reason) in [
            (&b"*"[..], "too big mbulk count string"),
            (b"*1\r\n$", "too big bulk count string"),
            (b"GET ", "too big inline request"),
        ] {
            let input = [begin, &long].concat();
            for piece in [16_384, 1_000_000] {
                let got = requests(&input, piece, Limits::default());
                assert_eq!(got, [format!("ERR Protocol error: {reason}").into_bytes()]);
            }
        }
    }

    #[test]
    fn less_is_allowed_before_auth() {
        let limits = Limits { authenticated: false, ..Limits::default() };
        let got = |input: &[u8]| requests(input, 100, limits);
        let text = |reason: &str| [format!("ERR Protocol error: {reason}").into_bytes()];
        assert_eq!(got(b"*11\r\n"), text("unauthenticated multibulk length"));
        assert_eq!(got(b"*1\r\n$16385\r\n"), text("unauthenticated bulk length"));
        assert!(got(b"*10\r\n$16384\r\n").is_empty());
    }

    #[test]
    fn a_large_argument_says_how_much_is_missing() {
        let mut parser = Parser::default();
        let limits = Limits::default();
        let mut input = b"*2\r\n$3\r\nSET\r\n$1000000\r\n".to_vec();
        let need = 1_000_002;
        assert_eq!(parser.parse(&input, limits), Ok(Parsed::Incomplete { need }));
        assert!(parser.is_mid_request());
        input.extend(std::iter::repeat_n(b'v', need));
        let end = input.len();
        assert_eq!(parser.parse(&input, limits), Ok(Parsed::Command { end }));
        assert_eq!(parser.args(&input).get(1).len(), 1_000_000);
        assert!(!parser.is_mid_request());
    }
}
