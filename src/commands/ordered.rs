//! Sorted sets in order, for the commands that read them or take from their ends: where the order
//! comes from.
//!
//! A small sorted set is in memory. Of a large one that is not, memory keeps how many members have
//! each score; the members of a range of it are loaded as far as they are few, and else a helper
//! makes the reply. Knows nothing of options.

use super::collections::take_grant;
use crate::base::bytes::Bytes;
use crate::command::{Cx, Grant, Keyspace, Need, Ranging, Reply, Result, SlotId, Stop, Use, Want};
use crate::resp::Shape;
use crate::value::order::Pair;
use crate::value::{MemberRange, Order, Ranked};

/// What a reply has of each member beyond its bytes, at most; for the bound of replies.
const PAIR_BYTES: usize = 48;

/// A sorted set of which a command wants to know the order.
#[derive(Clone, Copy)]
pub(super) enum Ordered {
    /// All members are in memory.
    Whole(SlotId),
    /// How many members have each score is.
    Ranked(SlotId),
    /// There is no room for that.
    Cold,
}

impl Ordered {
    /// Opens a sorted set; `None` where the key is absent.
    pub(super) fn open(cx: &mut Cx<'_, '_>, key: &[u8], by: Use) -> Result<Option<Ordered>> {
        let slot = cx.keys.open_as(cx.db, key, cx.keys.small(), by)?;
        let Some(zset) = cx.keys.zset(slot)? else { return Ok(None) };
        if zset.order().is_some() {
            return Ok(Some(Ordered::Whole(slot)));
        }
        if zset.ranked().is_some() {
            return Ok(Some(Ordered::Ranked(slot)));
        }
        match take_grant(cx)? {
            Some(Grant::Ranked) => Ok(Some(Ordered::Cold)), // It is gone again.
            _ => {
                cx.keys.wait_for_moves(cx.db, key)?;
                Err(Stop::Park(Need::Ranks { db: cx.db, key: key.into() }))
            }
        }
    }
}

/// The order of a sorted set that was opened and is in memory.
pub(super) fn order(keys: &Keyspace, slot: SlotId) -> &Order {
    match keys.zset(slot) {
        Ok(Some(zset)) => zset.order().expect("it was there when the key was opened"),
        _ => unreachable!("the key was opened as a sorted set"),
    }
}

/// What is known of the order of a sorted set that was opened.
pub(super) fn ranked(keys: &Keyspace, slot: SlotId) -> &Ranked {
    match keys.zset(slot) {
        Ok(Some(zset)) => zset.ranked().expect("it was there when the key was opened"),
        _ => unreachable!("the key was opened as a sorted set"),
    }
}

/// The members of a range in its direction, of a sorted set that is not in memory as a whole; they
/// are known then, too. `None` where that would take too many, or where the range is of members.
pub(super) fn pick(
    cx: &mut Cx<'_, '_>,
    key: &[u8],
    slot: SlotId,
    range: &MemberRange,
) -> Result<Option<Vec<Pair>>> {
    let small_max = cx.keys.small_max();
    let known = ranked(cx.keys, slot);
    let ranks = range.ranks_of_scores(known.histogram());
    let Some(ranks) = ranks.filter(|ranks| ranks.len() <= small_max) else { return Ok(None) };
    let Some(lacking) = known.lacking(ranks.clone(), small_max) else { return Ok(None) };
    let slot = cx.keys.open_as(cx.db, key, Want::Groups(&lacking), Use::Look)?;
    // They may all be known now: where the backlog hides the tree, it has them.
    let mut pairs = cx.keys.zset(slot)?.map_or_else(Vec::new, |zset| zset.members(ranks));
    if range.reverse {
        pairs.reverse();
    }
    Ok(Some(pairs))
}

/// Opens a sorted set with the members of a range, and answers them in its direction; `None` where
/// the key is absent.
pub(super) fn members_of(
    cx: &mut Cx<'_, '_>,
    key: &[u8],
    range: &MemberRange,
    by: Use,
) -> Result<Option<(SlotId, Vec<Pair>)>> {
    let slot = match Ordered::open(cx, key, by)? {
        None => return Ok(None),
        Some(Ordered::Whole(slot)) => slot,
        Some(Ordered::Ranked(slot)) => match pick(cx, key, slot, range)? {
            Some(pairs) => return Ok(Some((slot, pairs))),
            None => cx.keys.open_as(cx.db, key, Want::Whole, Use::Look)?,
        },
        Some(Ordered::Cold) => cx.keys.open_as(cx.db, key, Want::Whole, Use::Look)?,
    };
    let order = order(cx.keys, slot);
    let members = range.walk(order, range.ranks(order));
    Ok(Some((slot, members.map(|(score, member)| (score, member.clone())).collect())))
}

/// Has a helper answer what is asked of a range.
pub(super) fn ask<T>(cx: &mut Cx<'_, '_>, key: &[u8], asked: Ranging) -> Result<T> {
    cx.keys.wait_for_moves(cx.db, key)?;
    Err(Stop::Park(Need::Range { db: cx.db, key: key.into(), asked: asked.into() }))
}

/// What a helper has answered to [`ask`]: an encoded reply, and a number.
pub(super) fn answered(cx: &mut Cx<'_, '_>, key: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    if !matches!(cx.grant, Some(Grant::Names { .. } | Grant::Failed(_))) {
        return Ok(None);
    }
    let slot = cx.look(key, Want::Meta)?;
    cx.keys.zset(slot)?;
    match take_grant(cx)? {
        Some(Grant::Names { bulks, count }) => Ok(Some((bulks, count))),
        _ => Ok(None),
    }
}

/// Bytes that a reply of these members takes, at most.
pub(super) fn reply_bytes<'m, S>(members: impl Iterator<Item = (S, &'m Bytes)>) -> usize {
    members.map(|(_, member)| member.len() + PAIR_BYTES).sum()
}

/// Replies with an array of members, `len` of them.
pub(super) fn reply_members<'m, S: Into<f64>>(
    reply: &mut Reply<'_>,
    shape: Shape,
    len: usize,
    members: impl Iterator<Item = (S, &'m Bytes)>,
) {
    reply.members(shape, len);
    members.for_each(|(score, member)| reply.member(shape, member, score.into()));
}
