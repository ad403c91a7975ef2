//! Writes replies into a client's output buffer, in RESP2 or RESP3.
//!
//! Callers say what a reply *means* (a map, a double, nothing); how each protocol shows it is
//! decided here and only here. The writer knows nothing of sockets, and does not check that as
//! many elements follow as were announced.

use crate::base::number;

/// Version of the protocol that a client chose with HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2: the default.
    #[default]
    Resp2,
    /// RESP3: maps, sets, doubles, pushes.
    Resp3,
}

/// How the members of a sorted set are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Without scores.
    Names,
    /// Each followed by its score.
    Flat,
    /// Each with its score in an array of two.
    Nested,
}

impl Shape {
    /// How most commands show them: scores only where they are asked for, and nested in RESP3.
    pub fn new(with_scores: bool, protocol: Protocol) -> Shape {
        match (with_scores, protocol) {
            (false, _) => Shape::Names,
            (true, Protocol::Resp2) => Shape::Flat,
            (true, Protocol::Resp3) => Shape::Nested,
        }
    }
}

/// A finished reply of so many bytes is taken over with its memory,
const TAKEN_MIN: usize = 256 << 10;
/// if it has room for what may be before it: so much.
pub const ROOM_BYTES: usize = 4096;

/// A writer of replies at the end of an output buffer.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// Writes behind what `out` holds.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// The client's protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the protocol of what follows: HELLO's own reply is in the new one.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// A writer to the same buffer for a shorter time.
    pub fn reborrow(&mut self) -> Reply<'_> {
        Reply { out: self.out, protocol: self.protocol }
    }

    /// The present end of the buffer, for [`Reply::rewind`] and [`Reply::written_since`].
    pub fn mark(&self) -> usize {
        self.out.len()
    }

    /// Takes back everything written since `mark`.
    pub fn rewind(&mut self, mark: usize) {
        self.out.truncate(mark);
    }

    /// Whether what was written since `mark` begins with an error.
    pub fn is_error(&self, mark: usize) -> bool {
        self.out.get(mark) == Some(&b'-')
    }

    /// Bytes written since `mark`.
    pub fn written_since(&self, mark: usize) -> usize {
        self.out.len().saturating_sub(mark)
    }

    /// `+OK`
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status such as `PONG`. `text` has no line ends.
    pub fn simple(&mut self, text: &str) {
        self.out.push(b'+');
        self.line(text.as_bytes());
    }

    /// An error from its code on: `ERR syntax error`. Line ends in it become spaces.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// An error that quotes what a client sent. Line ends at its end go, others become spaces.
    pub fn error_bytes(&mut self, text: &[u8]) {
        let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
        let text = &text[..end.map_or(0, |end| end + 1)];
        self.out.push(b'-');
        let clean = |&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte };
        self.out.extend(text.iter().map(clean));
        self.end();
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        match value {
            0 => self.out.extend_from_slice(b":0\r\n"),
            1 => self.out.extend_from_slice(b":1\r\n"),
            _ => self.header(b':', value),
        }
    }

    /// A count or length as an integer.
    #[inline]
    pub fn count(&mut self, value: usize) {
        self.int(saturate(value));
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 32);
        self.header(b'$', saturate(bytes.len()));
        self.line(bytes);
    }

    /// A bulk string, or nothing.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// An integer as a bulk string.
    pub fn bulk_int(&mut self, value: i64) {
        let digits = number::Digits::new(value);
        self.bulk(digits.as_bytes());
    }

    /// Nothing, where a single value could have been.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Nothing, where an array could have been.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The beginning of an array of `len` elements, which follow.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', saturate(len));
    }

    /// The beginning of a map of `pairs` keys and values, which follow in turn.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', saturate(pairs.saturating_mul(2))),
            Protocol::Resp3 => self.header(b'%', saturate(pairs)),
        }
    }

    /// The beginning of a set of `len` elements, which follow.
    pub fn set(&mut self, len: usize) {
        self.aggregate(b'~', len);
    }

    /// The beginning of a message outside the order of replies (pub/sub), of `len` elements.
    pub fn push(&mut self, len: usize) {
        self.aggregate(b'>', len);
    }

    /// Puts the header of an array of `len` elements at `mark`, before those written since: for
    /// counts known only afterwards. Costs a move of what was written since.
    pub fn array_before(&mut self, mark: usize, len: usize) {
        let end = self.out.len();
        self.array(len);
        let header = self.out.len() - end;
        self.out[mark..].rotate_right(header);
    }

    /// A floating-point number, as Redis 7.2 writes it.
    pub fn double(&mut self, value: f64) {
        let text = number::format_f64(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.out.push(b',');
                self.line(text.as_bytes());
            }
        }
    }

    /// True or false; 1 or 0 in RESP2.
    pub fn bool(&mut self, value: bool) {
        match self.protocol {
            Protocol::Resp2 => self.int(i64::from(value)),
            Protocol::Resp3 => {
                self.out.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" });
            }
        }
    }

    /// Text for people, with a format of three letters (`txt`, `mkd`).
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', saturate(text.len() + 4));
                self.out.extend_from_slice(format.as_bytes());
                self.out.push(b':');
                self.line(text);
            }
        }
    }

    /// An integer of any size, in decimal digits.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits),
            Protocol::Resp3 => {
                self.out.push(b'(');
                self.line(digits);
            }
        }
    }

    /// Bytes that are a finished reply, or the rest of one. Many are not copied where little is
    /// before them: then their memory becomes the buffer.
    pub fn raw(&mut self, mut reply: Vec<u8>) {
        if reply.len() >= TAKEN_MIN && self.out.len() <= ROOM_BYTES {
            reply.splice(..0, self.out.drain(..));
            *self.out = reply;
        } else {
            self.out.extend_from_slice(&reply);
        }
    }

    /// The beginning of an array of `len` members of a sorted set.
    pub fn members(&mut self, shape: Shape, len: usize) {
        self.array(if shape == Shape::Flat { len * 2 } else { len });
    }

    /// One member of such an array.
    pub fn member(&mut self, shape: Shape, name: &[u8], score: f64) {
        if shape == Shape::Nested {
            self.array(2);
        }
        self.bulk(name);
        if shape != Shape::Names {
            self.double(score);
        }
    }

    fn aggregate(&mut self, resp3: u8, len: usize) {
        let kind = match self.protocol {
            Protocol::Resp2 => b'*',
            Protocol::Resp3 => resp3,
        };
        self.header(kind, saturate(len));
    }

    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        self.out.push(kind);
        number::push_i64(self.out, value);
        self.end();
    }

    #[inline]
    fn line(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.end();
    }

    #[inline]
    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Lengths above `i64::MAX` cannot be: no allocation is that large.
fn saturate(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Reply<'_>), resp2: &str, resp3: &str) {
        for (protocol, expect) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
            let mut out = Vec::new();
            write(&mut Reply::new(&mut out, protocol));
            assert_eq!(String::from_utf8_lossy(&out), expect, "{protocol:?}");
        }
    }

    fn same(write: impl Fn(&mut Reply<'_>), expect: &str) {
        check(write, expect, expect);
    }

    #[test]
    fn what_both_protocols_share() {
        same(|reply| reply.ok(), "+OK\r\n");
        same(|reply| reply.simple("PONG"), "+PONG\r\n");
        same(|reply| reply.error("ERR a\r\nb\n\r"), "-ERR a  b\r\n");
        same(|reply| reply.int(0), ":0\r\n");
        same(|reply| reply.int(1), ":1\r\n");
        same(|reply| reply.int(i64::MIN), ":-9223372036854775808\r\n");
        same(|reply| reply.bulk(b""), "$0\r\n\r\n");
        same(|reply| reply.bulk_int(-12), "$3\r\n-12\r\n");
        same(|reply| reply.array(3), "*3\r\n");
    }

    #[test]
    fn what_differs() {
        check(|reply| reply.null(), "$-1\r\n", "_\r\n");
        check(|reply| reply.null_array(), "*-1\r\n", "_\r\n");
        check(|reply| reply.map(2), "*4\r\n", "%2\r\n");
        check(|reply| reply.set(2), "*2\r\n", "~2\r\n");
        check(|reply| reply.push(3), "*3\r\n", ">3\r\n");
        check(|reply| reply.bool(true), ":1\r\n", "#t\r\n");
        check(|reply| reply.bool(false), ":0\r\n", "#f\r\n");
        check(|reply| reply.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
        check(|reply| reply.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
        check(|reply| reply.verbatim("txt", b"ab"), "$2\r\nab\r\n", "=6\r\ntxt:ab\r\n");
        check(|reply| reply.big_number(b"12"), "$2\r\n12\r\n", "(12\r\n");
    }

    #[test]
    fn a_reply_can_be_taken_back_and_counted_afterwards() {
        same(
            |reply| {
                reply.ok();
                let mark = reply.mark();
                reply.int(7);
                assert_eq!(reply.written_since(mark), 4);
                reply.rewind(mark);
                reply.int(8);
                reply.int(9);
                reply.array_before(mark, 2);
                reply.int(10);
            },
            "+OK\r\n*2\r\n:8\r\n:9\r\n:10\r\n",
        );
    }
}
