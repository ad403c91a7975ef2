//! The arithmetic of INCRBYFLOAT and HINCRBYFLOAT, which Redis does in x86's 80-bit long double.
//!
//! A [`LongDouble`] has a mantissa of 64 bits; text is read with strtold(3)'s grammar and rounded
//! to nearest, ties to even; sums are rounded the same way; it is written as `%.17Lf` without
//! trailing zeros. Results are byte for byte those of Redis on x86-64, on any machine. The module
//! knows nothing of commands or error texts. Other doubles than decimal ones go through
//! [`parse_f64`], which shares the grammar.

use num_bigint::BigUint;

/// Longest text taken for a number, in bytes, as in Redis.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;
/// Powers of ten beyond this cannot be in range, below its negative cannot be told from zero.
const EXPONENT10_MAX: i64 = 5_100;
/// Digits behind the point that are written.
const FRACTION_DIGITS: u32 = 17;

/// A number of x86's extended format: finite, or infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    /// `None` is infinity.
    magnitude: Option<Binary>,
}

/// `mantissa` × 2^`exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Binary {
    mantissa: u64,
    exponent: i32,
}

/// A binary floating-point format.
struct Format {
    bits: u32,
    exponent_min: i32,
    exponent_max: i32,
}

const EXTENDED: Format = Format { bits: 64, exponent_min: -16_445, exponent_max: 16_320 };
const DOUBLE: Format = Format { bits: 53, exponent_min: -1_074, exponent_max: 971 };

impl LongDouble {
    /// Reads what Redis takes for a long double: no spaces, no NaN, nothing too large for the
    /// format or so small that it would become 0. `inf` is a number.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, magnitude) = parse(text, &EXTENDED)?;
        Some(Self { negative, magnitude })
    }

    /// Whether it is not infinite.
    pub fn is_finite(self) -> bool {
        self.magnitude.is_some()
    }

    /// The sum; `None` where it is not a number, or infinite.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (mut a, mut b) = (self, other);
        let (mut x, mut y) = (a.magnitude?, b.magnitude?);
        if x.mantissa == 0 || (y.mantissa != 0 && x.exponent < y.exponent) {
            std::mem::swap(&mut a, &mut b);
            std::mem::swap(&mut x, &mut y);
        }
        if y.mantissa == 0 {
            return Some(a);
        }
        // 63 bits behind x's last one; what of y lies below them only decides ties.
        let shift = x.exponent.abs_diff(y.exponent);
        let high = u128::from(x.mantissa) << 63;
        let low = u128::from(y.mantissa) << 63;
        let aligned = low.checked_shr(shift).unwrap_or(0);
        let sticky = aligned.checked_shl(shift).unwrap_or(0) != low;
        let low = aligned | u128::from(sticky);
        let (negative, sum) = match (a.negative == b.negative, high >= low) {
            (true, _) => (a.negative, high + low),
            (false, true) => (a.negative, high - low),
            (false, false) => (b.negative, low - high),
        };
        let magnitude = round(sum, x.exponent - 63, false, &EXTENDED)?;
        Some(Self { negative: negative && sum != 0, magnitude: Some(magnitude) })
    }

    /// The decimal text: up to 17 digits behind the point, without trailing zeros.
    pub fn format(self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let Some(Binary { mantissa, exponent }) = self.magnitude else {
            return format!("{sign}inf");
        };
        let scaled = BigUint::from(mantissa) * BigUint::from(10u32).pow(FRACTION_DIGITS);
        let scaled = if exponent >= 0 {
            scaled << exponent
        } else {
            shift_right_rounding(&scaled, u64::from(exponent.unsigned_abs()))
        };
        let digits = format!("{scaled:0>width$}", width = FRACTION_DIGITS as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - FRACTION_DIGITS as usize);
        let fraction = fraction.trim_end_matches('0');
        match (whole, fraction) {
            ("0", "") => "0".into(),
            (_, "") => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{fraction}"),
        }
    }
}

/// Reads what Redis takes for a double: strtod(3)'s grammar (hexadecimal and `inf` included) but
/// no spaces, no NaN, nothing too large or so small that it would become 0.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let (negative, magnitude) = parse(text, &DOUBLE)?;
    let value = match magnitude {
        None => f64::INFINITY,
        Some(Binary { mantissa, exponent }) => {
            let hidden = 1u64 << 52;
            let biased = if mantissa < hidden { 0 } else { (exponent + 1_075) as u64 };
            f64::from_bits(biased << 52 | mantissa & (hidden - 1))
        }
    };
    Some(if negative { -value } else { value })
}

/// The sign, and the magnitude (`None`: infinity).
fn parse(text: &[u8], format: &Format) -> Option<(bool, Option<Binary>)> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
        return Some((negative, None));
    }
    let magnitude = match text {
        [b'0', b'x' | b'X', rest @ ..] => hexadecimal(Number::split(rest, 16)?, format),
        _ => decimal(Number::split(text, 10)?, format),
    };
    Some((negative, Some(magnitude?)))
}

/// A number's text in parts: `digits` × base^`-fraction_digits` × (10 or 2)^`exponent`.
struct Number {
    digits: Vec<u8>,
    fraction_digits: i64,
    exponent: i64,
}

impl Number {
    fn split(text: &[u8], base: u32) -> Option<Self> {
        let letter = if base == 16 { b'p' } else { b'e' };
        let end = text.iter().position(|byte| byte.to_ascii_lowercase() == letter);
        let (mantissa, exponent) = match end {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let point = mantissa.iter().position(|&byte| byte == b'.');
        let (whole, fraction) = match point {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        let digit = |&byte: &u8| char::from(byte).to_digit(base).map(|digit| digit as u8);
        let digits: Vec<u8> = whole.iter().chain(fraction).map(digit).collect::<Option<_>>()?;
        if digits.is_empty() {
            return None;
        }
        Some(Self { digits, fraction_digits: fraction.len() as i64, exponent })
    }
}

/// A signed decimal exponent; far beyond any format it stays where it is.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let push = |value: i64, byte: &u8| (value * 10 + i64::from(byte - b'0')).min(1_000_000);
    let value = digits.iter().fold(0, push);
    Some(if negative { -value } else { value })
}

fn decimal(number: Number, format: &Format) -> Option<Binary> {
    let digits = BigUint::from_radix_be(&number.digits, 10)?;
    let power = number.exponent - number.fraction_digits;
    if digits.bits() == 0 {
        return Some(Binary { mantissa: 0, exponent: format.exponent_min });
    }
    // The value is between 10^(magnitude - 1) and 10^magnitude.
    let significant = number.digits.iter().skip_while(|&&digit| digit == 0).count() as i64;
    if (significant + power).abs() > EXPONENT10_MAX {
        return None;
    }
    let scale = BigUint::from(10u32).pow(u32::try_from(power.unsigned_abs()).ok()?);
    if power >= 0 {
        return nonzero(round_big(&(digits * scale), 0, false, format)?);
    }
    // A quotient of 128 bits or more, and whether a remainder lies below it.
    let shift = (scale.bits() + 130).saturating_sub(digits.bits());
    let shifted = digits << shift;
    let quotient = &shifted / &scale;
    let sticky = &quotient * &scale != shifted;
    nonzero(round_big(&quotient, -i64::try_from(shift).ok()?, sticky, format)?)
}

fn hexadecimal(number: Number, format: &Format) -> Option<Binary> {
    let digits = BigUint::from_radix_be(&number.digits, 16)?;
    if digits.bits() == 0 {
        return Some(Binary { mantissa: 0, exponent: format.exponent_min });
    }
    nonzero(round_big(&digits, number.exponent - 4 * number.fraction_digits, false, format)?)
}

/// A number that became 0 only by rounding is out of range.
fn nonzero(binary: Binary) -> Option<Binary> {
    (binary.mantissa != 0).then_some(binary)
}

/// Rounds `value` × 2^`exponent`, a little more where `sticky`; `None` on overflow.
fn round_big(value: &BigUint, exponent: i64, sticky: bool, format: &Format) -> Option<Binary> {
    let excess = value.bits().saturating_sub(128);
    let top = value >> excess;
    let sticky = sticky || (excess > 0 && value.trailing_zeros().unwrap_or(0) < excess);
    let limbs = top.to_u64_digits();
    let limb = |index: usize| u128::from(limbs.get(index).copied().unwrap_or(0));
    let exponent = i32::try_from(exponent + i64::try_from(excess).ok()?).ok()?;
    round(limb(1) << 64 | limb(0), exponent, sticky, format)
}

/// Rounds to nearest, ties to even; `None` on overflow.
fn round(value: u128, exponent: i32, sticky: bool, format: &Format) -> Option<Binary> {
    if value == 0 {
        return Some(Binary { mantissa: 0, exponent: format.exponent_min });
    }
    // Left-aligned, so that `sticky` is below everything that is kept.
    let lead = value.leading_zeros() as i32;
    let (value, exponent) = (value << lead, exponent - lead);
    let drop_precision = 128 - format.bits as i32;
    let drop = drop_precision.max(format.exponent_min - exponent);
    let (mut kept, rest_is) = if drop > 128 {
        (0, std::cmp::Ordering::Less)
    } else {
        let kept = if drop == 128 { 0 } else { value >> drop };
        let rest = value << (128 - drop); // `drop` is at least 64.
        let half = 1u128 << 127;
        let order = rest.cmp(&half);
        (kept, if order.is_eq() && sticky { std::cmp::Ordering::Greater } else { order })
    };
    if rest_is.is_gt() || (rest_is.is_eq() && kept & 1 == 1) {
        kept += 1;
    }
    let mut exponent = exponent + drop;
    if kept >> format.bits != 0 {
        kept >>= 1;
        exponent += 1;
    }
    if exponent > format.exponent_max {
        return None;
    }
    Some(Binary { mantissa: u64::try_from(kept).ok()?, exponent })
}

/// `value` / 2^`shift`, rounded to nearest, ties to even.
fn shift_right_rounding(value: &BigUint, shift: u64) -> BigUint {
    let quotient = value >> shift;
    if shift == 0 || !value.bit(shift - 1) {
        return quotient;
    }
    let tie = value.trailing_zeros() == Some(shift - 1);
    if tie && !quotient.bit(0) { quotient } else { quotient + 1u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let number = |text: &str| LongDouble::parse(text.as_bytes());
        Some(number(a)?.checked_add(number(b)?)?.format())
    }

    /// Every row was put to a Redis 7.0.15 on x86-64.
    #[test]
    fn sums_are_those_of_incrbyfloat() {
        for (a, b, expect) in TABLE {
            assert_eq!(sum(a, b).as_deref(), *expect, "{a} + {b}");
        }
    }

    const TABLE: &[(&str, &str, Option<&str>)] = &[
        ("3.0e3", "200", Some("3200")),
        ("5.0e3", "5.0e3", Some("10000")),
        ("10.50", "0.1", Some("10.6")),
        ("0", "1e-17", Some("0.00000000000000001")),
        ("0", "5e-18", Some("0")),
        ("0", "4.9e-18", Some("0")),
        ("0", "1.5e-17", Some("0.00000000000000002")),
        ("0", "-0", Some("0")),
        ("1e19", "1e-19", Some("10000000000000000000")),
        ("1e30", "-1e30", Some("0")),
        ("1e4932", "1e4932", None),
        ("inf", "1", None),
        ("1", "-inf", None),
        ("nan", "1", None),
        ("1e5000", "0", None),
        ("1e-4950", "0", Some("0")),
        ("1e-4960", "0", None),
        ("0x1.8p-3", "0x10", Some("16.1875")),
        ("18446744073709551617", "0", Some("18446744073709551616")),
        ("36893488147419103233", "2", Some("36893488147419103232")),
        (" 1", "0", None),
        ("", "1", None),
        ("+5", ".5", Some("5.5")),
        ("4540290190.820878982543945312", "-461.88951", Some("4540289728.9313689824193716")),
        ("0.00001", "-456.84558", Some("-456.84556999999999999")),
        ("1e", "1 ", None),
        ("88.3497", "-3325821.9642156", Some("-3325733.61451560000000427")),
        ("0.2", "-475.62280", Some("-475.42279999999999998")),
        ("-759.13693", "-75.8646", Some("-835.00152999999999998")),
        ("-865.28085", "173.36021", Some("-691.92064000000000001")),
        ("234.87108", "1.5e-17", Some("234.87108000000000001")),
        (".5", "0.00000836748934971716177", Some("0.50000836748934972")),
        ("2.5e-17", "-16596198.708868458867073059082", Some("-16596198.70886845886707306")),
        ("-0.00", "477.46758", Some("477.46758")),
        ("-835.94244", " 1", None),
        ("-0.0000", "-inf", None),
        ("941033220522.05065918", "245.373761988977", Some("941033220767.42442119121551514")),
        ("", "-0.000", None),
        ("0", "49114318438.50845337", Some("49114318438.508453369140625")),
        ("-702.17214", "-804.75865", Some("-1506.93079000000000001")),
        ("-3066470213302101.500000000000", "51.73308", Some("-3066470213302049.766845703125")),
        ("-4804429493.2005910873413085938", "1e-19", Some("-4804429493.20059108734130859")),
        ("-4284611.92", "3.0e3", Some("-4281611.92000000000007276")),
        ("33933560359.80642318725586", "64.7602723611", Some("33933560424.56669554859399796")),
        ("0.00000000026148933417", "0x1p3", Some("8.00000000026148933")),
        ("-0", "0.000000000447836043308", Some("0.00000000044783604")),
        ("inf", "627567.6", None),
        ("0.00000", "-10859915239162.879", Some("-10859915239162.87899971008300781")),
    ];
}
