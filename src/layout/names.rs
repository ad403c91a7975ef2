//! Names: any bytes as a file name, and back.
//!
//! ```text
//! name      = "%"                        the empty name
//!           | 1*( itself | escape )      at most 255 bytes; the first byte is never "."
//!           | hashed                     of a longer name, or of one the file system refused
//! itself    = " " .. "~" but "/" and "%" | a character of RANGES in UTF-8
//! escape    = "%" 2( "0".."9" | "A".."F" )
//! hashed    = prefix "%~" 64( "0".."9" | "a".."f" )     SHA-256 of the full name
//! companion = hashed "%n"                a file; its content is the full name
//! marker    = "%!"                       in a directory where some name was refused
//! ```
//!
//! Example: `user:1` is `user:1`, `../x` is `%2E.%2Fx`, and `50%` is `50%25`. The full name is what
//! the name would be without a limit of its length. What can be written in two ways is written in
//! one: a byte that may stand for itself does, so that encoding is injective, and what is not the
//! encoding of its own decoding is a stranger. Pure functions: nothing here touches a disk, and
//! whether a short name has to be hashed is the writer's to find out.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Bytes in a file name, everywhere this server runs.
pub const NAME_BYTES_MAX: usize = 255;

/// The entry that says: in this directory some name was refused and lies there hashed.
pub const MARKER: &str = "%!";

/// What is appended to a hashed name for the file that holds the full name.
pub const COMPANION: &str = "%n";

/// At most this many bytes of a full name are kept to be read in a hashed one.
const PREFIX_BYTES_MAX: usize = 128;

const HASH_MARK: &[u8] = b"%~";
const HASH_DIGITS: usize = 64;

/// The characters beyond ASCII that stand for themselves: letters, digits and ideographs that
/// Unicode normalisation form C leaves alone. This list never changes, or names would.
pub const RANGES: &[(char, char)] = &[
    ('\u{00C0}', '\u{00D6}'), // Latin
    ('\u{00D8}', '\u{00F6}'),
    ('\u{00F8}', '\u{0148}'),
    ('\u{014A}', '\u{017E}'),
    ('\u{01A0}', '\u{01A1}'),
    ('\u{01AF}', '\u{01B0}'),
    ('\u{0218}', '\u{021B}'),
    ('\u{0386}', '\u{0386}'), // Greek
    ('\u{0388}', '\u{038A}'),
    ('\u{038C}', '\u{038C}'),
    ('\u{038E}', '\u{03A1}'),
    ('\u{03A3}', '\u{03CE}'),
    ('\u{0400}', '\u{0481}'), // Cyrillic
    ('\u{048A}', '\u{052F}'),
    ('\u{0531}', '\u{0556}'), // Armenian
    ('\u{0561}', '\u{0586}'),
    ('\u{05D0}', '\u{05EA}'), // Hebrew
    ('\u{0620}', '\u{063A}'), // Arabic
    ('\u{0641}', '\u{064A}'),
    ('\u{0660}', '\u{0669}'),
    ('\u{0679}', '\u{06D3}'),
    ('\u{06F0}', '\u{06F9}'),
    ('\u{10D0}', '\u{10FA}'), // Georgian
    ('\u{1E9E}', '\u{1E9E}'), // Latin: German, Vietnamese
    ('\u{1EA0}', '\u{1EF9}'),
    ('\u{3005}', '\u{3005}'), // Chinese, Japanese, Korean
    ('\u{3041}', '\u{3096}'),
    ('\u{30A1}', '\u{30FA}'),
    ('\u{30FC}', '\u{30FC}'),
    ('\u{3105}', '\u{312F}'),
    ('\u{3400}', '\u{4DBF}'),
    ('\u{4E00}', '\u{9FFF}'),
    ('\u{AC00}', '\u{D7A3}'),
    ('\u{20000}', '\u{2A6DF}'),
];

/// The file name of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    text: String,
    full: Option<String>,
}

impl Name {
    /// The file name, at most 255 bytes.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// For a hashed name: the full name, which its companion file holds.
    pub fn full(&self) -> Option<&str> {
        self.full.as_deref()
    }

    /// Whether the name is hashed.
    pub fn is_hashed(&self) -> bool {
        self.full.is_some()
    }

    /// The name to use where the file system refused this one.
    pub fn hashed(&self) -> Name {
        if self.full.is_some() { self.clone() } else { hash(self.text.clone()) }
    }
}

/// What an entry of a directory is, by its name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The bytes that a plain name stands for.
    Plain(Cow<'a, [u8]>),
    /// A hashed name; its companion tells the bytes.
    Hashed,
    /// The companion of a hashed name.
    Companion,
    /// The marker.
    Marker,
    /// Nothing of ours.
    Stranger,
}

/// The file name of `bytes`. One scan and one copy for short plain ASCII.
pub fn encode(bytes: &[u8]) -> Name {
    let full = encode_full(bytes);
    if full.len() <= NAME_BYTES_MAX { Name { text: full, full: None } } else { hash(full) }
}

/// The name of `bytes` without a limit of its length: what companion files hold.
pub fn encode_full(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "%".to_owned();
    }
    let plain = bytes.iter().position(|&byte| !stands(byte)).unwrap_or(bytes.len());
    let plain = if bytes[0] == b'.' { 0 } else { plain };
    let mut out = String::with_capacity(bytes.len());
    out.extend(bytes[..plain].iter().map(|&byte| char::from(byte)));
    if plain < bytes.len() {
        encode_rest(&bytes[plain..], plain == 0, &mut out);
    }
    out
}

/// The bytes of a plain name; none for anything else: hashed names, companions, the marker, and
/// strangers.
pub fn decode(name: &[u8]) -> Option<Cow<'_, [u8]>> {
    if name.len() <= NAME_BYTES_MAX { decode_full(name) } else { None }
}

/// The bytes of a full name of any length: the content of a companion file.
pub fn decode_full(name: &[u8]) -> Option<Cow<'_, [u8]>> {
    let first = *name.first()?;
    if first != b'.' && name.iter().all(|&byte| stands(byte)) {
        return Some(Cow::Borrowed(name));
    }
    if name == b"%" {
        return Some(Cow::Borrowed(b""));
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
        } else {
            bytes.push(hex_digit(*after.first()?)? << 4 | hex_digit(*after.get(1)?)?);
            rest = &after[2..];
        }
    }
    (encode_full(&bytes).as_bytes() == name).then_some(Cow::Owned(bytes))
}

/// What the entry `name` of a directory of names is.
pub fn classify(name: &[u8]) -> Entry<'_> {
    if let Some(bytes) = decode(name) {
        return Entry::Plain(bytes);
    }
    if name == MARKER.as_bytes() {
        return Entry::Marker;
    }
    if is_hashed(name) {
        return Entry::Hashed;
    }
    match name.strip_suffix(COMPANION.as_bytes()) {
        Some(hashed) if is_hashed(hashed) => Entry::Companion,
        _ => Entry::Stranger,
    }
}

/// The bytes that a hashed name stands for, given its companion's content; none where the two do
/// not belong together.
pub fn resolve<'a>(hashed: &[u8], companion: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let bytes = decode_full(companion)?;
    let full = String::from_utf8(companion.to_vec()).ok()?;
    (hash(full).text.as_bytes() == hashed).then_some(bytes)
}

/// Whether this ASCII byte stands for itself.
const fn stands(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'/' && byte != b'%'
}

/// Whether this character beyond ASCII stands for itself.
fn stands_wide(wide: char) -> bool {
    let after = RANGES.partition_point(|&(first, _)| first <= wide);
    after > 0 && wide <= RANGES[after - 1].1
}

/// Encodes bytes of which some are escaped; `first` where they begin the name.
fn encode_rest(bytes: &[u8], first: bool, out: &mut String) {
    let mut first = first;
    for chunk in bytes.utf8_chunks() {
        for one in chunk.valid().chars() {
            let itself = match u8::try_from(one) {
                Ok(byte) if byte.is_ascii() => stands(byte) && !(first && byte == b'.'),
                _ => stands_wide(one),
            };
            if itself {
                out.push(one);
            } else {
                escape(one.encode_utf8(&mut [0; 4]).as_bytes(), out);
            }
            first = false;
        }
        escape(chunk.invalid(), out);
        first = false;
    }
}

fn escape(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        out.push('%');
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// The value of an upper-case hexadecimal digit.
fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The hashed name of a full name.
fn hash(full: String) -> Name {
    use std::fmt::Write;

    let mut end = full.len().min(PREFIX_BYTES_MAX);
    while !full.is_char_boundary(end) {
        end -= 1;
    }
    // An escape is kept whole or not at all.
    if let Some(percent) =
        full.as_bytes()[end.saturating_sub(2)..end].iter().position(|&b| b == b'%')
        && full.len() > 1
    {
        end = end.saturating_sub(2) + percent;
    }
    let mut text = String::with_capacity(end + HASH_MARK.len() + HASH_DIGITS);
    text.push_str(&full[..end]);
    text.push_str("%~");
    for byte in Sha256::digest(full.as_bytes()) {
        let _ = write!(text, "{byte:02x}"); // Writing to a String cannot fail.
    }
    Name { text, full: Some(full) }
}

/// Whether `name` has the form of a hashed name.
fn is_hashed(name: &[u8]) -> bool {
    let Some(at) = name.len().checked_sub(HASH_MARK.len() + HASH_DIGITS) else { return false };
    at <= PREFIX_BYTES_MAX
        && name[at..].starts_with(HASH_MARK)
        && name[at + HASH_MARK.len()..].iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
