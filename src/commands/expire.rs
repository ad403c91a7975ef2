//! Commands on deadlines: setting, reading and taking them away.

use super::{integer, is, quoting};
use crate::command::table::{FAST, KEY1, READ, WRITE, row};
use crate::command::{Command, Cx, Done, Error, Result, Stop, Use, Want, fail};

const SECONDS: &str = "key seconds [NX | XX | GT | LT]";
const MILLISECONDS: &str = "key milliseconds [NX | XX | GT | LT]";
const AT_SECONDS: &str = "key unix-time-seconds [NX | XX | GT | LT]";
const AT_MILLISECONDS: &str = "key unix-time-milliseconds [NX | XX | GT | LT]";
const VARIES: &[&str] = &["nondeterministic_output"];

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("expire", -3, KEY1, WRITE.and(FAST), expire, SECONDS)
        .doc("generic", "1.0.0", "Lets a key expire after some seconds.")
        .access(&["RW update"]),
    row("pexpire", -3, KEY1, WRITE.and(FAST), pexpire, MILLISECONDS)
        .doc("generic", "2.6.0", "Lets a key expire after some milliseconds.")
        .access(&["RW update"]),
    row("expireat", -3, KEY1, WRITE.and(FAST), expireat, AT_SECONDS)
        .doc("generic", "1.2.0", "Lets a key expire at a Unix time in seconds.")
        .access(&["RW update"]),
    row("pexpireat", -3, KEY1, WRITE.and(FAST), pexpireat, AT_MILLISECONDS)
        .doc("generic", "2.6.0", "Lets a key expire at a Unix time in milliseconds.")
        .access(&["RW update"]),
    row("ttl", 2, KEY1, READ.and(FAST), ttl, "key")
        .doc("generic", "1.0.0", "Replies with the seconds until a key expires.")
        .access(&["RO access"])
        .tips(VARIES),
    row("pttl", 2, KEY1, READ.and(FAST), pttl, "key")
        .doc("generic", "2.6.0", "Replies with the milliseconds until a key expires.")
        .access(&["RO access"])
        .tips(VARIES),
    row("expiretime", 2, KEY1, READ.and(FAST), expiretime, "key")
        .doc("generic", "7.0.0", "Replies with the Unix time in seconds at which a key expires.")
        .access(&["RO access"]),
    row("pexpiretime", 2, KEY1, READ.and(FAST), pexpiretime, "key")
        .doc("generic", "7.0.0", "Replies with the Unix time in ms at which a key expires.")
        .access(&["RO access"]),
    row("persist", 2, KEY1, WRITE.and(FAST), persist, "key")
        .doc("generic", "2.2.0", "Takes away the deadline of a key.")
        .access(&["RW update"]),
];

/// On which condition a deadline is set.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    /// NX: only where there is none.
    none: bool,
    /// XX: only where there is one.
    some: bool,
    /// GT: only where it is later.
    later: bool,
    /// LT: only where it is earlier; none is never.
    earlier: bool,
}

impl Conditions {
    fn parse<'a>(options: impl Iterator<Item = &'a [u8]>) -> Result<Conditions> {
        let mut conditions = Conditions::default();
        for option in options {
            let flag = match () {
                () if is(option, "nx") => &mut conditions.none,
                () if is(option, "xx") => &mut conditions.some,
                () if is(option, "gt") => &mut conditions.later,
                () if is(option, "lt") => &mut conditions.earlier,
                () => return quoting("ERR Unsupported option ", option, ""),
            };
            *flag = true;
        }
        let Conditions { none, some, later, earlier } = conditions;
        if none && (some || later || earlier) {
            return fail("ERR NX and XX, GT or LT options at the same time are not compatible");
        }
        if later && earlier {
            return fail("ERR GT and LT options at the same time are not compatible");
        }
        Ok(conditions)
    }

    fn allow(self, present: Option<u64>, new_ms: i64) -> bool {
        let present_ms = present.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        let refused = (self.none && present_ms.is_some())
            || (self.some && present_ms.is_none())
            || (self.later && present_ms.is_none_or(|ms| new_ms <= ms))
            || (self.earlier && present_ms.is_some_and(|ms| new_ms >= ms));
        !refused
    }
}

fn expire(cx: &mut Cx<'_, '_>) -> Result {
    let now_ms = cx.keys.now_ms;
    set_deadline(cx, "expire", 1000, now_ms)
}

fn pexpire(cx: &mut Cx<'_, '_>) -> Result {
    let now_ms = cx.keys.now_ms;
    set_deadline(cx, "pexpire", 1, now_ms)
}

fn expireat(cx: &mut Cx<'_, '_>) -> Result {
    set_deadline(cx, "expireat", 1000, 0)
}

fn pexpireat(cx: &mut Cx<'_, '_>) -> Result {
    set_deadline(cx, "pexpireat", 1, 0)
}

/// Replies whether the deadline was set; one in the past removes the key.
fn set_deadline(cx: &mut Cx<'_, '_>, name: &str, unit_ms: i64, base_ms: u64) -> Result {
    let conditions = Conditions::parse(cx.args.skip(3).iter())?;
    let time = integer(cx.args.get(2))?;
    let base_ms = i64::try_from(base_ms).unwrap_or(i64::MAX);
    let ms = time.checked_mul(unit_ms).and_then(|ms| ms.checked_add(base_ms));
    let Some(ms) = ms else {
        let text = format!("ERR invalid expire time in '{name}' command");
        return Err(Stop::Error(Error::new(text)));
    };
    let slot = cx.keys.open(cx.db, cx.args.get(1), Want::Meta)?;
    let there = cx.keys.kind(slot).is_some();
    if !there || !conditions.allow(cx.keys.deadline(slot), ms) {
        cx.reply.int(0);
        return Ok(Done);
    }
    match u64::try_from(ms) {
        Ok(ms) if ms > cx.keys.now_ms => cx.keys.set_deadline(slot, Some(ms)),
        _ => {
            cx.keys.remove(slot);
        }
    }
    cx.reply.int(1);
    Ok(Done)
}

/// Replies whether there was a deadline.
fn persist(cx: &mut Cx<'_, '_>) -> Result {
    let slot = cx.keys.open(cx.db, cx.args.get(1), Want::Meta)?;
    let had_one = cx.keys.deadline(slot).is_some();
    if had_one {
        cx.keys.set_deadline(slot, None);
    }
    cx.reply.int(i64::from(had_one));
    Ok(Done)
}

fn ttl(cx: &mut Cx<'_, '_>) -> Result {
    show_deadline(cx, |ms, now_ms| ms.saturating_sub(now_ms).saturating_add(500) / 1000)
}

fn pttl(cx: &mut Cx<'_, '_>) -> Result {
    show_deadline(cx, u64::saturating_sub)
}

fn expiretime(cx: &mut Cx<'_, '_>) -> Result {
    show_deadline(cx, |ms, _| ms.saturating_add(500) / 1000)
}

fn pexpiretime(cx: &mut Cx<'_, '_>) -> Result {
    show_deadline(cx, |ms, _| ms)
}

/// Replies with what `show` makes of the deadline and the present time: -1 where there is no
/// deadline, -2 where there is no key.
fn show_deadline(cx: &mut Cx<'_, '_>, show: impl FnOnce(u64, u64) -> u64) -> Result {
    let slot = cx.keys.open_as(cx.db, cx.args.get(1), Want::Meta, Use::Look)?;
    let shown = match (cx.keys.kind(slot), cx.keys.deadline(slot)) {
        (None, _) => -2,
        (Some(_), None) => -1,
        (Some(_), Some(ms)) => i64::try_from(show(ms, cx.keys.now_ms)).unwrap_or(i64::MAX),
    };
    cx.reply.int(shown);
    Ok(Done)
}
