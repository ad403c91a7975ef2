//! The options that SET and GETEX share: conditions, GET, and how long the key is to live.
//!
//! Knows Redis' grammar of them and its two error texts; knows nothing of keys.

use crate::base::number::parse_i64;
use crate::command::{Args, Error, NOT_AN_INTEGER, Result, SYNTAX, fail};

/// Which of the two commands the options belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// SET: `[NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`.
    Set,
    /// GETEX: `[EX s | PX ms | EXAT s | PXAT ms | PERSIST]`.
    GetEx,
}

/// Which keys a SET applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// All.
    #[default]
    Always,
    /// NX: only absent ones.
    Absent,
    /// XX: only those that are there.
    Present,
}

/// How the time behind an option is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// EX: seconds from now.
    Seconds,
    /// PX: milliseconds from now.
    Milliseconds,
    /// EXAT: Unix time in seconds.
    UnixSeconds,
    /// PXAT: Unix time in milliseconds.
    UnixMilliseconds,
}

/// What an option says of the time to live, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ttl<'a> {
    Keep,
    Persist,
    Time(Unit, &'a [u8]),
}

/// What becomes of a key's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It stays as it is.
    Same,
    /// It goes.
    Forever,
    /// It becomes this Unix time in milliseconds.
    Until(u64),
}

/// The options of one call.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// NX and XX.
    pub condition: Condition,
    /// GET: the reply is the old value.
    pub get: bool,
    ttl: Option<Ttl<'a>>,
    of: Of,
}

impl<'a> Options<'a> {
    /// Reads all options, in any order. An option may be repeated; the last time counts.
    ///
    /// # Errors
    /// A syntax error for what is no option of the command, has no time behind it, or excludes
    /// one before it. The time itself is read by [`Options::lifetime`].
    pub fn parse(args: Args<'a>, of: Of) -> Result<Options<'a>> {
        let mut options = Options { condition: Condition::Always, get: false, ttl: None, of };
        let mut rest = args.iter();
        while let Some(word) = rest.next() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let set = of == Of::Set;
            match () {
                () if set && is("NX") => options.put_condition(Condition::Absent)?,
                () if set && is("XX") => options.put_condition(Condition::Present)?,
                () if set && is("GET") => options.get = true,
                () if set && is("KEEPTTL") => options.put_ttl(Ttl::Keep)?,
                () if !set && is("PERSIST") => options.put_ttl(Ttl::Persist)?,
                () => match (unit(word), rest.next()) {
                    (Some(unit), Some(time)) => options.put_ttl(Ttl::Time(unit, time))?,
                    _ => return fail(SYNTAX),
                },
            }
        }
        Ok(options)
    }

    fn put_condition(&mut self, condition: Condition) -> Result<()> {
        if self.condition != Condition::Always && self.condition != condition {
            return fail(SYNTAX);
        }
        self.condition = condition;
        Ok(())
    }

    fn put_ttl(&mut self, ttl: Ttl<'a>) -> Result<()> {
        let agrees = match (self.ttl, ttl) {
            (None, _) => true,
            (Some(Ttl::Time(before, _)), Ttl::Time(unit, _)) => before == unit,
            (Some(before), ttl) => before == ttl,
        };
        if !agrees {
            return fail(SYNTAX);
        }
        self.ttl = Some(ttl);
        Ok(())
    }

    /// What becomes of the deadline, with the clock at `now_ms`.
    ///
    /// # Errors
    /// As [`deadline`].
    pub fn lifetime(&self, now_ms: u64) -> Result<Lifetime> {
        let command = match self.of {
            Of::Set => "set",
            Of::GetEx => "getex",
        };
        Ok(match (self.ttl, self.of) {
            (Some(Ttl::Time(unit, time)), _) => {
                Lifetime::Until(deadline(time, unit, now_ms, command)?)
            }
            (Some(Ttl::Persist), _) | (None, Of::Set) => Lifetime::Forever,
            (Some(Ttl::Keep), _) | (None, Of::GetEx) => Lifetime::Same,
        })
    }
}

fn unit(word: &[u8]) -> Option<Unit> {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    match () {
        () if is("EX") => Some(Unit::Seconds),
        () if is("PX") => Some(Unit::Milliseconds),
        () if is("EXAT") => Some(Unit::UnixSeconds),
        () if is("PXAT") => Some(Unit::UnixMilliseconds),
        () => None,
    }
}

/// The Unix time in milliseconds that `time` means; it may have passed.
///
/// # Errors
/// What is no integer, and what is not above 0 or leaves `i64` in milliseconds: the text of the
/// latter names `command`.
pub fn deadline(time: &[u8], unit: Unit, now_ms: u64, command: &str) -> Result<u64> {
    let Some(time) = parse_i64(time) else { return fail(NOT_AN_INTEGER) };
    let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let ms = match unit {
        Unit::Seconds => time.checked_mul(1000).and_then(|ms| ms.checked_add(now_ms)),
        Unit::Milliseconds => time.checked_add(now_ms),
        Unit::UnixSeconds => time.checked_mul(1000),
        Unit::UnixMilliseconds => Some(time),
    };
    match ms.and_then(|ms| u64::try_from(ms).ok()) {
        Some(ms) if time > 0 => Ok(ms),
        _ => Err(Error::new(format!("ERR invalid expire time in '{command}' command")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Stop;
    use crate::resp::OwnedArgs;

    const NOW_MS: u64 = 1_700_000_000_000;

    /// The error's text, or the condition, GET and lifetime.
    fn check(of: Of, words: &str, expect: std::result::Result<(Condition, bool, Lifetime), &str>) {
        let owned: OwnedArgs = words.split_whitespace().collect();
        let options = Options::parse(owned.args(), of);
        let found = options.and_then(|o| Ok((o.condition, o.get, o.lifetime(NOW_MS)?)));
        let found = found.map_err(|stop| match stop {
            Stop::Error(error) => String::from_utf8_lossy(&error.0).into_owned(),
            other => panic!("options wait for nothing, and here for {other:?}"),
        });
        assert_eq!(found.as_ref().map_err(|text| text.as_str()), expect.as_ref().map_err(|t| *t));
    }

    #[test]
    fn options_come_in_any_order_and_case() {
        use Condition::{Absent, Always, Present};
        use Lifetime::{Forever, Same, Until};
        check(Of::Set, "", Ok((Always, false, Forever)));
        check(Of::Set, "nx GET keepttl", Ok((Absent, true, Same)));
        check(Of::Set, "eX 10 xX", Ok((Present, false, Until(NOW_MS + 10_000))));
        check(Of::Set, "PX 1 PX 20", Ok((Always, false, Until(NOW_MS + 20))));
        check(Of::Set, "EXAT 1", Ok((Always, false, Until(1_000))));
        check(Of::GetEx, "", Ok((Always, false, Same)));
        check(Of::GetEx, "persist PERSIST", Ok((Always, false, Forever)));
        check(Of::GetEx, "PXAT 7", Ok((Always, false, Until(7))));
    }

    #[test]
    fn what_excludes_another_is_a_syntax_error() {
        let wrong = ["NX XX", "EX", "EX 1 PX 1", "KEEPTTL EX 1", "EX 1 KEEPTTL", "PERSIST", "X"];
        for words in wrong {
            check(Of::Set, words, Err(SYNTAX));
        }
        for words in ["NX", "XX", "GET", "KEEPTTL", "PERSIST EX 1", "PX 1 PXAT 1", "EXAT"] {
            check(Of::GetEx, words, Err(SYNTAX));
        }
    }

    #[test]
    fn times_out_of_range_are_refused() {
        let set = "ERR invalid expire time in 'set' command";
        let most = i64::MAX;
        let wrong = ["EX 0", "EX -1", "PX 0", "EXAT 0", "PXAT -5", "EX 9223372036854775"];
        for words in wrong {
            check(Of::Set, words, Err(set));
        }
        check(Of::Set, &format!("PX {most}"), Err(set));
        check(Of::Set, &format!("EXAT {most}"), Err(set));
        let until = Lifetime::Until(most.unsigned_abs());
        check(Of::Set, &format!("PXAT {most}"), Ok((Condition::Always, false, until)));
        check(Of::Set, "EX 1.5", Err(NOT_AN_INTEGER));
        check(Of::GetEx, "EX 0", Err("ERR invalid expire time in 'getex' command"));
    }
}
