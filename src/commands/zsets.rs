//! The commands of sorted sets: members, their scores and ranks, and the lowest and highest.
//!
//! Ranges are in [`super::zset_ranges`], unions and their like in [`super::zset_algebra`]. Each
//! handler reads its arguments, opens its keys, and only then changes anything. Nothing here knows
//! how a sorted set is stored.

use super::ordered::{Ordered, answered, ask, learn, members_of, reply_bytes, reply_members};
use super::{is, quoting};
use crate::base::number::{parse_f64, parse_i64};
use crate::base::score::Score;
use crate::command::table::{
    COUNTED, DENYOOM, FAST, FREES, Flags, KEY1, MOVABLE, READ, WRITE, row,
};
use crate::command::{
    Args, Command, Cx, Done, Keyspace, NOT_A_FLOAT, Ranging, Result, SYNTAX, SlotId, Use, Want,
    fail,
};
use crate::resp::Shape;
use crate::value::order::Pair;
use crate::value::{MemberRange, Order, Value};
use smallvec::SmallVec;

/// Redis' answer to infinity less infinity.
const NOT_A_NUMBER: &str = "ERR resulting score is not a number (NaN)";
/// Redis' answers to options that exclude each other.
const NX_AND_XX: &str = "ERR XX and NX options at the same time are not compatible";
const GT_LT_NX: &str = "ERR GT, LT, and/or NX options at the same time are not compatible";
const INCR_OF_MANY: &str = "ERR INCR option supports a single increment-element pair";
/// Redis' answers to numbers that are too small.
const NEGATIVE: &str = "ERR value is out of range, must be positive";
const NO_KEYS: &str = "ERR numkeys should be greater than 0";
const NO_COUNT: &str = "ERR count should be greater than 0";

const GROUP: &str = "sorted-set";
const GROW_FAST: Flags = WRITE.and(DENYOOM).and(FAST);
const WRITE_FAST: Flags = WRITE.and(FAST);
const READ_FAST: Flags = READ.and(FAST);
const ZADD: &str = "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]";
const MEMBERS: &str = "key member [member ...]";
const ZMPOP: &str = "numkeys key [key ...] <MIN | MAX> [COUNT count]";
const RANK: &str = "key member [WITHSCORE]";

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("zadd", -4, KEY1, GROW_FAST, zadd, ZADD)
        .doc(GROUP, "1.2.0", "Adds members with scores, or changes the scores of members.")
        .access(&["RW update"]),
    row("zincrby", 4, KEY1, GROW_FAST, zincrby, "key increment member")
        .doc(GROUP, "1.2.0", "Adds a number to the score of a member.")
        .access(&["RW access update"]),
    row("zmpop", -4, COUNTED, WRITE.and(MOVABLE), zmpop, ZMPOP)
        .doc(GROUP, "7.0.0", "Removes members of an end of the first sorted set that is there.")
        .access(&["RW access delete"]),
    row("zmscore", -3, KEY1, READ_FAST, zmscore, MEMBERS)
        .doc(GROUP, "6.2.0", "Replies with the scores of several members.")
        .access(&["RO access"]),
    row("zpopmax", -2, KEY1, WRITE_FAST, zpopmax, "key [count]")
        .doc(GROUP, "5.0.0", "Removes the members with the highest scores and replies with them.")
        .access(&["RW access delete"]),
    row("zpopmin", -2, KEY1, WRITE_FAST, zpopmin, "key [count]")
        .doc(GROUP, "5.0.0", "Removes the members with the lowest scores and replies with them.")
        .access(&["RW access delete"]),
    row("zrank", -3, KEY1, READ_FAST, zrank, RANK)
        .doc(GROUP, "2.0.0", "Replies with the rank of a member, from the lowest score.")
        .access(&["RO access"]),
    row("zrem", -3, KEY1, WRITE_FAST.and(FREES), zrem, MEMBERS)
        .doc(GROUP, "1.2.0", "Removes members and replies with how many there were.")
        .access(&["RW delete"]),
    row("zrevrank", -3, KEY1, READ_FAST, zrevrank, RANK)
        .doc(GROUP, "2.0.0", "Replies with the rank of a member, from the highest score.")
        .access(&["RO access"]),
    row("zscore", 3, KEY1, READ_FAST, zscore, "key member")
        .doc(GROUP, "1.2.0", "Replies with the score of a member.")
        .access(&["RO access"]),
];

/// How many members a command names without needing memory for them.
const USUAL: usize = 8;

/// Members that a command names.
type Names<'a> = SmallVec<[&'a [u8]; USUAL]>;

/// Replies with the number of members that were added, with CH also of those that were changed;
/// with INCR, with the new score, or with nothing where a condition did not hold.
fn zadd(cx: &mut Cx<'_, '_>) -> Result {
    add(cx, Conditions::default())
}

/// Replies with the new score.
fn zincrby(cx: &mut Cx<'_, '_>) -> Result {
    add(cx, Conditions { incr: true, ..Conditions::default() })
}

/// The options of ZADD.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    ch: bool,
    incr: bool,
}

impl Conditions {
    /// Takes in an option; answers whether it is one.
    fn take(&mut self, option: &[u8]) -> bool {
        let options = [
            ("nx", &mut self.nx),
            ("xx", &mut self.xx),
            ("gt", &mut self.gt),
            ("lt", &mut self.lt),
            ("ch", &mut self.ch),
            ("incr", &mut self.incr),
        ];
        let known = options.into_iter().find(|(word, _)| is(option, word));
        known.map(|(_, flag)| *flag = true).is_some()
    }

    fn check(self, pairs: usize) -> Result<()> {
        match self {
            Conditions { nx: true, xx: true, .. } => fail(NX_AND_XX),
            Conditions { gt: true, nx: true, .. }
            | Conditions { lt: true, nx: true, .. }
            | Conditions { gt: true, lt: true, .. } => fail(GT_LT_NX),
            Conditions { incr: true, .. } if pairs > 1 => fail(INCR_OF_MANY),
            _ => Ok(()),
        }
    }

    /// Whether a member with this score, or none of this name, may be given a new score.
    fn admit(self, old: Option<Score>, new: Score) -> bool {
        match old {
            None => !self.xx,
            Some(old) => !(self.nx || self.gt && new <= old || self.lt && new >= old),
        }
    }

    /// Whether every score is taken as it is.
    fn admit_all(self) -> bool {
        !(self.nx || self.xx || self.gt || self.lt)
    }
}

fn add(cx: &mut Cx<'_, '_>, mut conditions: Conditions) -> Result {
    let args = cx.args;
    let options = args.skip(2).iter().take_while(|option| conditions.take(option)).count();
    let pairs = args.skip(2 + options);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return fail(SYNTAX);
    }
    conditions.check(pairs.len() / 2)?;
    let mut scores: SmallVec<[Score; USUAL]> = SmallVec::new();
    for text in pairs.iter().step_by(2) {
        scores.push(Score::parse(text).map_or_else(|| fail(NOT_A_FLOAT), Ok)?);
    }
    let names: Names<'_> = pairs.iter().skip(1).step_by(2).collect();
    let slot = cx.open(args.get(1), Want::Elements(&names))?;
    cx.keys.zset(slot)?;
    if conditions.incr {
        return increment(cx, slot, pairs, conditions);
    }

    let (mut added, mut changed) = (0, 0);
    for (name, score) in names.into_iter().zip(scores) {
        if !conditions.admit_all() && !conditions.admit(score_of(cx.keys, slot, name), score) {
            continue;
        }
        match cx.keys.zset_put(slot, name, score) {
            None => added += 1,
            Some(old) => changed += usize::from(old != score),
        }
    }
    cx.reply.count(if conditions.ch { added + changed } else { added });
    Ok(Done)
}

/// Adds to the score of a member, and replies with the sum.
fn increment(cx: &mut Cx<'_, '_>, slot: SlotId, pair: Args<'_>, conditions: Conditions) -> Result {
    let (by, member) = (parse_f64(pair.get(0)).unwrap_or_default(), pair.get(1));
    let old = score_of(cx.keys, slot, member);
    let sum = old.map_or(by, |old| old.get() + by); // Of -0 it is -0, which no score is.
    if sum.is_nan() && !conditions.nx {
        return fail(NOT_A_NUMBER);
    }
    match Score::new(sum).filter(|new| conditions.admit(old, *new)) {
        Some(new) => {
            cx.keys.zset_put(slot, member, new);
            cx.reply.double(sum);
        }
        None => cx.reply.null(),
    }
    Ok(Done)
}

/// The score of a member that was named when the key was opened.
fn score_of(keys: &Keyspace, slot: SlotId, member: &[u8]) -> Option<Score> {
    match keys.value(slot) {
        Some(Value::Zset(zset)) => zset.score(member),
        _ => None,
    }
}

/// Replies with the number of members that were removed.
fn zrem(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let names: Names<'_> = args.skip(2).iter().collect();
    let slot = cx.open(args.get(1), Want::Removal(&names))?;
    cx.keys.zset(slot)?;
    let removed = names.into_iter().filter(|name| cx.keys.zset_remove(slot, name).is_some());
    let removed = removed.count();
    cx.reply.count(removed);
    Ok(Done)
}

/// Replies with the score of a member, or with nothing.
fn zscore(cx: &mut Cx<'_, '_>) -> Result {
    let (key, member) = (cx.args.get(1), cx.args.get(2));
    let slot = cx.look(key, Want::Elements(&[member]))?;
    let score = cx.keys.zset(slot)?.and_then(|zset| zset.score(member));
    reply_score(cx, score);
    Ok(Done)
}

/// Replies with the score of each member, or with nothing for it.
fn zmscore(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let names: Names<'_> = args.skip(2).iter().collect();
    let slot = cx.look(args.get(1), Want::Elements(&names))?;
    cx.keys.zset(slot)?;
    cx.reply.array(names.len());
    for name in names {
        let score = score_of(cx.keys, slot, name);
        reply_score(cx, score);
    }
    Ok(Done)
}

fn reply_score(cx: &mut Cx<'_, '_>, score: Option<Score>) {
    match score {
        Some(score) => cx.reply.double(score.get()),
        None => cx.reply.null(),
    }
}

/// Replies with how many members have a lower rank, and with WITHSCORE also with the score; with
/// nothing where there is no such member.
fn zrank(cx: &mut Cx<'_, '_>) -> Result {
    rank(cx, false)
}

/// Replies with how many members have a higher rank, as ZRANK.
fn zrevrank(cx: &mut Cx<'_, '_>) -> Result {
    rank(cx, true)
}

fn rank(cx: &mut Cx<'_, '_>, reverse: bool) -> Result {
    let args = cx.args;
    let (member, with_score) = (args.get(2), args.len() > 3);
    if args.len() > 4 {
        let name = args.get(0).to_ascii_lowercase();
        return quoting("ERR wrong number of arguments for '", &name, "' command");
    }
    if with_score && !is(args.get(3), "withscore") {
        return fail(SYNTAX);
    }
    match find(cx, args.get(1), member, reverse)? {
        None if with_score => cx.reply.null_array(),
        None => cx.reply.null(),
        Some((rank, score)) => {
            if with_score {
                cx.reply.array(2);
            }
            cx.reply.count(rank);
            if with_score {
                cx.reply.double(score.get());
            }
        }
    }
    Ok(Done)
}

/// The rank of a member from one end, and its score.
fn find(
    cx: &mut Cx<'_, '_>,
    key: &[u8],
    member: &[u8],
    reverse: bool,
) -> Result<Option<(usize, Score)>> {
    let answer = answered(cx, key)?;
    let slot = cx.look(key, Want::Elements(&[member]))?;
    let Some(score) = cx.keys.zset(slot)?.and_then(|zset| zset.score(member)) else {
        return Ok(None);
    };
    if let Some((_, rank)) = answer {
        return Ok(Some((rank, score)));
    }
    let rank = match Ordered::open(cx, key, Use::Look)? {
        None => return Ok(None),
        Some(Ordered::Cold) => None,
        Some(Ordered::Known(slot)) => {
            let whole = |order: &Order| order.rank(score, member);
            learn(cx, key, slot, whole, |ranked, max| ranked.rank(score, member, max))?.flatten()
        }
    };
    let len = cx.keys.zset(slot)?.map_or(0, |zset| zset.count().at_least() as usize);
    let Some(rank) = rank else {
        return ask(cx, key, Ranging::Rank { score, member: member.into(), reverse });
    };
    Ok(Some((if reverse { len - 1 - rank } else { rank }, score)))
}

/// An end of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Lowest,
    Highest,
}

/// Replies with the members removed, the lowest first, and their scores.
fn zpopmin(cx: &mut Cx<'_, '_>) -> Result {
    pop(cx, End::Lowest)
}

/// Replies with the members removed, the highest first, and their scores.
fn zpopmax(cx: &mut Cx<'_, '_>) -> Result {
    pop(cx, End::Highest)
}

fn pop(cx: &mut Cx<'_, '_>, end: End) -> Result {
    let args = cx.args;
    let (count, shape) = match args.try_get(2) {
        _ if args.len() > 3 => return fail(SYNTAX),
        None => (1, Shape::Flat),
        Some(text) => (at_least(0, text, NEGATIVE)?, Shape::new(true, cx.reply.protocol())),
    };
    let range = MemberRange::end(end == End::Highest, count);
    let members = members_of(cx, args.get(1), &range, Use::Change)?;
    match members {
        None => cx.reply.array(0),
        Some((slot, pairs)) => pop_members(cx, slot, &pairs, shape)?,
    }
    Ok(Done)
}

/// Replies with these members, and removes them.
fn pop_members(cx: &mut Cx<'_, '_>, slot: SlotId, pairs: &[Pair], shape: Shape) -> Result<()> {
    let members = || pairs.iter().map(|(score, member)| (*score, member));
    cx.admit_reply(reply_bytes(members()))?;
    reply_members(&mut cx.reply, shape, pairs.len(), members());
    cx.keys.zset_remove_all(slot, pairs);
    Ok(())
}

/// Replies with the first key that is there and the members removed from it, or with nothing.
fn zmpop(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let keys_len = at_least(1, args.get(1), NO_KEYS)?;
    let mut options = args.skip(2).skip(keys_len).iter();
    let end = match options.next() {
        Some(word) if is(word, "min") => End::Lowest,
        Some(word) if is(word, "max") => End::Highest,
        _ => return fail(SYNTAX),
    };
    let mut count = None;
    while let Some(option) = options.next() {
        match options.next() {
            Some(text) if count.is_none() && is(option, "count") => {
                count = Some(at_least(1, text, NO_COUNT)?);
            }
            _ => return fail(SYNTAX),
        }
    }
    let keys = args.skip(2).iter().take(keys_len);
    let slots = cx.keys.open_all(cx.db, keys, Want::Meta, Use::Change)?;
    let present = slots.iter().position(|slot| cx.keys.kind(*slot).is_some());
    let Some(key) = present.map(|at| args.get(2 + at)) else {
        cx.reply.null_array();
        return Ok(Done);
    };
    let range = MemberRange::end(end == End::Highest, count.unwrap_or(1));
    if let Some((slot, pairs)) = members_of(cx, key, &range, Use::Change)? {
        cx.reply.array(2);
        cx.reply.bulk(key);
        pop_members(cx, slot, &pairs, Shape::Nested)?;
    }
    Ok(Done)
}

/// An argument as a number that is at least `min`; else the error `otherwise`.
fn at_least(min: usize, text: &[u8], otherwise: &'static str) -> Result<usize> {
    let number = parse_i64(text).and_then(|number| usize::try_from(number).ok());
    number.filter(|number| *number >= min).map_or_else(|| fail(otherwise), Ok)
}
