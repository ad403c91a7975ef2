//! Sorted sets in order, for the commands that read them: where the order comes from, and how
//! members are replied.
//!
//! Knows nothing of ranges or of options.

use crate::base::bytes::Bytes;
use crate::command::{Cx, Grant, Keyspace, Need, Reply, Result, SlotId, Stop, Want};
use crate::resp::Protocol;
use crate::value::Order;

/// What a reply has of each member beyond its bytes, at most; for the bound of replies.
const PAIR_BYTES: usize = 48;

/// A sorted set that a command reads in order.
pub(super) enum Ordered {
    /// It is in memory.
    Kept(SlotId),
    /// It is large and not in memory: a helper made its order for this command.
    Made(Order),
}

impl Ordered {
    /// Opens a sorted set to read it; `None` where the key is absent.
    pub(super) fn open(cx: &mut Cx<'_, '_>, key: &[u8]) -> Result<Option<Ordered>> {
        // What was made for this command is used: to ask for more could begin again and again.
        let want = if cx.grant.is_some() { Want::Meta } else { Want::Small };
        let slot = cx.look(key, want)?;
        let Some(zset) = cx.keys.zset(slot)? else { return Ok(None) };
        if zset.order().is_some() {
            return Ok(Some(Ordered::Kept(slot)));
        }
        let db = cx.db;
        match cx.wait_for(|_| Need::Order { db, key: key.into() })? {
            Grant::Order(order) => Ok(Some(Ordered::Made(order))),
            // It was kept in memory, and part of it is gone again.
            Grant::Done => Err(Stop::Park(Need::Order { db, key: key.into() })),
            _ => unreachable!("a need is met by its own grant"),
        }
    }

    /// Its members in order.
    pub(super) fn order<'a>(&'a self, keys: &'a Keyspace) -> &'a Order {
        match self {
            Ordered::Made(order) => order,
            Ordered::Kept(slot) => match keys.zset(*slot) {
                Ok(Some(zset)) => zset.order().expect("it was there when the key was opened"),
                _ => unreachable!("the key was opened as a sorted set"),
            },
        }
    }
}

/// How members are replied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Without scores.
    Names,
    /// Each followed by its score.
    Flat,
    /// Each with its score in an array of two.
    Nested,
}

impl Shape {
    /// How most commands reply: scores only where they are asked for, and nested in RESP3.
    pub(super) fn new(with_scores: bool, protocol: Protocol) -> Shape {
        match (with_scores, protocol) {
            (false, _) => Shape::Names,
            (true, Protocol::Resp2) => Shape::Flat,
            (true, Protocol::Resp3) => Shape::Nested,
        }
    }
}

/// Writes an array of members, `len` of them.
pub(super) fn reply_members<'m>(
    reply: &mut Reply<'_>,
    shape: Shape,
    len: usize,
    members: impl Iterator<Item = (f64, &'m Bytes)>,
) {
    reply.array(if shape == Shape::Flat { len * 2 } else { len });
    for (score, member) in members {
        if shape == Shape::Nested {
            reply.array(2);
        }
        reply.bulk(member);
        if shape != Shape::Names {
            reply.double(score);
        }
    }
}

/// Bytes that a reply of these members takes, at most.
pub(super) fn reply_bytes<'m>(members: impl Iterator<Item = &'m Bytes>) -> usize {
    members.map(|member| member.len() + PAIR_BYTES).sum()
}
