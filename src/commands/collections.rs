//! What hashes, sets and sorted sets have in common: counting, listing, scanning and picking
//! elements, whether they are in memory or not.
//!
//! A collection of up to [`SMALL_MAX`](crate::keyspace::load::SMALL_MAX) elements is brought into
//! memory by whoever wants all of it. A larger one that is not there is listed by a helper, which
//! makes the reply; picks are made near a random place of its directory.

use super::scan::{self, Options};
use crate::backlog::Said;
use crate::base::bytes::Bytes;
use crate::base::hash::hash64;
use crate::command::{Cx, Done, Grant, Keyspace, Need, Result, SlotId, Stop, Use, Want};
use crate::keyspace::Listed;
use crate::layout::cursor::{cursor_from_position, position_from_cursor};
use crate::layout::op::{Content, Type};
use crate::value::{Count, Value, element};
use hashbrown::HashSet;

/// A collection of so many elements in memory is scanned in one step.
const ONE_STEP_MAX: usize = 1_000;
/// Bytes of a pick in a reply, at the least.
const PICK_BYTES: usize = 7;
/// So many places of a directory are looked at for picks before all of it is read.
const PLACES_MAX: usize = 4;

/// Replies with the number of elements: HLEN, SCARD, ZCARD.
pub(super) fn reply_count(cx: &mut Cx<'_, '_>, kind: Type) -> Result {
    let key = cx.args.get(1);
    let slot = cx.look(key, Want::Removal(&[]))?;
    let count = match cx.keys.collection(slot, kind)?.map(Value::count) {
        None => 0,
        Some(Count::Exact(count)) => count,
        Some(Count::AtLeast(_)) => {
            let (db, key) = (cx.db, key.into());
            cx.grant = None; // A count that came while the key was replaced is none.
            return Err(Stop::Park(Need::ElementCount { db, key, kind }));
        }
    };
    cx.reply.count(count as usize);
    Ok(Done)
}

/// Replies with the elements: SMEMBERS, HKEYS, HVALS, HGETALL. `begin` begins the reply, given
/// their number.
pub(super) fn reply_all(
    cx: &mut Cx<'_, '_>,
    kind: Type,
    what: Listed,
    begin: impl Fn(&mut crate::resp::Reply<'_>, usize),
) -> Result {
    let key = cx.args.get(1);
    if let Some(Grant::Names { bulks, count }) = take_grant(cx)? {
        cx.look(key, Want::Meta)?;
        begin(&mut cx.reply, count);
        cx.reply.raw(&bulks);
        return Ok(Done);
    }
    let slot = cx.look(key, Want::Small)?;
    let Some(value) = cx.keys.collection(slot, kind)? else {
        begin(&mut cx.reply, 0);
        return Ok(Done);
    };
    if !value.is_complete() {
        return Err(Stop::Park(Need::Elements { db: cx.db, key: key.into(), kind, what }));
    }
    cx.admit_reply(value.bytes())?;
    begin(&mut cx.reply, value.count().at_least() as usize);
    let reply = &mut cx.reply;
    value.each(&mut |name, content| {
        if what != Listed::Contents {
            reply.bulk(name);
        }
        if what != Listed::Names {
            reply.bulk(content);
        }
    });
    Ok(Done)
}

/// What the command waited for, where it is not an error.
pub(super) fn take_grant(cx: &mut Cx<'_, '_>) -> Result<Option<Grant>> {
    match cx.grant.take() {
        Some(Grant::Failed(error)) => Err(Stop::Error(error)),
        grant => Ok(grant),
    }
}

/// Replies with one step through the elements: SSCAN, HSCAN, ZSCAN. `write` writes one of them.
pub(super) fn reply_step(
    cx: &mut Cx<'_, '_>,
    kind: Type,
    write: impl Fn(&mut crate::resp::Reply<'_>, &[u8], &[u8]),
) -> Result {
    let (key, db) = (cx.args.get(1), cx.db);
    let cursor = scan::parse_cursor(cx.args.get(2))?;
    let granted = take_grant(cx)?;
    let want = if cursor == 0 && granted.is_none() { Want::Small } else { Want::Meta };
    let slot = cx.look(key, want)?;
    let Some(value) = cx.keys.collection(slot, kind)? else {
        cx.reply.array(2);
        cx.reply.bulk(b"0");
        cx.reply.array(0);
        return Ok(Done);
    };
    let options = Options::parse_for_elements(cx.args.skip(3).iter())?;
    let per_element = if kind == Type::Set { 1 } else { 2 };
    if cursor == 0 && granted.is_none() && value.is_complete() && value.known_len() <= ONE_STEP_MAX
    {
        cx.reply.array(2);
        cx.reply.bulk(b"0");
        let mark = cx.reply.mark();
        let (reply, mut found) = (&mut cx.reply, 0);
        value.each(&mut |name, content| {
            if options.admits(name) {
                write(reply, name, content);
                found += per_element;
            }
        });
        cx.reply.array_before(mark, found);
        return Ok(Done);
    }
    let Some(Grant::Elements { elements, next }) = granted else {
        let need = scan::first_need(cx, cursor);
        let position = position_from_cursor(cursor);
        let step =
            Need::ElementStep { db, key: key.into(), kind, position, count: options.count() };
        // What it waited for was the tree; now the step.
        return Err(Stop::Park(if granted.is_some() { step } else { need.unwrap_or(step) }));
    };
    cx.reply.array(2);
    cx.reply.bulk(next.map_or(0, cursor_from_position).to_string().as_bytes());
    let mark = cx.reply.mark();
    let mut found = 0;
    for (name, content) in elements {
        if let Some(content) = confirm(cx.keys, db, key, kind, &name, content)
            && options.admits(&name)
        {
            write(&mut cx.reply, &name, &content);
            found += per_element;
        }
    }
    cx.reply.array_before(mark, found);
    Ok(Done)
}

/// What an element that the tree lists holds, if the backlog agrees that it is there.
fn confirm(
    keys: &Keyspace,
    db: crate::command::Db,
    key: &[u8],
    kind: Type,
    name: &Bytes,
    content: Content,
) -> Option<Content> {
    match keys.backlog.view(db, key, &[]).element(&element(kind, name.clone())) {
        Said::Absent => None,
        Said::Is(content) => Some(content),
        Said::Tree => Some(content),
    }
}

/// How elements are picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picks {
    /// So many different ones, or all.
    Distinct(usize),
    /// So many, each from all of them.
    Any(usize),
}

/// What a count of picks means; with two of each the reply has to have room for both.
pub(super) fn parse_picks(text: &[u8], doubled: bool) -> Result<Picks> {
    const RANGE: &str = "ERR value is out of range, value must between -9223372036854775807 and \
                         9223372036854775807";
    let count = super::integer(text)?;
    if count == i64::MIN {
        return crate::command::fail(RANGE);
    }
    let bound = if doubled { i64::MAX / 2 } else { i64::MAX };
    if count < -bound || count > bound {
        return crate::command::fail("ERR value is out of range");
    }
    Ok(match usize::try_from(count) {
        Ok(count) => Picks::Distinct(count),
        Err(_) => Picks::Any(count.unsigned_abs() as usize),
    })
}

/// Refuses picks that would make a reply beyond its bound.
pub(super) fn admit_picks(cx: &Cx<'_, '_>, picks: Picks) -> Result<()> {
    match picks {
        Picks::Any(count) if cx.admit_reply(count.saturating_mul(PICK_BYTES)).is_err() => {
            crate::command::fail("ERR value is out of range")
        }
        _ => Ok(()),
    }
}

/// Picks elements of a collection by chance; none where the key is absent. Those that are picked
/// are known afterwards.
pub(super) fn pick(
    cx: &mut Cx<'_, '_>,
    key: &[u8],
    kind: Type,
    picks: Picks,
    by: Use,
) -> Result<(SlotId, Vec<Bytes>)> {
    let sample = match take_grant(cx)? {
        Some(Grant::Sample(names)) => Some(names),
        _ => None,
    };
    let want = if sample.is_some() { Want::Meta } else { Want::Small };
    let slot = cx.keys.open_as(cx.db, key, want, by)?;
    let Some(value) = cx.keys.collection(slot, kind)? else { return Ok((slot, Vec::new())) };
    if value.is_complete() {
        return Ok((slot, pick_known(value, picks, &mut cx.server.rng)));
    }
    let (Picks::Distinct(wanted) | Picks::Any(wanted)) = picks;
    if wanted == 1 {
        return pick_one(cx, slot, key, kind, sample, by);
    }
    // More than a place of the directory has: all of it is read.
    let slot = cx.keys.open_as(cx.db, key, Want::Whole, by)?;
    let Some(value) = cx.keys.collection(slot, kind)? else { return Ok((slot, Vec::new())) };
    let picked = pick_known(value, picks, &mut cx.server.rng);
    Ok((slot, picked))
}

/// Picks among all elements, which are in memory.
fn pick_known(value: &Value, picks: Picks, rng: &mut crate::base::rng::Rng) -> Vec<Bytes> {
    let len = value.known_len();
    match picks {
        Picks::Any(count) => (0..count).filter_map(|_| value.at_random(rng.next_u64())).collect(),
        Picks::Distinct(count) if count * 3 < len => {
            let mut picked = HashSet::with_capacity(count);
            while picked.len() < count {
                picked.extend(value.at_random(rng.next_u64()));
            }
            picked.into_iter().collect()
        }
        Picks::Distinct(count) => {
            let mut names = Vec::with_capacity(len);
            value.each(&mut |name, _| names.push(name.clone()));
            for at in 0..count.min(len) {
                names.swap(at, at + rng.index(len - at));
            }
            names.truncate(count);
            names
        }
    }
}

/// Picks one element near a random place of the directory. The first chance is the same when the
/// command runs again after something had to be read, so that it finds what was read for it.
fn pick_one(
    cx: &mut Cx<'_, '_>,
    slot: SlotId,
    key: &[u8],
    kind: Type,
    sample: Option<Vec<Bytes>>,
    by: Use,
) -> Result<(SlotId, Vec<Bytes>)> {
    let (db, id, commands) = (cx.db, cx.id, cx.client().commands);
    let first = hash64(cx.server.run_id.as_bytes(), commands ^ (id << 40));
    let sampled = sample.is_some();
    let mut names = sample.unwrap_or_default();
    let start = (first % names.len().max(1) as u64) as usize;
    names.rotate_left(start);
    if sampled {
        // What is not in the tree yet is picked only where nothing else is found.
        cx.keys.backlog.view(db, key, &[]).elements(|other, content| {
            if content.is_some() && names.len() < start + 64 * PLACES_MAX {
                names.push(other.name().clone());
            }
        });
    }
    for name in names {
        let slot = cx.keys.open_as(db, key, Want::Elements(&[&name]), by)?;
        if cx.keys.value(slot).is_some_and(|value| value.has(&name)) {
            return Ok((slot, vec![name]));
        }
    }
    let seed = if sampled { cx.server.rng.next_u64() } else { first };
    match cx.keys.value(slot).map(Value::count) {
        Some(Count::Exact(0)) | None => Ok((slot, Vec::new())),
        _ => Err(Stop::Park(Need::ElementSample { db, key: key.into(), kind, seed })),
    }
}
