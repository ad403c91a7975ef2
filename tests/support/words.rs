//! Requests and contents as tests write them: words, quoted where they hold blanks or bytes.
//!
//! Knows the escapes of redis-cli (`\n`, `\r`, `\t`, `\\`, `\"`, `\xHH`) and how a request looks on
//! the wire. Knows no commands.

/// Splits a line into words as redis-cli does.
pub fn split(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start().as_bytes();
    while !rest.is_empty() {
        let (word, after) = match rest[0] {
            b'"' => quoted(&rest[1..]),
            b'\'' => literal(&rest[1..]),
            _ => {
                let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
                (rest[..end].to_vec(), &rest[end..])
            }
        };
        words.push(word);
        rest = after.trim_ascii_start();
    }
    words
}

/// A word in double quotes, from behind the first one on, and what follows it.
fn quoted(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut word = Vec::new();
    let mut at = 0;
    while text[at] != b'"' {
        let (byte, len) = match &text[at..] {
            [b'\\', b'x', high, low, ..] => (hex(*high) * 16 + hex(*low), 4),
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', byte, ..] => (*byte, 2),
            [byte, ..] => (*byte, 1),
            [] => unreachable!("indexed above"),
        };
        word.push(byte);
        at += len;
    }
    (word, &text[at + 1..])
}

fn literal(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let end = text.iter().position(|byte| *byte == b'\'').expect("a closing quote");
    (text[..end].to_vec(), &text[end + 1..])
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).expect("a hexadecimal digit") as u8
}

/// A request on the wire.
pub fn request<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Length of the first reply in `bytes`; `None` where it is not whole.
pub fn reply_len(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse::<i64>().ok();
    let nested = |count: i64| {
        let mut len = line;
        for _ in 0..count.max(0) {
            len += reply_len(bytes.get(len..)?)?;
        }
        Some(len)
    };
    match bytes[0] {
        b'$' | b'=' => match number()? {
            -1 => Some(line),
            len => Some(line + len as usize + 2).filter(|end| *end <= bytes.len()),
        },
        b'*' | b'~' | b'>' => nested(number()?),
        b'%' => nested(number()? * 2),
        _ => Some(line),
    }
}

/// The words of an array of bulk strings, as KEYS replies.
pub fn bulks(reply: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &reply[reply_line(reply)..];
    let mut words = Vec::new();
    while !rest.is_empty() {
        let start = reply_line(rest);
        let len = reply_len(rest).expect("a whole reply");
        words.push(rest[start..len - 2].to_vec());
        rest = &rest[len..];
    }
    words
}

fn reply_line(reply: &[u8]) -> usize {
    reply.windows(2).position(|pair| pair == b"\r\n").expect("a whole reply") + 2
}

/// Bytes for people.
pub fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
