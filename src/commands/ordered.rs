//! Sorted sets in order, for the commands that read them or take from their ends: where the order
//! comes from.
//!
//! A small sorted set is in memory. Of a large one that is not, memory keeps its scores, and how
//! many members have each as far as that was cheap to find out; the members of a range of it are
//! loaded as far as they are few, and else a helper makes the reply. Knows nothing of options.

use super::collections::take_grant;
use crate::base::bytes::Bytes;
use crate::command::{Cx, Grant, Need, Ranging, Reply, Result, SlotId, Stop, Use, Want};
use crate::resp::Shape;
use crate::value::order::Pair;
use crate::value::{Found, MemberRange, Order, Ranked};

/// What a reply has of each member beyond its bytes, at most; for the bound of replies.
const PAIR_BYTES: usize = 48;

/// A sorted set of which a command wants to know the order.
#[derive(Clone, Copy)]
pub(super) enum Ordered {
    /// All members are in memory, or the scores are.
    Known(SlotId),
    /// There is no room for that.
    Cold,
}

impl Ordered {
    /// Opens a sorted set; `None` where the key is absent.
    pub(super) fn open(cx: &mut Cx<'_, '_>, key: &[u8], by: Use) -> Result<Option<Ordered>> {
        let slot = cx.keys.open_as(cx.db, key, cx.keys.small(), by)?;
        let Some(zset) = cx.keys.zset(slot)? else { return Ok(None) };
        if zset.order().is_some() || zset.ranked().is_some() {
            return Ok(Some(Ordered::Known(slot)));
        }
        match take_grant(cx)? {
            Some(Grant::Ranked { .. }) => Ok(Some(Ordered::Cold)), // It is gone again.
            _ => ask_ranks(cx, key, false),
        }
    }
}

/// Has a helper find out the scores of a sorted set, and with `count_all` how many members have
/// each, however long that takes.
fn ask_ranks<T>(cx: &mut Cx<'_, '_>, key: &[u8], count_all: bool) -> Result<T> {
    cx.keys.wait_for_moves(cx.db, key)?;
    Err(Stop::Park(Need::Ranks { db: cx.db, key: key.into(), count_all }))
}

/// What all members of a sorted set that was opened tell, or else what is known of its order, with
/// what has to be loaded or counted for that. `None` where a helper has to answer.
pub(super) fn learn<T>(
    cx: &mut Cx<'_, '_>,
    key: &[u8],
    slot: SlotId,
    whole: impl Fn(&Order) -> T,
    part: impl Fn(&Ranked, usize) -> Option<Found<T>>,
) -> Result<Option<T>> {
    loop {
        let max = cx.keys.small_max();
        let Some(zset) = cx.keys.zset(slot)? else { return Ok(None) };
        let found = match (zset.order(), zset.ranked()) {
            (Some(order), _) => return Ok(Some(whole(order))),
            (None, ranked) => ranked.and_then(|ranked| part(ranked, max)),
        };
        match found {
            None => return Ok(None),
            Some(Found::Is(found)) => return Ok(Some(found)),
            // Afterwards all members may be known: where the backlog hides the tree, it has them.
            Some(Found::Lacks(scores)) => {
                cx.keys.open_as(cx.db, key, Want::Groups(&scores), Use::Look)?;
            }
            Some(Found::Far) => match take_grant(cx)? {
                Some(Grant::Ranked { counted: true }) => return Ok(None), // It was not kept.
                _ => return ask_ranks(cx, key, true),
            },
        }
    }
}

/// The members of a range in its direction, of a sorted set that was opened. `None` where that
/// would take too many, or where the range is of members.
pub(super) fn pick(
    cx: &mut Cx<'_, '_>,
    key: &[u8],
    slot: SlotId,
    range: &MemberRange,
) -> Result<Option<Vec<Pair>>> {
    let whole = |order: &Order| {
        let members = range.walk(order, range.ranks(order));
        members.map(|(score, member)| (score, member.clone())).collect()
    };
    learn(cx, key, slot, whole, |ranked, max| ranked.range(range, max))
}

/// Opens a sorted set with the members of a range, and answers them in its direction; `None` where
/// the key is absent.
pub(super) fn members_of(
    cx: &mut Cx<'_, '_>,
    key: &[u8],
    range: &MemberRange,
    by: Use,
) -> Result<Option<(SlotId, Vec<Pair>)>> {
    let Some(ordered) = Ordered::open(cx, key, by)? else { return Ok(None) };
    if let Ordered::Known(slot) = ordered
        && let Some(pairs) = pick(cx, key, slot, range)?
    {
        return Ok(Some((slot, pairs)));
    }
    let slot = cx.keys.open_as(cx.db, key, Want::Whole, Use::Look)?;
    Ok(pick(cx, key, slot, range)?.map(|pairs| (slot, pairs)))
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
