//! The score of a sorted set's member: a double with a total order, and its name in the tree.
//!
//! ```text
//! name    = [ "-" ] ( decimal | power | "inf" )
//! decimal = the fewest digits that read back the same     0, 1.5, 0.00001, 10000000000
//! power   = these with one of them before the point       1e+21, 2.5e-7
//! ```
//!
//! A power is written where the magnitude is below 1e-5 or from 1e21 on, else a decimal. One score
//! has one name; what people write by hand (`1.50`) is read all the same, see
//! [`Score::from_content`]. Replies show doubles in another way: [`super::number::format_f64`].

use super::number::parse_f64;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// Magnitudes below this, but for 0, have a power in their name.
const DECIMAL_MIN: f64 = 1e-5;
/// Magnitudes from this on have a power in their name.
const POWER_MIN: f64 = 1e21;

/// A double that is never NaN and never -0, so that equal ones have equal bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score(f64);

impl Score {
    /// Below every other score.
    pub const MIN: Score = Score(f64::NEG_INFINITY);
    /// Above every other score.
    pub const MAX: Score = Score(f64::INFINITY);

    /// The score of this value; -0 becomes 0, and NaN is none.
    #[inline]
    pub fn new(value: f64) -> Option<Score> {
        (!value.is_nan()).then_some(Score(value + 0.0)) // -0 + 0 is 0.
    }

    /// Its value.
    #[inline]
    pub fn get(self) -> f64 {
        self.0
    }

    /// What clients may send for a score: see [`parse_f64`].
    pub fn parse(text: &[u8]) -> Option<Score> {
        parse_f64(text).and_then(Score::new)
    }

    /// Its canonical name, as it stands in the tree.
    pub fn name(self) -> String {
        let magnitude = self.0.abs();
        let decimal = magnitude == 0.0 || (DECIMAL_MIN..POWER_MIN).contains(&magnitude);
        if decimal || magnitude.is_infinite() {
            return self.0.to_string();
        }
        let power = format!("{:e}", self.0);
        if magnitude < 1.0 { power } else { power.replace('e', "e+") }
    }

    /// Reads a name, be it canonical or another decimal of the same value.
    pub fn from_name(name: &[u8]) -> Option<Score> {
        let hexadecimal = name.iter().any(|byte| byte.eq_ignore_ascii_case(&b'x'));
        if hexadecimal { None } else { Score::parse(name) }
    }

    /// Reads what a member's file contains: a name, with one newline at its end tolerated.
    pub fn from_content(content: &[u8]) -> Option<Score> {
        Score::from_name(content.strip_suffix(b"\n").unwrap_or(content))
    }

    /// Whether `name` is the name that [`Score::name`] gives to its score.
    pub fn is_canonical(name: &[u8]) -> bool {
        Score::from_name(name).is_some_and(|score| score.name().as_bytes() == name)
    }
}

impl Eq for Score {}

impl Hash for Score {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl From<Score> for f64 {
    fn from(score: Score) -> f64 {
        score.0
    }
}

impl Ord for Score {
    #[inline]
    fn cmp(&self, other: &Score) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Score {
    #[inline]
    fn partial_cmp(&self, other: &Score) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn names_are_canonical() {
        for (value, expect) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.5, "1.5"),
            (100.0, "100"),
            (-1e17, "-100000000000000000"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-5, "0.00001"),
            (9.999e-6, "9.999e-6"),
            (-2.5e-7, "-2.5e-7"),
            (5e-324, "5e-324"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let score = Score::new(value).unwrap();
            assert_eq!(score.name(), expect);
            assert_eq!(Score::from_name(expect.as_bytes()), Some(score));
            assert!(Score::is_canonical(expect.as_bytes()), "{expect}");
        }
        assert_eq!(Score::new(f64::NAN), None);
    }

    #[test]
    fn other_decimals_are_read_but_not_canonical() {
        for (name, expect) in [
            ("1.50", 1.5),
            ("+1.5", 1.5),
            ("-0", 0.0),
            ("01", 1.0),
            ("1e2", 100.0),
            ("1e21", 1e21),
            ("0.000001", 1e-6),
            ("Infinity", f64::INFINITY),
        ] {
            assert_eq!(Score::from_name(name.as_bytes()), Score::new(expect), "{name}");
            assert!(!Score::is_canonical(name.as_bytes()), "{name}");
        }
        for name in ["", "1 ", " 1", "1\n", "nan", "0x10", "-0X1p2", "1e400", "one", "1,5"] {
            assert_eq!(Score::from_name(name.as_bytes()), None, "{name}");
            assert!(!Score::is_canonical(name.as_bytes()), "{name}");
        }
        assert_eq!(Score::from_content(b"2.5\n"), Score::new(2.5));
        assert_eq!(Score::from_content(b"2.5"), Score::new(2.5));
        assert_eq!(Score::from_content(b"2.5\n\n"), None);
        assert_eq!(Score::from_content(b"\n"), None);
    }

    #[test]
    fn clients_may_send_what_strtod_takes() {
        for (text, expect) in
            [("0x1p-2", 0.25), ("-INF", f64::NEG_INFINITY), ("+inf", f64::INFINITY), ("-0", 0.0)]
        {
            assert_eq!(Score::parse(text.as_bytes()), Score::new(expect), "{text}");
        }
        for text in ["", "nan", " 1", "1 ", "1e400", "x"] {
            assert_eq!(Score::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn scores_are_ordered_as_numbers_and_names_read_back() {
        let mut rng = Rng::new(3);
        let mut last = Score::MIN;
        for _ in 0..20_000 {
            let Some(score) = Score::new(f64::from_bits(rng.next_u64())) else { continue };
            assert_eq!(Some(score.cmp(&last)), score.get().partial_cmp(&last.get()));
            assert!(Score::MIN <= score && score <= Score::MAX);
            let name = score.name();
            assert!(name.len() <= 26, "{name}");
            assert_eq!(Score::from_name(name.as_bytes()), Some(score), "{name}");
            last = score;
        }
    }
}
