//! Patterns that clients send (KEYS, SCAN, PSUBSCRIBE, CONFIG GET), with Redis' meaning.
//!
//! `*` any bytes, `?` one byte, `[abc]` `[a-z]` `[^a]` one byte of (or not of) a class, `\` before
//! a byte for that byte. A class without `]` ends with the pattern. Because all but `*` match
//! exactly one byte, only the last `*` ever needs another try: the time is at most the product of
//! both lengths, with no memory, whatever the pattern. Knows bytes only, no UTF-8.

/// Whether letters that differ only in case (ASCII) are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They differ.
    Sensitive,
    /// They are the same.
    Ignored,
}

/// Whether all of `text` matches `pattern`. As in Redis, the empty text matches only the empty
/// pattern.
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
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
        if let Some((len, true)) = one(&pattern[p..], text[t], case) {
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

/// The length of the pattern's first element (never `*`) and whether `byte` matches it; `None` at
/// the end of the pattern.
fn one(pattern: &[u8], byte: u8, case: Case) -> Option<(usize, bool)> {
    Some(match pattern {
        [] => return None,
        [b'?', ..] => (1, true),
        [b'[', rest @ ..] => {
            let (len, matched) = class(rest, byte, case);
            (len + 1, matched)
        }
        [b'\\', literal, ..] => (2, same(*literal, byte, case)),
        [literal, ..] => (1, same(*literal, byte, case)),
    })
}

/// The same for what follows a `[`; the length includes the `]`.
fn class(pattern: &[u8], byte: u8, case: Case) -> (usize, bool) {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        at += match pattern[at..] {
            [] => break,
            [b'\\', literal, ..] => {
                found |= literal == byte; // Never regards case, as in Redis.
                2
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [low, b'-', high, ..] => {
                found |= within(low, high, byte, case);
                3
            }
            [literal, ..] => {
                found |= same(literal, byte, case);
                1
            }
        };
    }
    (at, found != negated)
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
