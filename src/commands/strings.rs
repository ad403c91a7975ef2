//! The commands of strings.
//!
//! Each handler reads its arguments, opens its keys, and only then changes anything. The options
//! of SET and GETEX are read by [`super::set_options`], LCS is computed by [`super::lcs`]. Nothing
//! here knows how a string is stored.

use super::lcs;
use super::set_options::{Condition, Lifetime, Of, Options, Unit, deadline};
use crate::base::long_double::LongDouble;
use crate::base::number::{Digits, parse_i64};
use crate::command::table::{DENYOOM, FAST, Flags, KEY1, KEYS, KEYS2, PAIRS, READ, WRITE, row};
use crate::command::{
    Command, Content, Cx, Done, Keyspace, NOT_A_FLOAT, NOT_AN_INTEGER, OFFSET, Result, SYNTAX,
    SlotId, TOO_LONG, Use, Want, content, fail,
};
use crate::value::Form;
use std::ops::RangeInclusive;

/// Redis' answer to a sum that is no 64-bit integer.
const OVERFLOW: &str = "ERR increment or decrement would overflow";
/// Redis' answer to a decrement that has no negative.
const NO_NEGATIVE: &str = "ERR decrement would overflow";
/// Redis' answer to a sum that is no finite number.
const NOT_FINITE: &str = "ERR increment would produce NaN or Infinity";
/// Redis' answers to LCS.
const LCS_TYPE: &str = "ERR The specified keys must contain string values";
const LCS_BOTH: &str = "ERR If you want both the length and indexes, please just use IDX.";
const LCS_MEMORY: &str =
    "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";

const GROW: Flags = WRITE.and(DENYOOM);
const GROW_FAST: Flags = GROW.and(FAST);
const WRITE_FAST: Flags = WRITE.and(FAST);
const READ_FAST: Flags = READ.and(FAST);

const STRING: &str = "string";
const VALUE: &str = "key value";
const PAIR_LIST: &str = "key value [key value ...]";
const RANGE: &str = "key start end";
const SET: &str = "key value [NX | XX] [GET] [EX seconds | PX milliseconds | \
                   EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]";
const GETEX: &str = "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
                     PXAT unix-time-milliseconds | PERSIST]";
const LCS: &str = "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]";

/// Every command of strings.
pub const COMMANDS: &[Command] = &[
    row("append", 3, KEY1, GROW_FAST, append, VALUE)
        .doc(STRING, "2.0.0", "Adds bytes at the end of a string.")
        .access(&["RW insert"]),
    row("decr", 2, KEY1, GROW_FAST, decr, "key")
        .doc(STRING, "1.0.0", "Takes one from the integer at a key.")
        .access(&["RW access update"]),
    row("decrby", 3, KEY1, GROW_FAST, decrby, "key decrement")
        .doc(STRING, "1.0.0", "Takes a number from the integer at a key.")
        .access(&["RW access update"]),
    row("get", 2, KEY1, READ_FAST, get, "key")
        .doc(STRING, "1.0.0", "Replies with the string at a key.")
        .access(&["RO access"]),
    row("getdel", 2, KEY1, WRITE_FAST, getdel, "key")
        .doc(STRING, "6.2.0", "Replies with the string at a key and removes the key.")
        .access(&["RW access delete"]),
    row("getex", -2, KEY1, WRITE_FAST, getex, GETEX)
        .doc(STRING, "6.2.0", "Replies with the string and changes its time to live.")
        .access(&["RW access update; RW and UPDATE because it changes the TTL"]),
    row("getrange", 4, KEY1, READ, getrange, RANGE)
        .doc(STRING, "2.4.0", "Replies with a part of a string.")
        .access(&["RO access"]),
    row("getset", 3, KEY1, GROW_FAST, getset, VALUE)
        .doc(STRING, "1.0.0", "Sets a string and replies with the one before.")
        .access(&["RW access update"])
        .deprecated("6.2.0", "`SET` with the `!GET` argument"),
    row("incr", 2, KEY1, GROW_FAST, incr, "key")
        .doc(STRING, "1.0.0", "Adds one to the integer at a key.")
        .access(&["RW access update"]),
    row("incrby", 3, KEY1, GROW_FAST, incrby, "key increment")
        .doc(STRING, "1.0.0", "Adds a number to the integer at a key.")
        .access(&["RW access update"]),
    row("incrbyfloat", 3, KEY1, GROW_FAST, incrbyfloat, "key increment")
        .doc(STRING, "2.6.0", "Adds a number with a fraction to the number at a key.")
        .access(&["RW access update"]),
    row("lcs", -3, KEYS2, READ, lcs, LCS)
        .doc(STRING, "7.0.0", "Finds the longest common subsequence of two strings.")
        .access(&["RO access"]),
    row("mget", -2, KEYS, READ_FAST, mget, "key [key ...]")
        .doc(STRING, "1.0.0", "Replies with the strings at several keys.")
        .access(&["RO access"])
        .tips(&["request_policy:multi_shard"]),
    row("mset", -3, PAIRS, GROW, mset, PAIR_LIST)
        .doc(STRING, "1.0.1", "Sets several strings at once.")
        .access(&["OW update"])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]),
    row("msetnx", -3, PAIRS, GROW, msetnx, PAIR_LIST)
        .doc(STRING, "1.0.1", "Sets several strings where no key of them is there.")
        .access(&["OW insert"])
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"]),
    row("psetex", 4, KEY1, GROW, psetex, "key milliseconds value")
        .doc(STRING, "2.6.0", "Sets a string that expires after some milliseconds.")
        .access(&["OW update"])
        .deprecated("2.6.12", "`SET` with the `PX` argument"),
    row("set", -3, KEY1, GROW, set, SET)
        .doc(STRING, "1.0.0", "Sets a string; also on a condition, or for a time.")
        .access(&[
            "RW access update variable_flags; RW and ACCESS due to the optional `GET` argument",
        ]),
    row("setex", 4, KEY1, GROW, setex, "key seconds value")
        .doc(STRING, "2.0.0", "Sets a string that expires after some seconds.")
        .access(&["OW update"])
        .deprecated("2.6.12", "`SET` with the `EX` argument"),
    row("setnx", 3, KEY1, GROW_FAST, setnx, VALUE)
        .doc(STRING, "1.0.0", "Sets a string where the key is absent.")
        .access(&["OW insert"])
        .deprecated("2.6.12", "`SET` with the `NX` argument"),
    row("setrange", 4, KEY1, GROW, setrange, "key offset value")
        .doc(STRING, "2.2.0", "Overwrites a part of a string from an offset on.")
        .access(&["RW update"]),
    row("strlen", 2, KEY1, READ_FAST, strlen, "key")
        .doc(STRING, "2.2.0", "Replies with the length of a string in bytes.")
        .access(&["RO"]),
    row("substr", 4, KEY1, READ, getrange, RANGE)
        .doc(STRING, "1.0.0", "The old name of GETRANGE.")
        .access(&["RO access"])
        .deprecated("2.0.0", "`GETRANGE`"),
];

/// Replies with the string, or nothing.
fn get(cx: &mut Cx<'_, '_>) -> Result {
    let slot = cx.read(cx.args.get(1))?;
    let string = cx.keys.string(slot)?;
    cx.reply.bulk_or_null(bytes(string));
    Ok(Done)
}

/// Replies OK, or nothing where the condition did not hold; with GET, the string before.
fn set(cx: &mut Cx<'_, '_>) -> Result {
    let (key, value) = (cx.args.get(1), cx.args.get(2));
    let options = Options::parse(cx.args.skip(3), Of::Set)?;
    let lifetime = options.lifetime(cx.keys.now_ms)?;
    let slot = if options.get { cx.read(key)? } else { cx.meta(key)? };

    if options.get {
        let before = cx.keys.string(slot)?;
        cx.reply.bulk_or_null(bytes(before));
    }
    let present = cx.keys.kind(slot).is_some();
    let applies = match options.condition {
        Condition::Always => true,
        Condition::Absent => !present,
        Condition::Present => present,
    };
    if applies {
        store(cx.keys, slot, content(value), lifetime);
    }
    match (options.get, applies) {
        (true, _) => {}
        (false, true) => cx.reply.ok(),
        (false, false) => cx.reply.null(),
    }
    Ok(Done)
}

/// Replies whether the key was absent.
fn setnx(cx: &mut Cx<'_, '_>) -> Result {
    let slot = cx.meta(cx.args.get(1))?;
    let absent = cx.keys.kind(slot).is_none();
    if absent {
        cx.keys.set_string(slot, content(cx.args.get(2)));
    }
    cx.reply.int(i64::from(absent));
    Ok(Done)
}

/// Replies OK.
fn setex(cx: &mut Cx<'_, '_>) -> Result {
    set_for(cx, Unit::Seconds, "setex")
}

/// Replies OK.
fn psetex(cx: &mut Cx<'_, '_>) -> Result {
    set_for(cx, Unit::Milliseconds, "psetex")
}

fn set_for(cx: &mut Cx<'_, '_>, unit: Unit, command: &str) -> Result {
    let until = deadline(cx.args.get(2), unit, cx.keys.now_ms, command)?;
    let slot = cx.meta(cx.args.get(1))?;
    store(cx.keys, slot, content(cx.args.get(3)), Lifetime::Until(until));
    cx.reply.ok();
    Ok(Done)
}

/// Replies with the string before, or nothing.
fn getset(cx: &mut Cx<'_, '_>) -> Result {
    let slot = cx.read(cx.args.get(1))?;
    let before = cx.keys.string(slot)?;
    cx.reply.bulk_or_null(bytes(before));
    cx.keys.set_string(slot, content(cx.args.get(2)));
    Ok(Done)
}

/// Replies with the string, or nothing.
fn getdel(cx: &mut Cx<'_, '_>) -> Result {
    let slot = cx.read(cx.args.get(1))?;
    let before = cx.keys.string(slot)?;
    cx.reply.bulk_or_null(bytes(before));
    cx.keys.remove(slot);
    Ok(Done)
}

/// Replies with the string, or nothing. Of an absent key the time is not even looked at.
fn getex(cx: &mut Cx<'_, '_>) -> Result {
    let options = Options::parse(cx.args.skip(2), Of::GetEx)?;
    let slot = cx.read(cx.args.get(1))?;
    let Some(string) = cx.keys.string(slot)? else {
        cx.reply.null();
        return Ok(Done);
    };
    let lifetime = options.lifetime(cx.keys.now_ms)?;
    cx.reply.bulk(string);
    live(cx.keys, slot, lifetime);
    Ok(Done)
}

/// Replies with a string or nothing for each key; what is no string is nothing.
fn mget(cx: &mut Cx<'_, '_>) -> Result {
    let slots = cx.keys.open_all(cx.db, cx.args.skip(1).iter(), Want::Value, Use::Read)?;
    let lengths =
        slots.iter().map(|slot| cx.keys.string(*slot).ok().flatten().map_or(0, |s| s.len()));
    cx.admit_reply(lengths.sum())?;
    cx.reply.array(slots.len());
    for slot in slots {
        let string = cx.keys.string(slot).unwrap_or(None);
        cx.reply.bulk_or_null(bytes(string));
    }
    Ok(Done)
}

/// Replies OK.
fn mset(cx: &mut Cx<'_, '_>) -> Result {
    let slots = open_pairs(cx, "ERR wrong number of arguments for 'mset' command")?;
    set_pairs(cx, &slots);
    cx.reply.ok();
    Ok(Done)
}

/// Replies whether all keys were absent.
fn msetnx(cx: &mut Cx<'_, '_>) -> Result {
    let slots = open_pairs(cx, "ERR wrong number of arguments for 'msetnx' command")?;
    let absent = slots.iter().all(|slot| cx.keys.kind(*slot).is_none());
    if absent {
        set_pairs(cx, &slots);
    }
    cx.reply.int(i64::from(absent));
    Ok(Done)
}

/// The slots of the keys of MSET; an error where the last key has no value.
fn open_pairs(cx: &mut Cx<'_, '_>, odd: &'static str) -> Result<Vec<SlotId>> {
    if cx.args.len().is_multiple_of(2) {
        return fail(odd);
    }
    cx.keys.open_all(cx.db, cx.args.skip(1).iter().step_by(2), Want::Meta, Use::Change)
}

fn set_pairs(cx: &mut Cx<'_, '_>, slots: &[SlotId]) {
    for (slot, value) in slots.iter().zip(cx.args.skip(2).iter().step_by(2)) {
        cx.keys.set_string(*slot, content(value));
    }
}

/// Replies with the sum.
fn incr(cx: &mut Cx<'_, '_>) -> Result {
    add(cx, 1)
}

/// Replies with the difference.
fn decr(cx: &mut Cx<'_, '_>) -> Result {
    add(cx, -1)
}

/// Replies with the sum.
fn incrby(cx: &mut Cx<'_, '_>) -> Result {
    let by = integer(cx.args.get(2))?;
    add(cx, by)
}

/// Replies with the difference.
fn decrby(cx: &mut Cx<'_, '_>) -> Result {
    match integer(cx.args.get(2))?.checked_neg() {
        Some(by) => add(cx, by),
        None => fail(NO_NEGATIVE),
    }
}

fn add(cx: &mut Cx<'_, '_>, by: i64) -> Result {
    let slot = cx.value(cx.args.get(1))?;
    let before = cx.keys.string(slot)?.map_or(Ok(0), |string| integer(string))?;
    let Some(sum) = before.checked_add(by) else { return fail(OVERFLOW) };
    cx.keys.put_string(slot, content(Digits::new(sum).as_bytes()));
    cx.reply.int(sum);
    Ok(Done)
}

/// Replies with the sum as a string.
fn incrbyfloat(cx: &mut Cx<'_, '_>) -> Result {
    let slot = cx.value(cx.args.get(1))?;
    let before = cx.keys.string(slot)?.map_or(&b"0"[..], |string| string);
    let (Some(before), Some(by)) = (LongDouble::parse(before), LongDouble::parse(cx.args.get(2)))
    else {
        return fail(NOT_A_FLOAT);
    };
    let Some(sum) = before.checked_add(by) else { return fail(NOT_FINITE) };
    let text = sum.format().into_bytes();
    cx.reply.bulk(&text);
    cx.keys.put_string(slot, Content::from(text));
    cx.keys.keep_as(slot, Form::Text);
    Ok(Done)
}

/// Replies with the new length.
fn append(cx: &mut Cx<'_, '_>) -> Result {
    let data = cx.args.get(2);
    let slot = cx.value(cx.args.get(1))?;
    let before = cx.keys.string(slot)?.map(|string| string.len());
    if let Some(len) = before {
        check_len(cx, len as u64, data)?;
    }
    match before {
        Some(len) if !data.is_empty() => cx.keys.patch_string(slot, len as u64, content(data)),
        Some(_) => cx.keys.keep_as(slot, Form::Raw),
        None => cx.keys.put_string(slot, content(data)),
    }
    cx.reply.count(before.unwrap_or(0) + data.len());
    Ok(Done)
}

/// Replies with the length in bytes, 0 for an absent key.
fn strlen(cx: &mut Cx<'_, '_>) -> Result {
    let slot = cx.read(cx.args.get(1))?;
    let len = cx.keys.string(slot)?.map_or(0, |string| string.len());
    cx.reply.count(len);
    Ok(Done)
}

/// Replies with the new length. Nothing to write makes no key.
fn setrange(cx: &mut Cx<'_, '_>) -> Result {
    let data = cx.args.get(3);
    let Ok(offset) = u64::try_from(integer(cx.args.get(2))?) else { return fail(OFFSET) };
    let slot = cx.value(cx.args.get(1))?;
    let before = cx.keys.string(slot)?.map(|string| string.len());
    let len = before.unwrap_or(0);
    if data.is_empty() {
        cx.reply.count(len);
        return Ok(Done);
    }
    let end = check_len(cx, offset, data)?;
    if before.is_none() {
        // The patch fills it: so the journal has no zeros for a gap.
        cx.keys.put_string(slot, Content::default());
    }
    cx.keys.patch_string(slot, offset, content(data));
    cx.reply.count(len.max(end));
    Ok(Done)
}

/// Replies with the bytes from one position to another, both included.
fn getrange(cx: &mut Cx<'_, '_>) -> Result {
    let (start, end) = (integer(cx.args.get(2))?, integer(cx.args.get(3))?);
    let slot = cx.read(cx.args.get(1))?;
    let string = bytes(cx.keys.string(slot)?).unwrap_or_default();
    cx.reply.bulk(range(start, end, string.len()).map_or(&[][..], |range| &string[range]));
    Ok(Done)
}

/// What Redis takes for the positions of `len` bytes: negative ones count from the end.
fn range(start: i64, end: i64, len: usize) -> Option<RangeInclusive<usize>> {
    if start < 0 && end < 0 && start > end {
        return None; // Otherwise both could become 0.
    }
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let from_start = |position: i64| if position < 0 { (position + len).max(0) } else { position };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    (start <= end).then_some(start as usize..=end as usize)
}

/// Replies with the subsequence, with LEN its length, with IDX the stretches it is made of.
fn lcs(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let slots = cx.keys.open_all(cx.db, args.skip(1).iter().take(2), Want::Value, Use::Read)?;
    let (Ok(a), Ok(b)) = (cx.keys.string(slots[0]), cx.keys.string(slots[1])) else {
        return fail(LCS_TYPE);
    };
    let (a, b) = (bytes(a).unwrap_or_default(), bytes(b).unwrap_or_default());
    let options = LcsOptions::parse(&mut args.skip(3).iter())?;
    if !lcs::fits(a.len(), b.len(), cx.server.config.proto_max_bulk_len) {
        return fail(LCS_MEMORY);
    }

    if options.len {
        cx.reply.count(lcs::length(a, b));
        return Ok(Done);
    }
    let found = lcs::matches(a, b);
    if !options.idx {
        let parts: Vec<_> = found.iter().rev().map(|part| &a[part.a..part.a + part.len]).collect();
        cx.reply.bulk(&parts.concat());
        return Ok(Done);
    }
    let shown = || found.iter().filter(|part| part.len as u64 >= options.len_min);
    cx.reply.map(2);
    cx.reply.bulk(b"matches");
    cx.reply.array(shown().count());
    for part in shown() {
        cx.reply.array(if options.with_len { 3 } else { 2 });
        for start in [part.a, part.b] {
            cx.reply.array(2);
            cx.reply.count(start);
            cx.reply.count(start + part.len - 1);
        }
        if options.with_len {
            cx.reply.count(part.len);
        }
    }
    cx.reply.bulk(b"len");
    cx.reply.count(found.iter().map(|part| part.len).sum());
    Ok(Done)
}

#[derive(Default)]
struct LcsOptions {
    len: bool,
    idx: bool,
    with_len: bool,
    len_min: u64,
}

impl LcsOptions {
    fn parse(words: &mut dyn Iterator<Item = &[u8]>) -> Result<LcsOptions> {
        let mut options = LcsOptions::default();
        while let Some(word) = words.next() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            match () {
                () if is("LEN") => options.len = true,
                () if is("IDX") => options.idx = true,
                () if is("WITHMATCHLEN") => options.with_len = true,
                () if is("MINMATCHLEN") => {
                    let Some(len) = words.next() else { return fail(SYNTAX) };
                    options.len_min = u64::try_from(integer(len)?).unwrap_or(0);
                }
                () => return fail(SYNTAX),
            }
        }
        if options.len && options.idx { fail(LCS_BOTH) } else { Ok(options) }
    }
}

/// Makes the key this string, and lets it live as long as said: not at all where that has passed.
fn store(keys: &mut Keyspace, slot: SlotId, string: Content, lifetime: Lifetime) {
    match lifetime {
        Lifetime::Until(ms) if ms <= keys.now_ms => drop(keys.remove(slot)),
        Lifetime::Forever => keys.set_string(slot, string),
        Lifetime::Same | Lifetime::Until(_) => {
            let deadline = keys.deadline(slot);
            keys.put_string(slot, string); // In the place of a collection it has none.
            match lifetime {
                Lifetime::Same if deadline.is_some() && keys.deadline(slot).is_none() => {
                    keys.set_deadline(slot, deadline);
                }
                lifetime => live(keys, slot, lifetime),
            }
        }
    }
}

/// Changes when a key that is there expires; it goes at once where that has passed.
fn live(keys: &mut Keyspace, slot: SlotId, lifetime: Lifetime) {
    match lifetime {
        Lifetime::Same => {}
        Lifetime::Forever => keys.set_deadline(slot, None),
        Lifetime::Until(ms) if ms <= keys.now_ms => drop(keys.remove(slot)),
        Lifetime::Until(ms) => keys.set_deadline(slot, Some(ms)),
    }
}

/// Where `data` at `offset` of a string ends; an error where Redis allows no string that long.
fn check_len(cx: &Cx<'_, '_>, offset: u64, data: &[u8]) -> Result<usize> {
    let end = offset.saturating_add(data.len() as u64);
    match usize::try_from(end) {
        Ok(len) if end <= cx.server.config.proto_max_bulk_len => Ok(len),
        _ => fail(TOO_LONG),
    }
}

fn integer(text: &[u8]) -> Result<i64> {
    parse_i64(text).map_or_else(|| fail(NOT_AN_INTEGER), Ok)
}

fn bytes(string: Option<&Content>) -> Option<&[u8]> {
    string.map(|string| string.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_redis() {
        let check = |start, end, expect: &str| {
            let string = "Hello";
            let found = range(start, end, string.len()).map_or("", |range| &string[range]);
            assert_eq!(found, expect, "{start} to {end}");
        };
        check(0, -1, "Hello");
        check(1, 2, "el");
        check(-3, -2, "ll");
        check(-2, -3, "");
        check(3, 1, "");
        check(-99, 99, "Hello");
        check(-99, -98, "H");
        check(i64::MIN, i64::MAX, "Hello");
        check(5, 9, "");
        assert_eq!(range(0, -1, 0), None);
    }

    #[test]
    fn rows_are_sorted_and_documented() {
        assert!(COMMANDS.is_sorted_by_key(|command| command.name));
        assert!(COMMANDS.iter().all(|command| !command.summary.is_empty()));
    }
}
