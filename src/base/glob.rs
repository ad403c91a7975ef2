//! Patterns that clients send (KEYS, SCAN, PSUBSCRIBE, CONFIG GET), with Redis' meaning.
//!
//! `*` any bytes, `?` one byte, `[abc]` `[a-z]` `[^a]` one byte of (or not of) a class, `\` before
//! a byte for that byte. A class without `]` ends with the pattern. Because all but `*` match
//! exactly one byte, only the last `*` ever needs another try, and long classes are read once: the
//! time is at most the product of both lengths, whatever the pattern. Knows bytes only, no UTF-8.

/// Whether letters that differ only in case (ASCII) are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They differ.
    Sensitive,
    /// They are the same.
    Ignored,
}

/// A pattern, and what its long classes admit.
pub struct Pattern<'a> {
    bytes: &'a [u8],
    case: Case,
    classes: Vec<Class>,
}

/// A class that is looked up and not read again for each byte.
struct Class {
    /// Where its `[` is.
    start: usize,
    /// Its length with its brackets.
    len: usize,
    /// Whether each byte matches.
    admits: Box<[bool; 256]>,
}

/// Classes longer than this are looked up.
const CLASS_BYTES_MAX: usize = 32;

impl<'a> Pattern<'a> {
    /// Reads a pattern once.
    pub fn new(bytes: &'a [u8], case: Case) -> Pattern<'a> {
        let mut classes = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            at += match bytes[at..] {
                [b'[', ref rest @ ..] => {
                    let len = 1 + class(rest, |_| {});
                    if len > CLASS_BYTES_MAX {
                        classes.push(Class { start: at, len, admits: admitted(rest, case) });
                    }
                    len
                }
                [b'\\', _, ..] => 2,
                _ => 1,
            };
        }
        Pattern { bytes, case, classes }
    }

    /// Whether all of `text` matches. As in Redis, the empty text matches only the empty pattern.
    pub fn matches(&self, text: &[u8]) -> bool {
        let pattern = self.bytes;
        if text.is_empty() {
            return pattern.is_empty();
        }
        let (mut p, mut t) = (0, 0);
        // Where to go on after a mismatch: behind the last `*`, which then takes one byte more.
        let mut retry: Option<(usize, usize)> = None;
        while t < text.len() {
            if pattern.get(p) == Some(&b'*') {
                p += 1;
                if p == pattern.len() {
                    return true;
                }
                retry = Some((p, t));
                continue;
            }
            if let Some((len, true)) = self.one(p, text[t]) {
                p += len;
                t += 1;
            } else if let Some((behind_star, taken)) = retry {
                p = behind_star;
                t = taken + 1;
                retry = Some((p, t));
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|&byte| byte == b'*')
    }

    /// Whether this name of a key or an element fits: `*` alone fits the empty one too.
    pub fn fits(&self, name: &[u8]) -> bool {
        self.bytes == b"*" || self.matches(name)
    }

    /// The length of the pattern's element at `at` (never `*`) and whether `byte` matches it;
    /// `None` at the end of the pattern.
    fn one(&self, at: usize, byte: u8) -> Option<(usize, bool)> {
        Some(match self.bytes[at..] {
            [] => return None,
            [b'?', ..] => (1, true),
            [b'[', ref rest @ ..] => {
                if let Ok(index) = self.classes.binary_search_by_key(&at, |class| class.start) {
                    let class = &self.classes[index];
                    return Some((class.len, class.admits[usize::from(byte)]));
                }
                let mut found = false;
                let len = class(rest, |item| found |= item.admits(byte, self.case));
                (len + 1, found != is_negated(rest))
            }
            [b'\\', literal, ..] => (2, same(literal, byte, self.case)),
            [literal, ..] => (1, same(literal, byte, self.case)),
        })
    }
}

/// Whether all of `text` matches `pattern`: for a pattern that is used once.
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    Pattern::new(pattern, case).matches(text)
}

/// A part of a class.
enum Item {
    /// This byte, whatever its case is, as in Redis.
    Escaped(u8),
    Literal(u8),
    Range(u8, u8),
}

impl Item {
    fn admits(&self, byte: u8, case: Case) -> bool {
        match *self {
            Item::Escaped(literal) => literal == byte,
            Item::Literal(literal) => same(literal, byte, case),
            Item::Range(low, high) => within(low, high, byte, case),
        }
    }
}

/// Whether what follows a `[` names the bytes that do not match.
fn is_negated(pattern: &[u8]) -> bool {
    pattern.first() == Some(&b'^')
}

/// Shows each part of what follows a `[`; answers the length, which includes the `]`.
fn class(pattern: &[u8], mut each: impl FnMut(Item)) -> usize {
    let mut at = usize::from(is_negated(pattern));
    loop {
        let (item, len) = match pattern[at..] {
            [] => return at,
            [b'\\', literal, ..] => (Item::Escaped(literal), 2),
            [b']', ..] => return at + 1,
            [low, b'-', high, ..] => (Item::Range(low, high), 3),
            [literal, ..] => (Item::Literal(literal), 1),
        };
        each(item);
        at += len;
    }
}

/// Which bytes match what follows a `[`.
fn admitted(pattern: &[u8], case: Case) -> Box<[bool; 256]> {
    let negated = is_negated(pattern);
    let mut admits = Box::new([negated; 256]);
    class(pattern, |item| match item {
        Item::Range(..) => {
            for byte in 0..=u8::MAX {
                if item.admits(byte, case) {
                    admits[usize::from(byte)] = !negated;
                }
            }
        }
        Item::Escaped(literal) | Item::Literal(literal) => {
            for byte in [literal, literal.to_ascii_lowercase(), literal.to_ascii_uppercase()] {
                if item.admits(byte, case) {
                    admits[usize::from(byte)] = !negated;
                }
            }
        }
    });
    admits
}

fn within(a: u8, b: u8, byte: u8, case: Case) -> bool {
    let (low, high) = (a.min(b), a.max(b));
    let (low, high) = (fold(low, case), fold(high, case));
    (low..=high).contains(&fold(byte, case))
}

fn same(a: u8, b: u8, case: Case) -> bool {
    fold(a, case) == fold(b, case)
}

fn fold(byte: u8, case: Case) -> u8 {
    match case {
        Case::Sensitive => byte,
        Case::Ignored => byte.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row was put to a Redis 7.0.15.
    #[test]
    fn patterns_mean_what_they_mean_in_redis() {
        for (pattern, text, expect) in [
            ("", "a", false),
            ("*", "a", true),
            ("**", "", false),
            ("a*", "a", true),
            ("a**", "a", true),
            ("*a*", "a", true),
            ("h?llo", "hello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("[^", "a", true),
            ("[a", "a", true),
            ("[a-", "-", true),
            ("[\\]]", "]", true),
            ("[a\\", "\\", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("a*b*c", "axxbxxbxxc", true),
            ("a*b*c", "axxbxxbxxd", false),
        ] {
            let got = matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive);
            assert_eq!(got, expect, "{pattern:?} on {text:?}");
            // The same with classes so long that they are looked up.
            let long = pattern.replace("[", &format!("[{}", "\u{1}".repeat(CLASS_BYTES_MAX)));
            if !pattern.contains("[^") {
                let got = matches(long.as_bytes(), text.as_bytes(), Case::Sensitive);
                assert_eq!(got, expect, "{long:?} on {text:?}");
            }
            let long = pattern.replace("[^", &format!("[^{}", "\u{1}".repeat(CLASS_BYTES_MAX)));
            let got = matches(long.as_bytes(), text.as_bytes(), Case::Sensitive);
            assert_eq!(got, expect, "{long:?} on {text:?}");
        }
        assert!(matches(b"M[A-C]x*", b"mBX", Case::Ignored));
        assert!(!matches(b"[\\A]", b"a", Case::Ignored));
    }

    #[test]
    fn many_stars_cost_a_product_not_a_power() {
        let pattern = b"a*".repeat(2_000);
        let text = [b"a".repeat(20_000), b"b".to_vec()].concat();
        assert!(matches(&pattern, &text, Case::Sensitive));
        let pattern = [pattern, b"c".to_vec()].concat();
        assert!(!matches(&pattern, &text, Case::Sensitive));
    }
}
