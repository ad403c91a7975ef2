//! Commands on sets.

use super::collections::{
    Picks, admit_picks, parse_picks, pick, reply_all, reply_count, reply_step,
};
use super::{integer, is};
use crate::command::table::{COUNTED, DENYOOM, FAST, KEY1, KEYS, KEYS2, MOVABLE, READ, WRITE, row};
use crate::command::{Command, Cx, Done, Result, SYNTAX, SlotId, Use, Want, fail};
use crate::keyspace::Listed;
use crate::layout::op::Type;
use crate::value::{SetValue, Value};
use smallvec::SmallVec;

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("sadd", -3, KEY1, WRITE.and(DENYOOM).and(FAST), sadd, "key member [member ...]")
        .doc("set", "1.0.0", "Adds members.")
        .access(&["RW insert"]),
    row("scard", 2, KEY1, READ.and(FAST), scard, "key")
        .doc("set", "1.0.0", "Replies with the number of members.")
        .access(&["RO"]),
    row("sdiff", -2, KEYS, READ, sdiff, "key [key ...]")
        .doc("set", "1.0.0", "Replies with what the first set has and no other.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output_order"]),
    row("sdiffstore", -3, KEYS, WRITE.and(DENYOOM), sdiffstore, "destination key [key ...]")
        .doc("set", "1.0.0", "Stores what the first set has and no other.")
        .access(&["OW update", "RO access"]),
    row("sinter", -2, KEYS, READ, sinter, "key [key ...]")
        .doc("set", "1.0.0", "Replies with what all sets have.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output_order"]),
    row("sintercard", -3, COUNTED, INTERCARD, sintercard, "numkeys key [key ...] [LIMIT limit]")
        .doc("set", "7.0.0", "Replies with the number of members that all sets have.")
        .access(&["RO access"]),
    row("sinterstore", -3, KEYS, WRITE.and(DENYOOM), sinterstore, "destination key [key ...]")
        .doc("set", "1.0.0", "Stores what all sets have.")
        .access(&["RW update", "RO access"]),
    row("sismember", 3, KEY1, READ.and(FAST), sismember, "key member")
        .doc("set", "1.0.0", "Replies whether a set has a member.")
        .access(&["RO"]),
    row("smembers", 2, KEY1, READ, smembers, "key")
        .doc("set", "1.0.0", "Replies with all members.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output_order"]),
    row("smismember", -3, KEY1, READ.and(FAST), smismember, "key member [member ...]")
        .doc("set", "6.2.0", "Replies for each member whether a set has it.")
        .access(&["RO access"]),
    row("smove", 4, KEYS2, WRITE.and(FAST), smove, "source destination member")
        .doc("set", "1.0.0", "Moves a member from one set to another.")
        .access(&["RW access delete", "RW insert"]),
    row("spop", -2, KEY1, WRITE.and(FAST), spop, "key [count]")
        .doc("set", "1.0.0", "Removes members picked by chance and replies with them.")
        .access(&["RW access delete"])
        .tips(&["nondeterministic_output"]),
    row("srandmember", -2, KEY1, READ, srandmember, "key [count]")
        .doc("set", "1.0.0", "Replies with members picked by chance.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output"]),
    row("srem", -3, KEY1, WRITE.and(FAST), srem, "key member [member ...]")
        .doc("set", "1.0.0", "Removes members, and with the last one the set.")
        .access(&["RW delete"]),
    row("sscan", -3, KEY1, READ, sscan, "key cursor [MATCH pattern] [COUNT count]")
        .doc("set", "2.8.0", "Lists members in steps.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output"]),
    row("sunion", -2, KEYS, READ, sunion, "key [key ...]")
        .doc("set", "1.0.0", "Replies with what any of the sets has.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output_order"]),
    row("sunionstore", -3, KEYS, WRITE.and(DENYOOM), sunionstore, "destination key [key ...]")
        .doc("set", "1.0.0", "Stores what any of the sets has.")
        .access(&["OW update", "RO access"]),
];

const INTERCARD: crate::command::table::Flags = READ.and(MOVABLE);

/// Names of members, the usual few without an allocation.
type Members<'a> = SmallVec<[&'a [u8]; 8]>;

/// Replies with the number of members that are new.
fn sadd(cx: &mut Cx<'_, '_>) -> Result {
    let members: Members<'_> = cx.args.skip(2).iter().collect();
    let slot = cx.open(cx.args.get(1), Want::Elements(&members))?;
    cx.keys.set(slot)?;
    let added = members.iter().filter(|member| cx.keys.set_add(slot, member)).count();
    cx.reply.count(added);
    Ok(Done)
}

/// Replies with the number of members that were there.
fn srem(cx: &mut Cx<'_, '_>) -> Result {
    let members: Members<'_> = cx.args.skip(2).iter().collect();
    let slot = cx.open(cx.args.get(1), Want::Removal(&members))?;
    cx.keys.set(slot)?;
    let removed = members.iter().filter(|member| cx.keys.set_remove(slot, member)).count();
    cx.reply.count(removed);
    Ok(Done)
}

fn sismember(cx: &mut Cx<'_, '_>) -> Result {
    let member = cx.args.get(2);
    let slot = cx.look(cx.args.get(1), Want::Elements(&[member]))?;
    let there = cx.keys.set(slot)?.is_some_and(|set| set.contains(member));
    cx.reply.int(i64::from(there));
    Ok(Done)
}

fn smismember(cx: &mut Cx<'_, '_>) -> Result {
    let members: Members<'_> = cx.args.skip(2).iter().collect();
    let slot = cx.look(cx.args.get(1), Want::Elements(&members))?;
    let set = cx.keys.set(slot)?;
    cx.reply.array(members.len());
    for member in members {
        cx.reply.int(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(Done)
}

fn scard(cx: &mut Cx<'_, '_>) -> Result {
    reply_count(cx, Type::Set)
}

fn smembers(cx: &mut Cx<'_, '_>) -> Result {
    reply_all(cx, Type::Set, Listed::Names, |reply, count| reply.set(count))
}

fn sscan(cx: &mut Cx<'_, '_>) -> Result {
    reply_step(cx, Type::Set, |reply, member, _| reply.bulk(member))
}

/// Replies whether the source had the member.
fn smove(cx: &mut Cx<'_, '_>) -> Result {
    let (source, target, member) = (cx.args.get(1), cx.args.get(2), cx.args.get(3));
    let from = cx.open(source, Want::Removal(&[member]));
    let to = cx.open(target, Want::Elements(&[member]));
    let (from, to) = (from?, to?); // Both are read before the command runs again.
    if cx.keys.kind(from).is_none() {
        cx.reply.int(0);
        return Ok(Done);
    }
    let there = cx.keys.set(from)?.is_some_and(|set| set.contains(member));
    cx.keys.set(to)?;
    if there && from != to {
        cx.keys.set_remove(from, member);
        cx.keys.set_add(to, member);
    }
    cx.reply.int(i64::from(there));
    Ok(Done)
}

/// Replies with one member, or with a count with as many different ones, which are gone then.
fn spop(cx: &mut Cx<'_, '_>) -> Result {
    let (key, args) = (cx.args.get(1), cx.args);
    if args.len() > 3 {
        return fail(SYNTAX);
    }
    let mut count = 1;
    if args.len() == 3 {
        let Ok(wanted) = usize::try_from(integer_in_range(args.get(2))?) else {
            return fail("ERR value is out of range, must be positive");
        };
        count = wanted;
    }
    if count == 0 {
        let slot = cx.open(key, Want::Meta)?;
        cx.keys.set(slot)?;
        cx.reply.set(0);
        return Ok(Done);
    }
    let (_, picked) = pick(cx, key, Type::Set, Picks::Distinct(count), Use::Change)?;
    let members: Vec<&[u8]> = picked.iter().map(|member| member.as_slice()).collect();
    let slot = cx.open(key, Want::Removal(&members))?;
    for member in &members {
        cx.keys.set_remove(slot, member);
    }
    if args.len() == 2 {
        cx.reply.bulk_or_null(members.first().copied());
        return Ok(Done);
    }
    cx.reply.set(members.len());
    members.iter().for_each(|member| cx.reply.bulk(member));
    Ok(Done)
}

/// An integer that Redis takes for a count of members: its range is named in the error.
fn integer_in_range(text: &[u8]) -> Result<i64> {
    match integer(text) {
        Ok(count) if count >= 0 => Ok(count),
        _ => fail("ERR value is out of range, must be positive"),
    }
}

/// Replies with one member, or with an array of them: different ones, or with a negative count each
/// from all.
fn srandmember(cx: &mut Cx<'_, '_>) -> Result {
    let (key, args) = (cx.args.get(1), cx.args);
    if args.len() == 2 {
        let (_, picked) = pick(cx, key, Type::Set, Picks::Distinct(1), Use::Read)?;
        cx.reply.bulk_or_null(picked.first().map(|member| member.as_slice()));
        return Ok(Done);
    }
    if args.len() > 3 {
        return fail(SYNTAX);
    }
    let picks = parse_picks(args.get(2), false)?;
    admit_picks(cx, picks)?;
    let (_, picked) = pick(cx, key, Type::Set, picks, Use::Read)?;
    cx.reply.array(picked.len());
    picked.iter().for_each(|member| cx.reply.bulk(member));
    Ok(Done)
}

/// What is made of several sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Algebra {
    Union,
    Intersection,
    Difference,
}

/// Opens sets with all their members.
fn open_sets<'k>(
    cx: &mut Cx<'_, '_>,
    keys: impl Iterator<Item = &'k [u8]>,
    by: Use,
) -> Result<Vec<SlotId>> {
    let slots = cx.keys.open_all(cx.db, keys, Want::Whole, by)?;
    slots.iter().try_for_each(|slot| cx.keys.set(*slot).map(drop))?;
    Ok(slots)
}

/// The members of what is made of these sets, up to a limit.
fn combine(cx: &Cx<'_, '_>, slots: &[SlotId], algebra: Algebra, limit: usize) -> Result<SetValue> {
    let mut sets = Vec::with_capacity(slots.len());
    for slot in slots {
        sets.push(cx.keys.set(*slot)?);
    }
    let mut result = SetValue::new();
    if algebra == Algebra::Union {
        for (member, ()) in sets.iter().flatten().flat_map(|set| set.elements().iter()) {
            result.insert(member.clone());
        }
        return Ok(result);
    }
    if algebra == Algebra::Intersection {
        if sets.iter().any(Option::is_none) {
            return Ok(result);
        }
        sets.sort_by_key(|set| set.map_or(0, |set| set.count().at_least()));
    }
    let Some((Some(first), others)) = sets.split_first() else { return Ok(result) };
    for (member, ()) in first.elements().iter() {
        let has = |set: &Option<&SetValue>| set.is_some_and(|set| set.contains(member));
        let fits = match algebra {
            Algebra::Intersection => others.iter().all(has),
            _ => !others.iter().any(has),
        };
        if fits {
            result.insert(member.clone());
            if result.elements().known_len() >= limit {
                break;
            }
        }
    }
    Ok(result)
}

fn reply_combined(cx: &mut Cx<'_, '_>, algebra: Algebra) -> Result {
    let slots = open_sets(cx, cx.args.skip(1).iter(), Use::Read)?;
    let result = combine(cx, &slots, algebra, usize::MAX)?;
    cx.admit_reply(result.bytes())?;
    cx.reply.set(result.elements().known_len());
    result.elements().iter().for_each(|(member, ())| cx.reply.bulk(member));
    Ok(Done)
}

/// Replies with the number of members that are stored; none removes the destination.
fn store_combined(cx: &mut Cx<'_, '_>, algebra: Algebra) -> Result {
    let target = cx.open(cx.args.get(1), Want::Meta);
    let slots = open_sets(cx, cx.args.skip(2).iter(), Use::Change);
    let (target, slots) = (target?, slots?); // All are read before the command runs again.
    let result = combine(cx, &slots, algebra, usize::MAX)?;
    let count = result.elements().known_len();
    cx.keys.remove(target);
    if count > 0 {
        cx.keys.make(target, Value::Set(Box::new(result)));
    }
    cx.reply.count(count);
    Ok(Done)
}

fn sunion(cx: &mut Cx<'_, '_>) -> Result {
    reply_combined(cx, Algebra::Union)
}

fn sinter(cx: &mut Cx<'_, '_>) -> Result {
    reply_combined(cx, Algebra::Intersection)
}

fn sdiff(cx: &mut Cx<'_, '_>) -> Result {
    reply_combined(cx, Algebra::Difference)
}

fn sunionstore(cx: &mut Cx<'_, '_>) -> Result {
    store_combined(cx, Algebra::Union)
}

fn sinterstore(cx: &mut Cx<'_, '_>) -> Result {
    store_combined(cx, Algebra::Intersection)
}

fn sdiffstore(cx: &mut Cx<'_, '_>) -> Result {
    store_combined(cx, Algebra::Difference)
}

fn sintercard(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let count = match integer(args.get(1)) {
        Ok(count) if count > 0 => count as usize,
        _ => return fail("ERR numkeys should be greater than 0"),
    };
    if count > args.len() - 2 {
        return fail("ERR Number of keys can't be greater than number of args");
    }
    let mut limit = 0;
    let mut options = args.skip(2 + count).iter();
    while let Some(option) = options.next() {
        let Some(value) = options.next().filter(|_| is(option, "limit")) else {
            return fail(SYNTAX);
        };
        limit = match integer(value) {
            Ok(limit) if limit >= 0 => limit as usize,
            _ => return fail("ERR LIMIT can't be negative"),
        };
    }
    let slots = open_sets(cx, args.skip(2).iter().take(count), Use::Read)?;
    let limit = if limit == 0 { usize::MAX } else { limit };
    let result = combine(cx, &slots, Algebra::Intersection, limit)?;
    cx.reply.count(result.elements().known_len());
    Ok(Done)
}
