//! What hashes, sets and sorted sets have in common: counting, listing, scanning and picking
//! elements, whether they are in memory or not.
//!
//! A collection of up to [`small_max`](crate::keyspace::Keyspace::small_max) elements is brought
//! into memory by whoever wants all of it. A larger one that is not there is listed by a helper,
//! which makes the reply; picks are made near a random place of its directory.

use super::scan::{self, Options};
use crate::backlog::Said;
use crate::base::bytes::Bytes;
use crate::base::hash::hash64;
use crate::base::rng::Rng;
use crate::command::{Cx, Done, Grant, Need, Reply, Result, SlotId, Stop, Use, Want, fail};
use crate::keyspace::Listed;
use crate::layout::cursor::position_from_cursor;
use crate::layout::op::Type;
use crate::value::{Count, Value, element};
use hashbrown::HashSet;

/// A collection that takes no more in memory is scanned in one step, as Redis scans what it keeps
/// in one piece: that is always smaller.
const ONE_STEP_BYTES_MAX: usize = 256 << 10;
/// Bytes that a bulk string takes in a reply beside its own, at most.
pub(super) const BULK_BYTES: usize = 16;
/// Bytes of a pick while its reply is made, at the least.
const PICK_BYTES: usize = size_of::<Bytes>();
/// Up to so many elements are picked near one place of the directory,
const PICKS_OF_PLACE_MAX: usize = 16;
/// if there are so many to choose among.
const PLACE_MIN: usize = 32;

/// Replies with the number of elements: HLEN, SCARD, ZCARD.
pub(super) fn reply_count(cx: &mut Cx<'_, '_>, kind: Type) -> Result {
    let key = cx.args.get(1);
    let want = if cx.keys.in_transaction() { Want::Whole } else { Want::Removal(&[]) };
    let slot = cx.look(key, want)?;
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
    begin: impl Fn(&mut Reply<'_>, usize),
) -> Result {
    let key = cx.args.get(1);
    let want = if cx.grant.is_none() { cx.keys.small() } else { Want::Meta };
    let slot = cx.look(key, want)?;
    cx.keys.collection(slot, kind)?;
    if let Some(Grant::Names { bulks, count }) = take_grant(cx)? {
        begin(&mut cx.reply, count);
        cx.reply.raw(bulks);
        return Ok(Done);
    }
    let Some(value) = cx.keys.collection(slot, kind)? else {
        begin(&mut cx.reply, 0);
        return Ok(Done);
    };
    if !value.is_complete() {
        return Err(Stop::Park(Need::Elements { db: cx.db, key: key.into(), kind, what }));
    }
    admit_all(cx, value, what)?;
    begin(&mut cx.reply, value.known_len());
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

/// Checks that a reply with all elements is within its bound. Costs a walk only where they take
/// more than that in memory, which is never less.
fn admit_all(cx: &Cx<'_, '_>, value: &Value, what: Listed) -> Result<()> {
    if cx.admit_reply(value.bytes()).is_ok() {
        return Ok(());
    }
    let mut bytes = 0;
    value.each(&mut |name, content| {
        bytes += if what != Listed::Contents { name.len() + BULK_BYTES } else { 0 };
        bytes += if what != Listed::Names { content.len() + BULK_BYTES } else { 0 };
    });
    cx.admit_reply(bytes)
}

/// What the command waited for, where it is not an error.
pub(super) fn take_grant(cx: &mut Cx<'_, '_>) -> Result<Option<Grant>> {
    match cx.grant.take() {
        Some(Grant::Failed(error)) => Err(Stop::Error(error)),
        grant => Ok(grant),
    }
}

/// Replies with one step through the elements: SSCAN, HSCAN, ZSCAN. `write` writes one of them.
///
/// A cursor is a place in the directory, whether or not the elements are in memory; only a small
/// collection that is there is one step from any cursor. What a step waits for is as in SCAN.
pub(super) fn reply_step(
    cx: &mut Cx<'_, '_>,
    kind: Type,
    write: impl Fn(&mut Reply<'_>, &[u8], &[u8]),
) -> Result {
    let (key, db) = (cx.args.get(1), cx.db);
    let cursor = scan::parse_cursor(cx.args.get(2))?;
    let whole = cx.keys.in_transaction();
    let want = match cursor {
        0 if cx.grant.is_none() => cx.keys.small(),
        _ if whole => Want::Whole,
        _ => Want::Meta,
    };
    let slot = cx.look(key, want)?;
    let granted = take_grant(cx)?;
    let Some(value) = cx.keys.collection(slot, kind)? else {
        scan::begin_step(&mut cx.reply, None);
        cx.reply.array(0);
        return Ok(Done);
    };
    let options = Options::parse_for_elements(cx.args.skip(3).iter())?;
    let per_element = if kind == Type::Set { 1 } else { 2 };
    let reply = &mut cx.reply;
    let mut found = 0;
    let mut add = |reply: &mut Reply<'_>, name: &[u8], content: &[u8]| {
        if options.admits(name) {
            write(reply, name, content);
            found += per_element;
        }
    };
    let is_one_step =
        || whole || value.bytes() <= ONE_STEP_BYTES_MAX || value.known_len() <= options.count();
    if value.is_complete() && is_one_step() {
        scan::begin_step(reply, None);
        let mark = reply.mark();
        value.each(&mut |name, content| add(reply, name, content));
        reply.array_before(mark, found);
        return Ok(Done);
    }
    let Some(Grant::Elements { elements, next }) = granted else {
        cx.keys.wait_for_moves(db, key)?;
        let step = Need::ElementStep {
            db,
            key: key.into(),
            kind,
            position: position_from_cursor(cursor),
            count: options.count(),
        };
        // What it waited for was the tree; now the step.
        let first = if granted.is_some() { None } else { first_need(cx, key, cursor) };
        return Err(Stop::Park(first.unwrap_or(step)));
    };
    scan::begin_step(reply, next);
    let mark = reply.mark();
    let view = cx.keys.backlog.view(db, key, &[]);
    for (name, content) in elements {
        // What the tree lists counts if the backlog agrees that it is there.
        match view.element(&element(kind, name.clone())) {
            Said::Absent => {}
            Said::Is(newer) => add(reply, &name, &newer),
            Said::Tree => add(reply, &name, &content),
        }
    }
    reply.array_before(mark, found);
    Ok(Done)
}

/// What a step waits for first: nothing where all of the collection is in the tree.
fn first_need(cx: &Cx<'_, '_>, key: &[u8], cursor: u64) -> Option<Need> {
    let view = cx.keys.backlog.view(cx.db, key, &[]);
    let mut unwritten = view.hides_tree();
    view.elements(|_, _| unwritten = true);
    if unwritten { scan::first_need(cx, cursor) } else { None }
}

/// Redis' answer to a count of picks that is too large.
const OUT_OF_RANGE: &str = "ERR value is out of range";

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
        return fail(RANGE);
    }
    let bound = if doubled { i64::MAX / 2 } else { i64::MAX };
    if count < -bound || count > bound {
        return fail(OUT_OF_RANGE);
    }
    Ok(match usize::try_from(count) {
        Ok(count) => Picks::Distinct(count),
        Err(_) => Picks::Any(count.unsigned_abs() as usize),
    })
}

/// Refuses picks that would make a reply beyond its bound.
fn admit_picks(cx: &Cx<'_, '_>, picks: Picks) -> Result<()> {
    match picks {
        Picks::Any(count) if cx.admit_reply(count.saturating_mul(PICK_BYTES)).is_err() => {
            fail(OUT_OF_RANGE)
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
    let (Picks::Distinct(count) | Picks::Any(count)) = picks;
    let want = match cx.grant {
        Some(Grant::Sample(_) | Grant::Names { .. }) => Want::Meta,
        // Who wants so many gets all into memory: they are there already, about.
        _ if count > cx.keys.small_max() => Want::Whole,
        _ => cx.keys.small(),
    };
    let slot = cx.keys.open_as(cx.db, key, want, by)?;
    let granted = take_grant(cx)?;
    if cx.keys.collection(slot, kind)?.is_none() {
        return Ok((slot, Vec::new()));
    }
    admit_picks(cx, picks)?;
    let Some(value) = cx.keys.collection(slot, kind)? else { return Ok((slot, Vec::new())) };
    if value.is_complete() {
        return Ok((slot, pick_known(value, picks, &mut cx.server.rng)));
    }
    let (names, total, sampled) = match &granted {
        Some(Grant::Sample(names)) => {
            let names = confirmed(cx, key, kind, names.clone());
            if names.len() < PLACE_MIN {
                return Err(Stop::Park(all_names(cx, key, kind)));
            }
            (names, usize::try_from(value.count().at_least()).unwrap_or(usize::MAX), true)
        }
        Some(Grant::Names { bulks, count }) => {
            (Bulks(bulks).map(Bytes::from).collect(), *count, false)
        }
        _ if count <= PICKS_OF_PLACE_MAX => {
            cx.keys.wait_for_moves(cx.db, key)?;
            let (db, key, seed) = (cx.db, key.into(), cx.chance());
            return Err(Stop::Park(Need::ElementSample { db, key, kind, seed }));
        }
        _ => return Err(Stop::Park(all_names(cx, key, kind))),
    };
    let total = total.max(names.len());
    cx.grant = granted; // It is there again should something have to be read.
    match pick_listed(cx, key, kind, picks, names, total)? {
        Some(picked) => Ok(picked),
        None if sampled => Err(Stop::Park(all_names(cx, key, kind))),
        None => {
            let slot = cx.keys.open_as(cx.db, key, Want::Whole, Use::Look)?;
            let value = cx.keys.collection(slot, kind)?;
            let picked = value.map(|value| pick_known(value, picks, &mut cx.server.rng));
            Ok((slot, picked.unwrap_or_default()))
        }
    }
}

fn all_names(cx: &Cx<'_, '_>, key: &[u8], kind: Type) -> Need {
    Need::Elements { db: cx.db, key: key.into(), kind, what: Listed::Names }
}

/// Picks among all elements, which are in memory.
fn pick_known(value: &Value, picks: Picks, rng: &mut Rng) -> Vec<Bytes> {
    let len = value.known_len();
    match picks {
        Picks::Distinct(1) => value.at_random(rng.next_u64()).into_iter().collect(),
        Picks::Any(count) => (0..count).filter_map(|_| value.at_random(rng.next_u64())).collect(),
        Picks::Distinct(count) if count < len / 3 => {
            let mut picked = HashSet::with_capacity(count);
            while picked.len() < count {
                picked.extend(value.at_random(rng.next_u64()));
            }
            picked.into_iter().collect()
        }
        Picks::Distinct(count) => {
            let mut names = Vec::with_capacity(len);
            value.each(&mut |name, _| names.push(name.clone()));
            if count < len {
                (0..count).for_each(|at| names.swap(at, at + rng.index(len - at)));
                names.truncate(count);
            }
            names
        }
    }
}

/// Picks among names found in the tree, of `total` elements, and makes what is picked known; `None`
/// where there are none, or one of them went while they were read.
///
/// When the command runs again, after something had to be read, chance is the same, and names are
/// taken in the order of their hashes with it: so it finds what was read for it, however many
/// elements came and went meanwhile.
fn pick_listed(
    cx: &mut Cx<'_, '_>,
    key: &[u8],
    kind: Type,
    picks: Picks,
    mut names: Vec<Bytes>,
    total: usize,
) -> Result<Option<(SlotId, Vec<Bytes>)>> {
    let seed = cx.chance();
    let (Picks::Distinct(count) | Picks::Any(count)) = picks;
    let place = |name: &Bytes| hash64(name, seed);
    if count < names.len() {
        names.select_nth_unstable_by_key(count, place);
        names.truncate(count);
    }
    names.sort_unstable_by_key(place);
    let slices: Vec<&[u8]> = names.iter().map(|name| name.as_slice()).collect();
    let slot = cx.keys.open_as(cx.db, key, Want::Elements(&slices), Use::Look)?;
    let value = cx.keys.collection(slot, kind)?;
    let all_there = value.is_some_and(|value| slices.iter().all(|name| value.has(name)));
    if names.is_empty() || !all_there {
        return Ok(None);
    }
    let picked = match picks {
        Picks::Distinct(_) => names,
        Picks::Any(count) => {
            with_repeats(&names, total, count, &mut Rng::new(seed)).cloned().collect()
        }
    };
    Ok(Some((slot, picked)))
}

/// `count` picks from `total` names, each from all of them, given as many in random order as may be
/// needed: a pick is one that came before, or the next new one.
fn with_repeats<'n>(
    names: &'n [Bytes],
    total: usize,
    count: usize,
    rng: &mut Rng,
) -> impl Iterator<Item = &'n Bytes> {
    let mut seen = 0;
    (0..count).map(move |_| {
        let at = rng.index(total);
        if at >= seen && seen < names.len() {
            seen += 1;
            return &names[seen - 1];
        }
        &names[at % seen]
    })
}

/// Those of the names found in the tree that the backlog does not say are gone.
fn confirmed(cx: &Cx<'_, '_>, key: &[u8], kind: Type, mut names: Vec<Bytes>) -> Vec<Bytes> {
    let view = cx.keys.backlog.view(cx.db, key, &[]);
    names.retain(|name| view.element(&element(kind, name.clone())) != Said::Absent);
    names
}

/// Bulk strings, as a helper encodes them one behind the other.
struct Bulks<'a>(&'a [u8]);

impl<'a> Iterator for Bulks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\r')?;
        let digits = self.0[..end].strip_prefix(b"$")?;
        let len = digits.iter().fold(0, |len, digit| len * 10 + usize::from(digit - b'0'));
        let (bulk, rest) = self.0[end + 2..].split_at(len);
        self.0 = &rest[2..];
        Some(bulk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: u64) -> Vec<Bytes> {
        (0..count).map(|n| Bytes::from(n.to_string().into_bytes())).collect()
    }

    #[test]
    fn picks_are_as_many_and_as_different_as_asked_for() {
        let mut rng = Rng::new(5);
        let mut value = Value::new(Type::Set);
        value.complete(Vec::new()).unwrap();
        let Value::Set(set) = &mut value else { unreachable!() };
        names(10).into_iter().for_each(|name| _ = set.insert(name));
        for (picks, expect) in [
            (Picks::Distinct(0), 0),
            (Picks::Distinct(1), 1),
            (Picks::Distinct(3), 3),
            (Picks::Distinct(9), 9),
            (Picks::Distinct(usize::MAX), 10),
            (Picks::Any(0), 0),
            (Picks::Any(100), 100),
        ] {
            let picked = pick_known(&value, picks, &mut rng);
            assert_eq!(picked.len(), expect, "{picks:?}");
            assert!(picked.iter().all(|name| value.has(name)));
            if matches!(picks, Picks::Distinct(_)) {
                assert_eq!(picked.iter().collect::<HashSet<_>>().len(), expect, "{picks:?}");
            }
        }
    }

    #[test]
    fn repeats_come_as_often_as_by_chance() {
        let mut rng = Rng::new(6);
        let different = |rng: &mut Rng| {
            let names = names(100);
            with_repeats(&names, 100, 100, rng).collect::<HashSet<_>>().len()
        };
        let mean = (0..1_000).map(|_| different(&mut rng)).sum::<usize>() as f64 / 1_000.0;
        assert!((62.4..64.4).contains(&mean), "{mean}"); // 100 * (1 - 0.99^100) is 63.4.
    }

    #[test]
    fn bulks_are_read_back() {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Default::default());
        let bulks = [&b""[..], b"a\r\n$1", b"0123456789"];
        bulks.iter().for_each(|bulk| reply.bulk(bulk));
        assert_eq!(Bulks(&out).collect::<Vec<_>>(), bulks);
    }
}
