//! The rows of the command table and what derives from a row.

use super::{Args, Handler};
use std::ops::Range;

/// Flags of a command, as COMMAND INFO names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

/// Changes keys: waits while the backlog is full.
pub const WRITE: Flags = Flags(1);
/// Only reads keys.
pub const READ: Flags = Flags(1 << 1);
/// May need room on the disk: refused while it is full.
pub const DENYOOM: Flags = Flags(1 << 2);
/// For those who run the server.
pub const ADMIN: Flags = Flags(1 << 3);
/// Not in scripts.
pub const NOSCRIPT: Flags = Flags(1 << 4);
/// Answered while a script runs too long, or the data set is loading.
pub const LOADING: Flags = Flags(1 << 5);
/// As Redis' `stale`.
pub const STALE: Flags = Flags(1 << 6);
/// Constant or logarithmic time.
pub const FAST: Flags = Flags(1 << 7);
/// Answered before AUTH.
pub const NO_AUTH: Flags = Flags(1 << 8);
/// As Redis' `allow_busy`.
pub const ALLOW_BUSY: Flags = Flags(1 << 9);
/// Not inside MULTI.
pub const NO_MULTI: Flags = Flags(1 << 10);
/// As Redis' `skip_monitor`.
pub const SKIP_MONITOR: Flags = Flags(1 << 11);
/// As Redis' `skip_slowlog`.
pub const SKIP_SLOWLOG: Flags = Flags(1 << 12);
/// The positions of the keys depend on other arguments.
pub const MOVABLE: Flags = Flags(1 << 13);
/// As Redis' `no_async_loading`.
pub const NO_ASYNC_LOADING: Flags = Flags(1 << 15);
/// As Redis' `no_mandatory_keys`.
pub const NO_MANDATORY_KEYS: Flags = Flags(1 << 16);
/// Waits while CLIENT PAUSE stops writes, though it is not sure to write. COMMAND does not tell.
pub const MAY_REPLICATE: Flags = Flags(1 << 17);
/// Runs even while the backlog is full or the disk is: it frees room (DEL, SREM, FLUSHALL).
pub const FREES: Flags = Flags(1 << 14);

impl std::ops::BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl Flags {
    /// Both together, in a constant.
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of `other` is set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Where the keys of a command stand among its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySpec {
    /// It has none.
    None,
    /// From `first` to `last` (counted from the end where negative), every `step`-th.
    Range {
        /// Position of the first key; 0 is the command's name.
        first: i32,
        /// Position of the last key; -1 is the last argument.
        last: i32,
        /// Distance of keys.
        step: i32,
    },
    /// Behind their number, and some at the beginning: `destination numkeys key [key ...]`.
    Counted {
        /// How many keys there are from the first argument on, whatever the number says.
        before: i32,
        /// Position of the number, which the keys that it counts follow.
        count: i32,
    },
}

/// One key, the first argument.
pub const KEY1: KeySpec = KeySpec::Range { first: 1, last: 1, step: 1 };
/// Two keys, the first arguments.
pub const KEYS2: KeySpec = KeySpec::Range { first: 1, last: 2, step: 1 };
/// All arguments are keys.
pub const KEYS: KeySpec = KeySpec::Range { first: 1, last: -1, step: 1 };
/// Every other argument is a key: `key value [key value ...]`.
pub const PAIRS: KeySpec = KeySpec::Range { first: 1, last: -1, step: 2 };
/// The key is the argument behind a subcommand.
pub const KEY2: KeySpec = KeySpec::Range { first: 2, last: 2, step: 1 };
/// The number of keys, and the keys: `numkeys key [key ...]`.
pub const COUNTED: KeySpec = KeySpec::Counted { before: 0, count: 1 };
/// A key, and the number of the others: `destination numkeys key [key ...]`.
pub const COUNTED_FROM_2: KeySpec = KeySpec::Counted { before: 1, count: 2 };
/// Something, the number of keys, and the keys: `script numkeys key [key ...]`.
pub const COUNTED_AT_2: KeySpec = KeySpec::Counted { before: 0, count: 2 };
/// No key.
pub const NO_KEY: KeySpec = KeySpec::None;

/// One row of the table.
#[derive(Debug)]
pub struct Command {
    /// Lower-case name; of a subcommand only its own word.
    pub name: &'static str,
    /// Number of arguments with the name (and with the container's name); at least so many where
    /// negative.
    pub arity: i32,
    /// Where its keys stand.
    pub keys: KeySpec,
    /// What it is allowed and needs.
    pub flags: Flags,
    /// What it does.
    pub run: Handler,
    /// Its arguments, as documentation writes them.
    pub synopsis: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The version of Redis that had it first; `dredis` for our own.
    pub since: &'static str,
    /// Redis' group, which is also the ACL category: string, generic, connection, server ...
    pub group: &'static str,
    /// Subcommands of a container.
    pub subcommands: &'static [Command],
    /// ACL categories that follow from neither flags nor group, without `@`.
    pub categories: &'static [&'static str],
    /// What it does with its keys, one text for each key specification: words, as `RW access`,
    /// and behind `; ` a note.
    pub access: &'static [&'static str],
    /// Redis' command tips.
    pub tips: &'static [&'static str],
    /// Where Redis deprecates it: since which version, and what it names instead.
    pub deprecated: Option<(&'static str, &'static str)>,
}

/// A row; what documentation and COMMAND need beyond it is added by the methods of [`Command`].
pub const fn row(
    name: &'static str,
    arity: i32,
    keys: KeySpec,
    flags: Flags,
    run: Handler,
    synopsis: &'static str,
) -> Command {
    Command {
        name,
        arity,
        keys,
        flags,
        run,
        synopsis,
        summary: "",
        since: "",
        group: "",
        subcommands: &[],
        categories: &[],
        access: &[],
        tips: &[],
        deprecated: None,
    }
}

impl Command {
    /// With its group, the version that had it first, and a sentence.
    pub const fn doc(
        self,
        group: &'static str,
        since: &'static str,
        summary: &'static str,
    ) -> Command {
        Command { group, since, summary, ..self }
    }

    /// With what it does with its keys, for COMMAND.
    pub const fn access(self, access: &'static [&'static str]) -> Command {
        Command { access, ..self }
    }

    /// With ACL categories beside those of its flags and its group.
    pub const fn categories(self, categories: &'static [&'static str]) -> Command {
        Command { categories, ..self }
    }

    /// With tips, for COMMAND.
    pub const fn tips(self, tips: &'static [&'static str]) -> Command {
        Command { tips, ..self }
    }

    /// Deprecated by Redis since a version, with what it names instead.
    pub const fn deprecated(self, since: &'static str, replaced_by: &'static str) -> Command {
        Command { deprecated: Some((since, replaced_by)), ..self }
    }

    /// With subcommands.
    pub const fn with(self, subcommands: &'static [Command]) -> Command {
        Command { subcommands, ..self }
    }

    /// The subcommand with this name, in any case of letters.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Command> {
        let subcommands: &'static [Command] = self.subcommands;
        subcommands.iter().find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether `count` arguments, the name included, fit the arity.
    #[inline]
    pub fn takes(&self, count: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= arity } else { count == arity }
    }

    /// The keys that do not depend on other arguments: the first, the last and their distance, as
    /// [`KeySpec::Range`] has them; 0 where there are none.
    pub fn fixed_keys(&self) -> (i32, i32, i32) {
        match self.keys {
            KeySpec::None | KeySpec::Counted { before: 0, .. } => (0, 0, 0),
            KeySpec::Counted { before, .. } => (1, before, 1),
            KeySpec::Range { first, last, step } => (first, last, step),
        }
    }

    /// Positions of the keys among arguments; `None` where their number is not one of keys that
    /// are there.
    pub fn key_positions(&self, args: Args<'_>) -> Option<impl Iterator<Item = usize> + use<>> {
        let counted = match self.keys {
            KeySpec::Counted { count, .. } => counted_keys(args, count as usize)?,
            _ => 0..0,
        };
        let len = i32::try_from(args.len()).unwrap_or(i32::MAX);
        let (first, last, step) = self.fixed_keys();
        let last = if last < 0 { len + last } else { last.min(len - 1) };
        let fixed = (first.max(1)..=last).step_by(step.unsigned_abs().max(1) as usize);
        Some(fixed.map(|at| at as usize).chain(counted))
    }
}

/// Positions of the keys behind their number at `count`: at least one, and all of them there.
fn counted_keys(args: Args<'_>, count: usize) -> Option<Range<usize>> {
    let first = count + 1;
    let number = leading_number(args.try_get(count)?);
    (1..=args.len().saturating_sub(first)).contains(&number).then(|| first..first + number)
}

/// The number that a text begins with, as `atoi` reads it; 0 for a negative one.
fn leading_number(text: &[u8]) -> usize {
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix(b"+").unwrap_or(text).iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0, |number: usize, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Cx, Done, Result};
    use crate::resp::OwnedArgs;

    fn run(_: &mut Cx<'_, '_>) -> Result {
        Ok(Done)
    }

    #[test]
    fn keys_are_where_the_row_says() {
        let check = |keys, args: &str, expect: Option<&[usize]>| {
            let args: OwnedArgs = args.split(' ').map(str::as_bytes).collect();
            let command = row("test", -1, keys, READ, run, "");
            let found: Option<Vec<_>> = command.key_positions(args.args()).map(Iterator::collect);
            assert_eq!(found.as_deref(), expect, "{keys:?}, {args:?}", args = args.args());
        };
        check(NO_KEY, "ping a", Some(&[]));
        check(KEY1, "get a", Some(&[1]));
        check(KEYS2, "lcs a", Some(&[1]));
        check(KEYS, "del a b c", Some(&[1, 2, 3]));
        check(PAIRS, "mset a 1 b 2", Some(&[1, 3]));
        check(COUNTED, "zunion 2 a b withscores", Some(&[2, 3]));
        check(COUNTED, "zunion +1x a b", Some(&[2]));
        for number in ["0", "-1", "x", "", "3", "99999999999999999999"] {
            check(COUNTED, &format!("zunion {number} a b"), None);
        }
        check(COUNTED_FROM_2, "zunionstore d 2 a b c", Some(&[1, 3, 4]));
        check(COUNTED_FROM_2, "zunionstore d", None);
    }
}
