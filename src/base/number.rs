//! Numbers as Redis reads and writes them: strict integers, doubles, and the decimal text of both.
//!
//! Everything works on bytes and allocates at most its result. Errors are `None`; the caller knows
//! which of Redis' texts to send. [`super::long_double`] has the arithmetic of INCRBYFLOAT.

use super::grisu;

/// A decimal integer as Redis' own conversion accepts it: an optional `-`, no `+`, no spaces, no
/// leading zero, no `-0`, and within `i64`.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: u64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit); // 19 digits stay below 2^64.
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// The same for `u64`, without a sign.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if text.len() <= 20 => {
            text.iter().try_fold(0u64, |value, byte| match byte {
                b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
                _ => None,
            })
        }
        _ => None,
    }
}

/// The decimal digits of an integer, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    bytes: [u8; 20],
    start: usize,
}

impl Digits {
    /// Writes `value` in decimal.
    #[inline]
    pub fn new(value: i64) -> Self {
        let mut digits = Self { bytes: [0; 20], start: 20 };
        let mut rest = value.unsigned_abs();
        loop {
            digits.put(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            digits.put(b'-');
        }
        digits
    }

    /// The digits, with `-` before them where the number is negative.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    #[inline]
    fn put(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }
}

/// Appends `value` in decimal.
#[inline]
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(Digits::new(value).as_bytes());
}

/// A double as Redis 7.2 writes it: integers up to 2^62 in full, others with the digits of
/// [`super::grisu`], in exponent form where that is shorter.
pub fn format_f64(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    if value.abs() <= (i64::MAX / 2) as f64 && value.trunc() == value {
        return (value as i64).to_string();
    }
    let (digits, power) = grisu::digits(value.abs());
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", layout_digits(&digits.to_string(), power))
}

/// Places the point in `digits`, of which the last is worth 10^`power`.
fn layout_digits(digits: &str, power: i32) -> String {
    let len = digits.len() as i32;
    let first = power + len - 1; // Power of ten of the first digit.
    if power >= 0 && first < len + 7 {
        return format!("{digits}{}", "0".repeat(power as usize));
    }
    if power < 0 && (power > -7 || first.abs() < 4) {
        return match first {
            0.. => {
                let (whole, fraction) = digits.split_at(first as usize + 1);
                format!("{whole}.{fraction}")
            }
            _ => format!("0.{}{digits}", "0".repeat((-first - 1) as usize)),
        };
    }
    let (leading, more) = digits.split_at(1);
    let point = if more.is_empty() { "" } else { "." };
    let sign = if first < 0 { '-' } else { '+' };
    format!("{leading}{point}{more}e{sign}{}", first.abs())
}

/// A double with 17 digits, as printf's `%.17g`: what ZSCAN shows of a large sorted set.
pub fn format_f64_digits17(value: f64) -> String {
    if value.is_infinite() || value == 0.0 {
        return format_f64(value);
    }
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..17).contains(&power) {
        return trim(&format!("{value:.*}", (16 - power) as usize));
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), power.abs())
}

/// A double as Redis accepts it: see [`super::long_double::parse_f64`].
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    // What needs no correct rounding by hand: up to 15 digits are exact.
    if let (1..=15, Some(value)) = (text.len(), parse_i64(text)) {
        return Some(value as f64);
    }
    super::long_double::parse_f64(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_strict() {
        for text in ["0", "1", "-1", "10", "9223372036854775807", "-9223372036854775808"] {
            let value = parse_i64(text.as_bytes()).unwrap();
            assert_eq!(Digits::new(value).as_bytes(), text.as_bytes());
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "-01",
            " 1",
            "1 ",
            "1a",
            "1.0",
            "00",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    #[test]
    fn doubles_are_written_as_in_redis_7_2() {
        for (value, expect) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (1e17, "100000000000000000"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (3.0000000000000004, "3.0000000000000004"),
            (1e20, "1e+20"),
            (1.5e300, "1.5e+300"),
            (1.2345e-7, "1.2345e-7"),
            (0.00001, "0.00001"),
            (1e-7, "1e-7"),
            (1e23, "99999999999999990000000"),
            (0.705711213826896, "0.7057112138268961"),
            (0.006303744674127421, "0.0063037446741274206"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(format_f64(value), expect);
        }
    }

    #[test]
    fn doubles_are_written_with_17_digits_as_by_printf() {
        for (value, expect) in [
            (0.0, "0"),
            (0.1, "0.10000000000000001"),
            (-3.2, "-3.2000000000000002"),
            (1.5, "1.5"),
            (100.0, "100"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (12345678901234567.0, "12345678901234568"),
            (0.0001, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (1e300, "1.0000000000000001e+300"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(format_f64_digits17(value), expect);
        }
    }

    #[test]
    fn doubles_are_read_as_strtod_does() {
        for (text, expect) in [
            ("1", 1.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("-0", -0.0),
            ("0x1p-2", 0.25),
            ("0xA.8", 10.5),
            ("-INF", f64::NEG_INFINITY),
            ("infinity", f64::INFINITY),
            ("0e99999999999", 0.0),
            ("5e-324", 5e-324),
            ("1.7976931348623157e308", f64::MAX),
            ("9007199254740993", 9007199254740992.0),
        ] {
            let got = parse_f64(text.as_bytes()).map(f64::to_bits);
            assert_eq!(got, Some(expect.to_bits()), "{text}");
        }
        for text in ["", " 1", "1 ", "1e", "e1", ".", "nan", "0x", "1e309", "1e-400", "1_0", "--1"]
        {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn written_doubles_read_back() {
        let mut rng = crate::base::rng::Rng::new(7);
        for _ in 0..20_000 {
            let value = f64::from_bits(rng.next_u64());
            if value.is_finite() {
                let text = format_f64(value);
                assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
                assert_eq!(text.parse(), Ok(value));
            }
        }
    }
}
