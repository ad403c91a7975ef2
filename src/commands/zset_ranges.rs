//! The commands that take a range of a sorted set: by rank, by score, or by the bytes of members.
//!
//! A [`Query`] is what a command asks for; what a range means is in [`crate::value::member_range`],
//! and where the members come from in [`super::ordered`].

use super::ordered::{Ordered, answered, ask, learn, members_of, pick, reply_bytes, reply_members};
use super::{integer, is};
use crate::base::bytes::Bytes;
use crate::base::score::Score;
use crate::command::table::{DENYOOM, FAST, Flags, KEY1, KEYS2, READ, WRITE, row};
use crate::command::{Args, Command, Cx, Done, Ranging, Result, SYNTAX, SlotId, Use, Want, fail};
use crate::resp::Shape;
use crate::value::order::Pair;
use crate::value::{Bound, Bounds, Count, MemberRange, Order, Ranked, Value, ZsetValue};

/// Redis' answer to a bound that is no score.
const NO_SCORE: &str = "ERR min or max is not a float";
/// Redis' answer to a bound that is none of members.
const NO_NAME: &str = "ERR min or max not valid string range item";
const LIMIT_BY_RANK: &str =
    "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
const SCORES_BY_NAME: &str = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";

const GROUP: &str = "sorted-set";
const READ_FAST: Flags = READ.and(FAST);
const RANKS: &str = "key start stop";
const BOUNDS: &str = "key min max";
const ZRANGE: &str = "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]";
const ZRANGESTORE: &str = "dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]";
const BY_LEX: &str = "key min max [LIMIT offset count]";
const REV_BY_LEX: &str = "key max min [LIMIT offset count]";
const BY_SCORE: &str = "key min max [WITHSCORES] [LIMIT offset count]";
const REV_BY_SCORE: &str = "key max min [WITHSCORES] [LIMIT offset count]";

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("zcount", 4, KEY1, READ_FAST, zcount, BOUNDS)
        .doc(GROUP, "2.0.0", "Counts the members with a score in a range.")
        .access(&["RO access"]),
    row("zlexcount", 4, KEY1, READ_FAST, zlexcount, BOUNDS)
        .doc(GROUP, "2.8.9", "Counts the members between two members.")
        .access(&["RO access"]),
    row("zrange", -4, KEY1, READ, zrange, ZRANGE)
        .doc(GROUP, "1.2.0", "Replies with the members in a range of ranks, scores or members.")
        .access(&["RO access"]),
    row("zrangebylex", -4, KEY1, READ, zrangebylex, BY_LEX)
        .doc(GROUP, "2.8.9", "Replies with the members between two members.")
        .access(&["RO access"])
        .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument"),
    row("zrangebyscore", -4, KEY1, READ, zrangebyscore, BY_SCORE)
        .doc(GROUP, "1.0.5", "Replies with the members with a score in a range.")
        .access(&["RO access"])
        .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument"),
    row("zrangestore", -5, KEYS2, WRITE.and(DENYOOM), zrangestore, ZRANGESTORE)
        .doc(GROUP, "6.2.0", "Stores the members in a range of a sorted set as another one.")
        .access(&["OW update", "RO access"]),
    row("zremrangebylex", 4, KEY1, WRITE, zremrangebylex, BOUNDS)
        .doc(GROUP, "2.8.9", "Removes the members between two members.")
        .access(&["RW delete"]),
    row("zremrangebyrank", 4, KEY1, WRITE, zremrangebyrank, RANKS)
        .doc(GROUP, "2.0.0", "Removes the members in a range of ranks.")
        .access(&["RW delete"]),
    row("zremrangebyscore", 4, KEY1, WRITE, zremrangebyscore, BOUNDS)
        .doc(GROUP, "1.2.0", "Removes the members with a score in a range.")
        .access(&["RW delete"]),
    row("zrevrange", -4, KEY1, READ, zrevrange, "key start stop [WITHSCORES]")
        .doc(GROUP, "1.2.0", "Replies with the members in a range of ranks from the highest down.")
        .access(&["RO access"])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` argument"),
    row("zrevrangebylex", -4, KEY1, READ, zrevrangebylex, REV_BY_LEX)
        .doc(GROUP, "2.8.9", "Replies with the members between two members, backwards.")
        .access(&["RO access"])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"),
    row("zrevrangebyscore", -4, KEY1, READ, zrevrangebyscore, REV_BY_SCORE)
        .doc(GROUP, "2.2.0", "Replies with the members with a score in a range, the highest first.")
        .access(&["RO access"])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments"),
];

/// Replies with the members in a range.
fn zrange(cx: &mut Cx<'_, '_>) -> Result {
    reply_range(cx, Form { by: None, reverse: None, stores: false })
}

/// Replies with the members of these ranks, counted from the highest score.
fn zrevrange(cx: &mut Cx<'_, '_>) -> Result {
    reply_range(cx, Form { by: Some(By::Rank), reverse: Some(true), stores: false })
}

/// Replies with the members whose score is in a range.
fn zrangebyscore(cx: &mut Cx<'_, '_>) -> Result {
    reply_range(cx, Form { by: Some(By::Score), reverse: Some(false), stores: false })
}

/// The same, the highest first.
fn zrevrangebyscore(cx: &mut Cx<'_, '_>) -> Result {
    reply_range(cx, Form { by: Some(By::Score), reverse: Some(true), stores: false })
}

/// Replies with the members between two members.
fn zrangebylex(cx: &mut Cx<'_, '_>) -> Result {
    reply_range(cx, Form { by: Some(By::Name), reverse: Some(false), stores: false })
}

/// The same, backwards.
fn zrevrangebylex(cx: &mut Cx<'_, '_>) -> Result {
    reply_range(cx, Form { by: Some(By::Name), reverse: Some(true), stores: false })
}

fn reply_range(cx: &mut Cx<'_, '_>, form: Form) -> Result {
    let args = cx.args;
    let key = args.get(1);
    let Query { range, with_scores } = Query::parse(args.skip(2), form)?;
    let shape = Shape::new(with_scores, cx.reply.protocol());
    if let Some((bulks, count)) = answered(cx, key)? {
        cx.reply.members(shape, count);
        cx.reply.raw(bulks);
        return Ok(Done);
    }
    let picked = match Ordered::open(cx, key, Use::Read)? {
        None => Some(Vec::new()),
        Some(Ordered::Cold) => None,
        Some(Ordered::Known(slot)) => {
            if let Some(order) = cx.keys.zset(slot)?.and_then(ZsetValue::order) {
                let ranks = range.ranks(order);
                cx.admit_reply(reply_bytes(range.walk(order, ranks.clone())))?;
                reply_members(&mut cx.reply, shape, ranks.len(), range.walk(order, ranks));
                return Ok(Done);
            }
            pick(cx, key, slot, &range)?
        }
    };
    let Some(pairs) = picked else {
        return ask(cx, key, Ranging::Show(range, shape, cx.reply.protocol()));
    };
    let members = || pairs.iter().map(|(score, member)| (*score, member));
    cx.admit_reply(reply_bytes(members()))?;
    reply_members(&mut cx.reply, shape, pairs.len(), members());
    Ok(Done)
}

/// Replies with the number of members stored.
fn zrangestore(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let form = Form { by: None, reverse: None, stores: true };
    let range = Query::parse(args.skip(3), form)?.range;
    let source = members_of(cx, args.get(2), &range, Use::Read);
    let target = cx.open(args.get(1), Want::Meta);
    let (source, target) = (source?, target?); // Both are read before the command runs again.
    let count = store(cx, target, source.map_or_else(Vec::new, |(_, pairs)| pairs))?;
    cx.reply.count(count);
    Ok(Done)
}

/// Makes a key a sorted set of these members, or absent where there are none; answers how many.
pub(super) fn store(cx: &mut Cx<'_, '_>, slot: SlotId, pairs: Vec<Pair>) -> Result<usize> {
    let mut zset = ZsetValue::unknown(Count::AtLeast(0));
    zset.complete(pairs.into_iter().map(|(score, member)| (member, score)));
    cx.store(slot, Value::Zset(Box::new(zset)))
}

/// Replies with the number of members whose score is in a range.
fn zcount(cx: &mut Cx<'_, '_>) -> Result {
    count(cx, By::Score)
}

/// Replies with the number of members between two members.
fn zlexcount(cx: &mut Cx<'_, '_>) -> Result {
    count(cx, By::Name)
}

fn count(cx: &mut Cx<'_, '_>, by: By) -> Result {
    let args = cx.args;
    let key = args.get(1);
    let range = MemberRange::within(bounds(by, args.get(2), args.get(3))?);
    let count = match answered(cx, key)? {
        Some((_, count)) => Some(count),
        None => match Ordered::open(cx, key, Use::Read)? {
            None => Some(0),
            Some(Ordered::Cold) => None,
            Some(Ordered::Known(slot)) => {
                let whole = |order: &Order| range.ranks(order).len();
                let part = |ranked: &Ranked, max: usize| {
                    range.find(ranked.histogram(), max).map(|found| found.map(|ranks| ranks.len()))
                };
                learn(cx, key, slot, whole, part)?
            }
        },
    };
    let Some(count) = count else { return ask(cx, key, Ranging::Count(range)) };
    cx.reply.count(count);
    Ok(Done)
}

/// Replies with the number of members that were removed.
fn zremrangebyrank(cx: &mut Cx<'_, '_>) -> Result {
    remove_range(cx, By::Rank)
}

/// Replies with the number of members that were removed.
fn zremrangebyscore(cx: &mut Cx<'_, '_>) -> Result {
    remove_range(cx, By::Score)
}

/// Replies with the number of members that were removed.
fn zremrangebylex(cx: &mut Cx<'_, '_>) -> Result {
    remove_range(cx, By::Name)
}

fn remove_range(cx: &mut Cx<'_, '_>, by: By) -> Result {
    let args = cx.args;
    let range = MemberRange::within(bounds(by, args.get(2), args.get(3))?);
    let members = members_of(cx, args.get(1), &range, Use::Change)?;
    let removed = members.map_or(0, |(slot, pairs)| cx.keys.zset_remove_all(slot, &pairs));
    cx.reply.count(removed);
    Ok(Done)
}

/// What a range is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Name,
}

/// What a command's name says already of its range.
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    stores: bool,
}

/// Which members a command asks for, and how.
struct Query {
    range: MemberRange,
    with_scores: bool,
}

impl Query {
    /// Reads two bounds and the options behind them.
    fn parse(args: Args<'_>, mut form: Form) -> Result<Query> {
        let (mut offset, mut limit, mut with_scores) = (0, -1, false);
        let mut options = args.skip(2).iter();
        while let Some(option) = options.next() {
            match () {
                () if is(option, "withscores") && !form.stores => with_scores = true,
                () if is(option, "limit") && options.len() >= 2 => {
                    offset = integer(options.next().unwrap_or_default())?;
                    limit = integer(options.next().unwrap_or_default())?;
                }
                () if is(option, "rev") && form.reverse.is_none() => form.reverse = Some(true),
                () if is(option, "bylex") && form.by.is_none() => form.by = Some(By::Name),
                () if is(option, "byscore") && form.by.is_none() => form.by = Some(By::Score),
                () => return fail(SYNTAX),
            }
        }
        let (by, reverse) = (form.by.unwrap_or(By::Rank), form.reverse.unwrap_or(false));
        match by {
            By::Rank if limit != -1 => return fail(LIMIT_BY_RANK),
            By::Rank => offset = 0, // `LIMIT offset -1` means nothing.
            By::Name if with_scores => return fail(SCORES_BY_NAME),
            _ => {}
        }
        let (mut min, mut max) = (args.get(0), args.get(1));
        if reverse && by != By::Rank {
            (min, max) = (max, min);
        }
        let bounds = bounds(by, min, max)?;
        Ok(Query { range: MemberRange { bounds, reverse, offset, limit }, with_scores })
    }
}

/// Reads the two ends of a range.
fn bounds(by: By, min: &[u8], max: &[u8]) -> Result<Bounds> {
    let bounds = match by {
        By::Rank => return Ok(Bounds::Ranks(integer(min)?, integer(max)?)),
        By::Score => score_bound(min).zip(score_bound(max)).map(|(a, b)| Bounds::Scores(a, b)),
        By::Name => name_bound(min).zip(name_bound(max)).map(|(a, b)| Bounds::Names(a, b)),
    };
    bounds.map_or_else(|| fail(if by == By::Score { NO_SCORE } else { NO_NAME }), Ok)
}

/// An end of a range of scores: a score, with `(` before it where it is not included.
fn score_bound(text: &[u8]) -> Option<Bound<Score>> {
    match text {
        [b'(', score @ ..] => loose_score(score).map(Bound::Excluded),
        score => loose_score(score).map(Bound::Included),
    }
}

/// A score as strtod(3) reads it, as far as Redis lets it: with spaces before it, nothing for 0,
/// and what is too large for infinity. A NUL ends it.
fn loose_score(text: &[u8]) -> Option<Score> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Score::new(0.0);
    }
    let is_space = |byte: &&u8| matches!(**byte, b' ' | b'\t'..=b'\r');
    let text = &text[text.iter().take_while(is_space).count()..];
    let beyond = || std::str::from_utf8(text).ok()?.parse().ok();
    Score::parse(text).or_else(|| beyond().and_then(Score::new))
}

/// An end of a range of members: `-`, `+`, or a member with `[` or `(` before it.
fn name_bound(text: &[u8]) -> Option<Bound<Bytes>> {
    match text {
        [b'-'] | [b'-', 0, ..] => Some(Bound::Lowest),
        [b'+'] | [b'+', 0, ..] => Some(Bound::Highest),
        [b'[', member @ ..] => Some(Bound::Included(member.into())),
        [b'(', member @ ..] => Some(Bound::Excluded(member.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Order;

    fn order(pairs: &[(f64, &str)]) -> Order {
        let pair = |(score, member): &(f64, &str)| {
            (Score::new(*score).unwrap(), Bytes::from(member.as_bytes()))
        };
        pairs.iter().map(pair).collect()
    }

    fn check(by: By, order: &Order, reverse: bool, min: &[u8], max: &[u8], expect: &str) {
        let bounds = bounds(by, min, max).unwrap();
        let range = MemberRange { reverse, ..MemberRange::within(bounds) };
        let ranks = range.ranks(order);
        let members = order.iter_from(ranks.start).take(ranks.len());
        let found: Vec<_> = members.map(|(_, member)| String::from_utf8_lossy(member)).collect();
        let text = format!("{} to {}", min.escape_ascii(), max.escape_ascii());
        assert_eq!(found.concat(), expect, "{by:?} {text} {reverse}");
    }

    #[test]
    fn ranges_are_those_of_redis() {
        let scores = order(&[(1.0, "a"), (2.0, "b"), (2.0, "c"), (3.5, "d"), (9.0, "e")]);
        for (min, max, expect) in [
            ("2", "3.5", "bcd"),
            ("(2", "3.5", "d"),
            ("(1", "(3.5", "bc"),
            ("-inf", "+inf", "abcde"),
            ("(-inf", "(inf", "abcde"),
            ("3", "2", ""),
            ("(2", "2", ""),
            ("", "1", "a"),
            (" 2", "1e999", "bcde"),
            ("9\0x", "inf", "e"),
        ] {
            check(By::Score, &scores, false, min.as_bytes(), max.as_bytes(), expect);
        }
        for (first, last, forth, back) in [
            ("0", "-1", "abcde", "abcde"),
            ("1", "2", "bc", "cd"),
            ("-2", "-1", "de", "ab"),
            ("-99", "0", "a", "e"),
            ("3", "1", "", ""),
            ("5", "9", "", ""),
            ("-9223372036854775808", "9223372036854775807", "abcde", "abcde"),
        ] {
            check(By::Rank, &scores, false, first.as_bytes(), last.as_bytes(), forth);
            check(By::Rank, &scores, true, first.as_bytes(), last.as_bytes(), back);
        }
        let names = order(&[(0.0, "a"), (0.0, "b"), (0.0, "c"), (0.0, "d")]);
        for (min, max, expect) in [
            ("-", "+", "abcd"),
            ("[b", "(d", "bc"),
            ("(b", "[d", "cd"),
            ("(", "[b", "ab"),
            ("+", "-", ""),
            ("-", "-", ""),
            ("[c", "[b", ""),
        ] {
            check(By::Name, &names, false, min.as_bytes(), max.as_bytes(), expect);
        }
    }

    #[test]
    fn ranges_of_members_with_different_scores_are_those_of_a_walk() {
        let order = order(&[(1.0, "b"), (2.0, "d"), (3.0, "a"), (4.0, "c")]);
        check(By::Name, &order, false, b"[b", b"+", "bdac");
        check(By::Name, &order, false, b"[c", b"+", "dac");
        check(By::Name, &order, false, b"-", b"[b", "b");
        check(By::Name, &order, true, b"-", b"[b", "bda");
        check(By::Name, &order, false, b"[d", b"+", "");
    }

    #[test]
    fn bounds_are_checked() {
        let refused = |by, min: &[u8]| bounds(by, min, min).is_err();
        for text in ["x", " ", "((1", "nan", "1 ", "(x"] {
            assert!(refused(By::Score, text.as_bytes()), "{text}");
        }
        for text in ["", "a", "-a", "++"] {
            assert!(refused(By::Name, text.as_bytes()), "{text}");
        }
        assert!(refused(By::Rank, b"1.5") && !refused(By::Name, b"-\0a"));
    }
}
