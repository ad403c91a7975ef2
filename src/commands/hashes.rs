//! The commands of hashes.
//!
//! What hashes have in common with other collections is in [`super::collections`]. Nothing here
//! knows where fields are kept.

use super::collections::{
    BULK_BYTES, Picks, parse_picks, pick, reply_all, reply_count, reply_step,
};
use super::{integer, is};
use crate::base::bytes::Bytes;
use crate::base::long_double::LongDouble;
use crate::base::number::{Digits, parse_i64};
use crate::command::table::{DENYOOM, FAST, FREES, KEY1, READ, WRITE, row};
use crate::command::{
    Command, Content, Cx, Done, Error, NOT_A_FLOAT, Result, SYNTAX, SlotId, Use, Want, content,
    fail,
};
use crate::keyspace::Listed;
use crate::layout::op::Type;
use crate::resp::Protocol;
use smallvec::SmallVec;

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("hdel", -3, KEY1, WRITE.and(FAST).and(FREES), hdel, "key field [field ...]")
        .doc("hash", "2.0.0", "Removes fields, and with the last one the hash.")
        .access(&["RW delete"]),
    row("hexists", 3, KEY1, READ.and(FAST), hexists, "key field")
        .doc("hash", "2.0.0", "Replies whether a hash has a field.")
        .access(&["RO"]),
    row("hget", 3, KEY1, READ.and(FAST), hget, "key field")
        .doc("hash", "2.0.0", "Replies with the value of a field.")
        .access(&["RO access"]),
    row("hgetall", 2, KEY1, READ, hgetall, "key")
        .doc("hash", "2.0.0", "Replies with all fields and their values.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output_order"]),
    row("hincrby", 4, KEY1, WRITE.and(DENYOOM).and(FAST), hincrby, "key field increment")
        .doc("hash", "2.0.0", "Adds to the integer in a field, 0 where there is none.")
        .access(&["RW access update"]),
    row("hincrbyfloat", 4, KEY1, WRITE.and(DENYOOM).and(FAST), hincrbyfloat, "key field increment")
        .doc("hash", "2.6.0", "Adds to the number in a field, 0 where there is none.")
        .access(&["RW access update"]),
    row("hkeys", 2, KEY1, READ, hkeys, "key")
        .doc("hash", "2.0.0", "Replies with all fields.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output_order"]),
    row("hlen", 2, KEY1, READ.and(FAST), hlen, "key")
        .doc("hash", "2.0.0", "Replies with the number of fields.")
        .access(&["RO"]),
    row("hmget", -3, KEY1, READ.and(FAST), hmget, "key field [field ...]")
        .doc("hash", "2.0.0", "Replies with the values of fields.")
        .access(&["RO access"]),
    row("hmset", -4, KEY1, WRITE.and(DENYOOM).and(FAST), hmset, "key field value [field value ...]")
        .doc("hash", "2.0.0", "Gives fields values, as HSET does.")
        .access(&["RW update"])
        .deprecated("4.0.0", "`HSET` with multiple field-value pairs"),
    row("hrandfield", -2, KEY1, READ, hrandfield, "key [count [WITHVALUES]]")
        .doc("hash", "6.2.0", "Replies with fields picked by chance.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output"]),
    row("hscan", -3, KEY1, READ, hscan, "key cursor [MATCH pattern] [COUNT count]")
        .doc("hash", "2.8.0", "Lists fields and values in steps.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output"]),
    row("hset", -4, KEY1, WRITE.and(DENYOOM).and(FAST), hset, "key field value [field value ...]")
        .doc("hash", "2.0.0", "Gives fields values.")
        .access(&["RW update"]),
    row("hsetnx", 4, KEY1, WRITE.and(DENYOOM).and(FAST), hsetnx, "key field value")
        .doc("hash", "2.0.0", "Gives a field a value unless it has one.")
        .access(&["RW insert"]),
    row("hstrlen", 3, KEY1, READ.and(FAST), hstrlen, "key field")
        .doc("hash", "3.2.0", "Replies with the length of a field's value.")
        .access(&["RO"]),
    row("hvals", 2, KEY1, READ, hvals, "key")
        .doc("hash", "2.0.0", "Replies with all values.")
        .access(&["RO access"])
        .tips(&["nondeterministic_output_order"]),
];

/// Names of fields, the usual few without an allocation.
type Fields<'a> = SmallVec<[&'a [u8]; 8]>;

/// Replies with the number of fields that are new.
fn hset(cx: &mut Cx<'_, '_>) -> Result {
    let created = set_pairs(cx, "hset")?;
    cx.reply.count(created);
    Ok(Done)
}

/// Replies OK.
fn hmset(cx: &mut Cx<'_, '_>) -> Result {
    set_pairs(cx, "hmset")?;
    cx.reply.ok();
    Ok(Done)
}

/// Gives fields their values and answers how many of them are new.
fn set_pairs(cx: &mut Cx<'_, '_>, name: &str) -> Result<usize> {
    let args = cx.args;
    if args.len() % 2 == 1 {
        let text = format!("ERR wrong number of arguments for '{name}' command");
        return Err(Error::new(text).into());
    }
    let fields: Fields<'_> = args.skip(2).iter().step_by(2).collect();
    let slot = cx.open(args.get(1), Want::Elements(&fields))?;
    cx.keys.hash(slot)?;
    let mut created = 0;
    for (field, value) in fields.iter().zip(args.skip(3).iter().step_by(2)) {
        created += usize::from(cx.keys.hash_put(slot, field, content(value)));
    }
    Ok(created)
}

/// Replies whether the field is new.
fn hsetnx(cx: &mut Cx<'_, '_>) -> Result {
    let (field, value) = (cx.args.get(2), cx.args.get(3));
    let slot = cx.open(cx.args.get(1), Want::Elements(&[field]))?;
    let there = cx.keys.hash(slot)?.is_some_and(|hash| hash.get(field).is_some());
    if !there {
        cx.keys.hash_put(slot, field, content(value));
    }
    cx.reply.int(i64::from(!there));
    Ok(Done)
}

/// The value of the field in the second argument; the key is opened to read it.
fn value_of(cx: &mut Cx<'_, '_>) -> Result<Option<Content>> {
    let field = cx.args.get(2);
    let slot = cx.look(cx.args.get(1), Want::Elements(&[field]))?;
    Ok(cx.keys.hash(slot)?.and_then(|hash| hash.get(field)).cloned())
}

/// Replies with the value, or nothing.
fn hget(cx: &mut Cx<'_, '_>) -> Result {
    let value = value_of(cx)?;
    cx.reply.bulk_or_null(value.as_deref());
    Ok(Done)
}

/// Replies whether the field is there.
fn hexists(cx: &mut Cx<'_, '_>) -> Result {
    let value = value_of(cx)?;
    cx.reply.int(i64::from(value.is_some()));
    Ok(Done)
}

/// Replies with the length of the value in bytes, 0 where there is none.
fn hstrlen(cx: &mut Cx<'_, '_>) -> Result {
    let value = value_of(cx)?;
    cx.reply.count(value.map_or(0, |value| value.len()));
    Ok(Done)
}

/// Replies with the values, or nothing, in the order of the fields.
fn hmget(cx: &mut Cx<'_, '_>) -> Result {
    let fields: Fields<'_> = cx.args.skip(2).iter().collect();
    let slot = cx.look(cx.args.get(1), Want::Elements(&fields))?;
    let hash = cx.keys.hash(slot)?;
    let value = |field: &&[u8]| hash.and_then(|hash| hash.get(field));
    let bytes = fields.iter().map(|field| value(field).map_or(0, |value| value.len()) + BULK_BYTES);
    cx.admit_reply(bytes.sum())?;
    cx.reply.array(fields.len());
    for field in &fields {
        cx.reply.bulk_or_null(value(field).map(|value| value.as_slice()));
    }
    Ok(Done)
}

/// Replies with the number of fields that were there.
fn hdel(cx: &mut Cx<'_, '_>) -> Result {
    let fields: Fields<'_> = cx.args.skip(2).iter().collect();
    let slot = cx.open(cx.args.get(1), Want::Removal(&fields))?;
    cx.keys.hash(slot)?;
    let removed = fields.iter().filter(|field| cx.keys.hash_remove(slot, field)).count();
    cx.reply.count(removed);
    Ok(Done)
}

fn hlen(cx: &mut Cx<'_, '_>) -> Result {
    reply_count(cx, Type::Hash)
}

fn hgetall(cx: &mut Cx<'_, '_>) -> Result {
    reply_all(cx, Type::Hash, Listed::Both, |reply, count| reply.map(count))
}

fn hkeys(cx: &mut Cx<'_, '_>) -> Result {
    reply_all(cx, Type::Hash, Listed::Names, |reply, count| reply.array(count))
}

fn hvals(cx: &mut Cx<'_, '_>) -> Result {
    reply_all(cx, Type::Hash, Listed::Contents, |reply, count| reply.array(count))
}

fn hscan(cx: &mut Cx<'_, '_>) -> Result {
    reply_step(cx, Type::Hash, |reply, field, value| {
        reply.bulk(field);
        reply.bulk(value);
    })
}

/// Opens the hash to change one field, and answers what that holds.
fn field_to_change(cx: &mut Cx<'_, '_>) -> Result<(SlotId, Option<Content>)> {
    let field = cx.args.get(2);
    let slot = cx.open(cx.args.get(1), Want::Elements(&[field]))?;
    let value = cx.keys.hash(slot)?.and_then(|hash| hash.get(field)).cloned();
    Ok((slot, value))
}

/// Replies with the sum.
fn hincrby(cx: &mut Cx<'_, '_>) -> Result {
    let by = integer(cx.args.get(3))?;
    let (slot, before) = field_to_change(cx)?;
    let Some(before) = before.map_or(Some(0), |value| parse_i64(&value)) else {
        return fail("ERR hash value is not an integer");
    };
    let Some(sum) = before.checked_add(by) else {
        return fail("ERR increment or decrement would overflow");
    };
    cx.keys.hash_put(slot, cx.args.get(2), content(Digits::new(sum).as_bytes()));
    cx.reply.int(sum);
    Ok(Done)
}

/// Replies with the sum as a string.
fn hincrbyfloat(cx: &mut Cx<'_, '_>) -> Result {
    let Some(by) = LongDouble::parse(cx.args.get(3)) else {
        return fail(NOT_A_FLOAT);
    };
    if !by.is_finite() {
        return fail("ERR value is NaN or Infinity");
    }
    let (slot, before) = field_to_change(cx)?;
    let before = before.as_ref().map_or(&b"0"[..], |value| value);
    let Some(before) = LongDouble::parse(before) else {
        return fail("ERR hash value is not a float");
    };
    let Some(sum) = before.checked_add(by) else {
        return fail("ERR increment would produce NaN or Infinity");
    };
    let text = sum.format().into_bytes();
    cx.reply.bulk(&text);
    cx.keys.hash_put(slot, cx.args.get(2), Content::from(text));
    Ok(Done)
}

/// Replies with one field, or with an array of them: different ones, or with a negative count each
/// from all.
fn hrandfield(cx: &mut Cx<'_, '_>) -> Result {
    let (key, args) = (cx.args.get(1), cx.args);
    if args.len() == 2 {
        let (_, picked) = pick(cx, key, Type::Hash, Picks::Distinct(1), Use::Read)?;
        cx.reply.bulk_or_null(picked.first().map(|field| field.as_slice()));
        return Ok(Done);
    }
    let with_values = args.len() == 4 && is(args.get(3), "withvalues");
    let picks = parse_picks(args.get(2), with_values)?;
    if args.len() > 4 || (args.len() == 4 && !with_values) {
        return fail(SYNTAX);
    }
    let (slot, picked) = pick(cx, key, Type::Hash, picks, Use::Read)?;
    let hash = cx.keys.hash(slot)?.filter(|_| with_values);
    let value = |field: &Bytes| hash.and_then(|hash| hash.get(field)).map(|value| value.as_slice());
    let bytes = picked.iter().map(|field| field.len() + value(field).map_or(0, <[u8]>::len));
    cx.admit_reply(bytes.sum::<usize>() + picked.len() * 2 * BULK_BYTES)?;

    let pairs = with_values && cx.reply.protocol() == Protocol::Resp3;
    cx.reply.array(picked.len() * if with_values && !pairs { 2 } else { 1 });
    for field in &picked {
        if pairs {
            cx.reply.array(2);
        }
        cx.reply.bulk(field);
        if with_values {
            cx.reply.bulk(value(field).unwrap_or_default());
        }
    }
    Ok(Done)
}
