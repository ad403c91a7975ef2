//! Commands on the members of a sorted set whose order does not matter: ZCARD, ZRANDMEMBER, ZSCAN.

use super::collections::{Picks, parse_picks, pick, reply_count, reply_step};
use super::is;
use super::ordered::reply_members;
use crate::base::number::{format_f64, format_f64_digits17};
use crate::base::score::Score;
use crate::command::table::{FAST, KEY1, READ, row};
use crate::command::{Command, Cx, Done, Result, SYNTAX, Use, fail};
use crate::layout::op::Type;
use crate::resp::Shape;
use crate::value::ZsetValue;

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("zcard", 2, KEY1, READ.and(FAST), zcard, "key")
        .doc("sorted-set", "1.2.0", "Replies with the number of members.")
        .access(&["RO"]),
    row("zrandmember", -2, KEY1, READ, zrandmember, "key [count [WITHSCORES]]")
        .doc("sorted-set", "6.2.0", "Replies with members picked by chance.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output"]),
    row("zscan", -3, KEY1, READ, zscan, "key cursor [MATCH pattern] [COUNT count]")
        .doc("sorted-set", "2.8.0", "Lists members and scores in steps.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output"]),
];

fn zcard(cx: &mut Cx<'_, '_>) -> Result {
    reply_count(cx, Type::Zset)
}

/// Replies with names and scores, which are texts in both protocols here. Those of a sorted set
/// that Redis would keep in one piece are as short as in replies, others have 17 digits.
fn zscan(cx: &mut Cx<'_, '_>) -> Result {
    let slot = cx.meta(cx.args.get(1))?;
    let format = match cx.keys.encoding(slot) {
        "listpack" => format_f64,
        _ => format_f64_digits17,
    };
    reply_step(cx, Type::Zset, |reply, member, content| {
        reply.bulk(member);
        let score = Score::from_content(content).unwrap_or_default();
        reply.bulk(format(score.get()).as_bytes());
    })
}

/// Replies with one member, or with an array of them: different ones, or with a negative count each
/// from all.
fn zrandmember(cx: &mut Cx<'_, '_>) -> Result {
    let (key, args) = (cx.args.get(1), cx.args);
    if args.len() == 2 {
        let (_, picked) = pick(cx, key, Type::Zset, Picks::Distinct(1), Use::Read)?;
        cx.reply.bulk_or_null(picked.first().map(|member| member.as_slice()));
        return Ok(Done);
    }
    let with_scores = args.len() == 4 && is(args.get(3), "withscores");
    let picks = parse_picks(args.get(2), with_scores)?;
    if args.len() > 4 || (args.len() == 4 && !with_scores) {
        return fail(SYNTAX);
    }
    let (slot, picked) = pick(cx, key, Type::Zset, picks, Use::Read)?;
    let shape = Shape::new(with_scores, cx.reply.protocol());
    let (reply, len) = (&mut cx.reply, picked.len());
    let zset = cx.keys.zset(slot)?;
    match zset.and_then(ZsetValue::order) {
        // All of them are not shuffled by Redis.
        Some(order) if order.len() == len && matches!(picks, Picks::Distinct(_)) => {
            let members = order.iter().rev();
            reply_members(reply, shape, len, members);
        }
        _ => {
            let scored = picked.iter().map(|member| {
                let score = zset.and_then(|zset| zset.score(member)).unwrap_or_default();
                (score, member)
            });
            reply_members(reply, shape, len, scored);
        }
    }
    Ok(Done)
}
