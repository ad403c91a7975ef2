//! The commands of sets.
//!
//! What sets have in common with other collections is in [`super::collections`]. Nothing here knows
//! where members are kept.

use super::collections::{
    BULK_BYTES, Picks, parse_picks, pick, reply_all, reply_count, reply_step,
};
use super::{integer, is};
use crate::base::bytes::Bytes;
use crate::command::table::{
    COUNTED, DENYOOM, FAST, FREES, KEY1, KEYS, KEYS2, MOVABLE, READ, WRITE, row,
};
use crate::command::{Args, Command, Cx, Done, Keyspace, Result, SYNTAX, SlotId, Use, Want, fail};
use crate::keyspace::Listed;
use crate::layout::op::Type;
use crate::value::{SetValue, Value};
use hashbrown::HashSet;
use smallvec::SmallVec;

/// Redis' answers to a number of keys that is none.
const NO_KEYS: &str = "ERR numkeys should be greater than 0";
const TOO_MANY_KEYS: &str = "ERR Number of keys can't be greater than number of args";

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
    row("srem", -3, KEY1, WRITE.and(FAST).and(FREES), srem, "key member [member ...]")
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

/// Replies whether the member is there.
fn sismember(cx: &mut Cx<'_, '_>) -> Result {
    let member = cx.args.get(2);
    let slot = cx.look(cx.args.get(1), Want::Elements(&[member]))?;
    let there = cx.keys.set(slot)?.is_some_and(|set| set.contains(member));
    cx.reply.int(i64::from(there));
    Ok(Done)
}

/// Replies for each member whether it is there.
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
    let count = match args.len() {
        2 => None,
        3 => Some(positive(args.get(2), "ERR value is out of range, must be positive")?),
        _ => return fail(SYNTAX),
    };
    if count == Some(0) {
        let slot = cx.open(key, Want::Meta)?;
        cx.keys.set(slot)?;
        cx.reply.set(0);
        return Ok(Done);
    }
    let picks = Picks::Distinct(count.unwrap_or(1));
    let (mut slot, picked) = pick(cx, key, Type::Set, picks, Use::Change)?;
    let set = cx.keys.set(slot)?;
    let is_all = set.and_then(|set| set.elements().exact()) == Some(picked.len() as u64);
    if !set.is_none_or(|set| set.elements().is_complete()) {
        let members: Members<'_> = picked.iter().map(|member| member.as_slice()).collect();
        slot = cx.open(key, Want::Removal(&members))?;
    }
    match count {
        Some(_) => {
            admit_members(cx, picked.iter())?;
            cx.reply.set(picked.len());
            picked.iter().for_each(|member| cx.reply.bulk(member));
        }
        None => cx.reply.bulk_or_null(picked.first().map(|member| member.as_slice())),
    }
    if is_all {
        cx.keys.remove(slot); // One op instead of one for each.
    } else {
        picked.iter().for_each(|member| _ = cx.keys.set_remove(slot, member));
    }
    Ok(Done)
}

/// Checks that a reply with these members is within its bound.
fn admit_members<'m>(cx: &Cx<'_, '_>, members: impl Iterator<Item = &'m Bytes>) -> Result<()> {
    cx.admit_reply(members.map(|member| member.len() + BULK_BYTES).sum())
}

/// An integer that is not negative; another one, and what is none, is this error.
fn positive(text: &[u8], error: &'static str) -> Result<usize> {
    match integer(text) {
        Ok(number @ 0..) => Ok(number as usize),
        _ => fail(error),
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
    let (_, picked) = pick(cx, key, Type::Set, picks, Use::Read)?;
    admit_members(cx, picked.iter())?;
    cx.reply.array(picked.len());
    picked.iter().for_each(|member| cx.reply.bulk(member));
    Ok(Done)
}

/// What is made of several sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algebra {
    Union,
    Intersection,
    Difference,
}

/// Sets that were opened to be combined.
struct Operands {
    slots: Vec<SlotId>,
    /// The one whose members are looked for in the others.
    first: usize,
}

impl Operands {
    /// Opens sets with what is needed of them: all members, or of a large one that is not in memory
    /// only those that are looked for in it.
    fn open(cx: &mut Cx<'_, '_>, keys: Args<'_>, algebra: Algebra, by: Use) -> Result<Operands> {
        let want = if algebra == Algebra::Union { Want::Whole } else { cx.keys.small() };
        let slots = cx.keys.open_all(cx.db, keys.iter(), want, by)?;
        let mut operands = Operands { slots, first: 0 };
        let sets = operands.sets(cx.keys)?;
        if algebra == Algebra::Intersection {
            // An absent one before all, then the smallest.
            let size = |set: &SetValue| (!set.elements().is_complete(), set.count().at_least());
            let of = |at: &usize| sets[*at].map(size);
            operands.first = (0..sets.len()).min_by_key(of).unwrap_or(0);
        }
        let complete = |set: &SetValue| set.elements().is_complete();
        if sets[operands.first].is_some() && !sets.into_iter().flatten().all(complete) {
            operands.open_members(cx, keys)?;
        }
        Ok(operands)
    }

    /// Makes known which members of the first set the others have.
    fn open_members(&self, cx: &mut Cx<'_, '_>, keys: Args<'_>) -> Result<()> {
        cx.keys.open_as(cx.db, keys.get(self.first), Want::Whole, Use::Look)?;
        let Some(first) = cx.keys.set(self.slots[self.first])? else { return Ok(()) };
        if first.elements().known_len() > cx.keys.small_max() {
            cx.keys.open_all(cx.db, keys.iter(), Want::Whole, Use::Look)?;
            return Ok(());
        }
        let names: Vec<Bytes> = first.elements().iter().map(|(name, ())| name.clone()).collect();
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_slice()).collect();
        cx.keys.open_all(cx.db, keys.iter(), Want::Elements(&names), Use::Look)?;
        Ok(())
    }

    /// The sets, `None` for those that are absent.
    fn sets<'k>(&self, keys: &'k Keyspace) -> Result<Vec<Option<&'k SetValue>>> {
        self.slots.iter().map(|slot| keys.set(*slot)).collect()
    }

    /// What is made of them: at most `limit` members.
    fn combine<'k>(
        &self,
        keys: &'k Keyspace,
        algebra: Algebra,
        limit: usize,
    ) -> Result<Vec<&'k Bytes>> {
        let mut sets = self.sets(keys)?;
        if algebra == Algebra::Union {
            let mut seen = HashSet::new();
            let members = sets.into_iter().flatten().flat_map(|set| set.elements().iter());
            let members = members.map(|(member, ())| member);
            return Ok(members.filter(|member| seen.insert(*member)).take(limit).collect());
        }
        let Some(first) = sets.swap_remove(self.first) else { return Ok(Vec::new()) };
        let has = |set: &Option<&SetValue>, member: &[u8]| set.is_some_and(|s| s.contains(member));
        let fits = |member: &&Bytes| match algebra {
            Algebra::Intersection => sets.iter().all(|set| has(set, member)),
            _ => !sets.iter().any(|set| has(set, member)),
        };
        let members = first.elements().iter().map(|(member, ())| member);
        Ok(members.filter(fits).take(limit).collect())
    }
}

fn reply_combined(cx: &mut Cx<'_, '_>, algebra: Algebra) -> Result {
    let operands = Operands::open(cx, cx.args.skip(1), algebra, Use::Read)?;
    let members = operands.combine(cx.keys, algebra, usize::MAX)?;
    admit_members(cx, members.iter().copied())?;
    cx.reply.set(members.len());
    members.iter().for_each(|member| cx.reply.bulk(member));
    Ok(Done)
}

/// Replies with the number of members that are stored; none removes the destination.
fn store_combined(cx: &mut Cx<'_, '_>, algebra: Algebra) -> Result {
    let target = cx.open(cx.args.get(1), Want::Meta);
    let operands = Operands::open(cx, cx.args.skip(2), algebra, Use::Read);
    let (target, operands) = (target?, operands?); // All are read before the command runs again.
    let mut result = SetValue::new();
    for member in operands.combine(cx.keys, algebra, usize::MAX)? {
        result.insert(member.clone());
    }
    let count = cx.store(target, Value::Set(Box::new(result)))?;
    cx.reply.count(count);
    Ok(Done)
}

/// Replies with what any of the sets has.
fn sunion(cx: &mut Cx<'_, '_>) -> Result {
    reply_combined(cx, Algebra::Union)
}

/// Replies with what all sets have.
fn sinter(cx: &mut Cx<'_, '_>) -> Result {
    reply_combined(cx, Algebra::Intersection)
}

/// Replies with what the first set has and no other.
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

/// Replies with the number of members that all sets have, counted up to the limit.
fn sintercard(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let count = match positive(args.get(1), NO_KEYS)? {
        0 => return fail(NO_KEYS),
        count if count > args.len() - 2 => return fail(TOO_MANY_KEYS),
        count => count,
    };
    let mut limit = 0;
    let mut options = args.skip(2 + count).iter();
    while let Some(option) = options.next() {
        let Some(value) = options.next().filter(|_| is(option, "limit")) else {
            return fail(SYNTAX);
        };
        limit = positive(value, "ERR LIMIT can't be negative")?;
    }
    let limit = if limit == 0 { usize::MAX } else { limit };
    let keys = args.skip(2).take(count);
    let operands = Operands::open(cx, keys, Algebra::Intersection, Use::Read)?;
    let members = operands.combine(cx.keys, Algebra::Intersection, limit)?;
    cx.reply.count(members.len());
    Ok(Done)
}
