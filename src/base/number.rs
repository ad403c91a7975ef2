//! Numbers as Redis reads and writes them: strict integers, doubles, and the decimal text of both.
//!
//! Everything works on bytes and allocates at most its result. Errors are `None`; the caller knows
//! which of Redis' texts to send. [`super::long_double`] has the arithmetic of INCRBYFLOAT.

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

/// A double as Redis 7.2 writes it: integers up to 2^62 in full, others with the fewest digits that
/// read back the same, in exponent form where that is shorter.
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
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", layout_digits(&digits, exponent))
}

/// Places the point in `digits`, of which the first is worth 10^`exponent`.
fn layout_digits(digits: &str, exponent: i32) -> String {
    let len = digits.len() as i32;
    let last = exponent + 1 - len; // Power of ten of the last digit.
    if last >= 0 && exponent.abs() < len + 7 {
        return format!("{digits}{}", "0".repeat(last as usize));
    }
    if last < 0 && (last > -7 || exponent.abs() < 4) {
        return match exponent {
            0.. => {
                let (whole, fraction) = digits.split_at(exponent as usize + 1);
                format!("{whole}.{fraction}")
            }
            _ => format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize)),
        };
    }
    let (first, more) = digits.split_at(1);
    let point = if more.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{more}e{sign}{}", exponent.abs())
}

/// A double as Redis accepts it: see [`super::long_double::parse_f64`].
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    // What needs no correct rounding by hand: up to 15 digits are exact.
    if let (1..=15, Some(value)) = (text.len(), parse_i64(text)) {
        return Some(value as f64);
    }
    super::long_double::parse_f64(text)
}
