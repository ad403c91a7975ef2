//! Commands that list a database: KEYS, SCAN and RANDOMKEY.
//!
//! What is there is said by the directory of the database and by the backlog over it. A helper
//! reads the directory while the client is parked; here the backlog is asked and the reply made.

use super::collections::BULK_BYTES;
use super::{integer, is};
use crate::backlog::Said;
use crate::base::glob::{Case, Pattern};
use crate::command::table::{NO_KEY, READ, row};
use crate::command::{
    Command, Cx, Db, Done, Grant, Key, Keyspace, Need, Reply, Result, SYNTAX, Stop, Use, Want, fail,
};
use crate::keyspace::expiry::is_past;
use crate::layout::cursor::{cursor_from_position, position_from_cursor};
use crate::layout::op::Type;

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("keys", 2, NO_KEY, READ, keys, "pattern")
        .doc("generic", "1.0.0", "Replies with all names of keys that match a pattern.")
        .categories(&["dangerous"])
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"]),
    row("scan", -2, NO_KEY, READ, scan, "cursor [MATCH pattern] [COUNT count] [TYPE type]")
        .doc("generic", "2.8.0", "Lists the names of keys in steps.")
        .tips(&["nondeterministic_output", "request_policy:special"]),
    row("randomkey", 1, NO_KEY, READ, randomkey, "")
        .doc("generic", "1.0.0", "Replies with the name of some key.")
        .tips(&["request_policy:all_shards", "nondeterministic_output"]),
];

/// How many names one step of SCAN looks at without COUNT, as in Redis.
const COUNT: usize = 10;
/// How many names one step of SCAN looks at at most: COUNT is a hint.
const COUNT_MAX: usize = 100_000;
/// How many names of the backlog RANDOMKEY chooses among.
const SAMPLE_MAX: usize = 64;

fn keys(cx: &mut Cx<'_, '_>) -> Result {
    let (db, pattern) = (cx.db, cx.args.get(1));
    if cx.keys.in_transaction() {
        return keys_now(cx, pattern);
    }
    let grant = cx.wait_for(|_| Need::Names { db, pattern: pattern.into() })?;
    cx.keys.show_all();
    if let Grant::Names { bulks, count } = grant {
        cx.reply.array(count);
        cx.reply.raw(bulks);
    }
    Ok(Done)
}

/// KEYS in a transaction.
fn keys_now(cx: &mut Cx<'_, '_>, pattern: &[u8]) -> Result {
    let names = cx.keys.all_names(cx.db)?;
    let pattern = Pattern::new(pattern, Case::Sensitive);
    let found: Vec<&Key> = names.iter().filter(|name| pattern.fits(name)).collect();
    cx.admit_reply(found.iter().map(|name| name.len() + BULK_BYTES).sum())?;
    cx.reply.array(found.len());
    found.into_iter().for_each(|name| cx.reply.bulk(name));
    Ok(Done)
}

/// The options of SCAN.
pub(super) struct Options<'a> {
    pattern: Option<Pattern<'a>>,
    count: usize,
    kind: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// The options of SSCAN and its like, which know no TYPE.
    pub(super) fn parse_for_elements(args: impl Iterator<Item = &'a [u8]>) -> Result<Options<'a>> {
        let options = Options::parse(args)?;
        if options.kind.is_some() { fail(SYNTAX) } else { Ok(options) }
    }

    /// How many names a step is to look at.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether a name fits the pattern.
    pub(super) fn admits(&self, name: &[u8]) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.fits(name))
    }

    fn parse(mut args: impl Iterator<Item = &'a [u8]>) -> Result<Options<'a>> {
        let mut options = Options { pattern: None, count: COUNT, kind: None };
        while let Some(option) = args.next() {
            let Some(value) = args.next() else { return fail(SYNTAX) };
            if is(option, "count") {
                options.count = match usize::try_from(integer(value)?) {
                    Ok(count @ 1..) => count.min(COUNT_MAX),
                    _ => return fail(SYNTAX),
                };
            } else if is(option, "match") {
                options.pattern = Some(Pattern::new(value, Case::Sensitive));
            } else if is(option, "type") {
                options.kind = Some(value);
            } else {
                return fail(SYNTAX);
            }
        }
        Ok(options)
    }

    fn admit(&self, name: &[u8], kind: Type) -> bool {
        self.admits(name) && self.kind.is_none_or(|word| is(word, kind.name()))
    }
}

/// Replies with the next cursor and the names that this step found.
///
/// A scan from the beginning waits until the tree has what there was when it began; so does every
/// step for what recovery replayed. After that the directory alone says what was there all along.
fn scan(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let cursor = parse_cursor(args.get(1))?;
    let options = Options::parse(args.skip(2).iter())?;
    let db = cx.db;
    if cx.keys.in_transaction() {
        return scan_now(cx, position_from_cursor(cursor), &options);
    }
    cx.keys.wait_for_moves_of(db)?;
    let step = Need::Step { db, position: position_from_cursor(cursor), count: options.count };
    let (names, next) = match cx.grant.take() {
        Some(Grant::Step { names, next }) => (names, next),
        Some(Grant::Failed(error)) => return Err(Stop::Error(error)),
        Some(_) => return Err(Stop::Park(step)),
        None => return Err(Stop::Park(first_need(cx, cursor).unwrap_or(step))),
    };

    cx.keys.show_all();
    begin_step(&mut cx.reply, next);
    let mark = cx.reply.mark();
    let mut found = 0;
    for (name, kind, deadline) in names {
        let kind = confirm(cx.keys, db, &name, kind, deadline);
        if kind.is_some_and(|kind| options.admit(&name, kind)) {
            cx.reply.bulk(&name);
            found += 1;
        }
    }
    cx.reply.array_before(mark, found);
    Ok(Done)
}

/// SCAN in a transaction: a step does not wait for the tree, but begins with what that lacks.
fn scan_now(cx: &mut Cx<'_, '_>, position: u64, options: &Options<'_>) -> Result {
    let (names, next) = cx.keys.some_names(cx.db, position, options.count)?;
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let slot = cx.keys.open_as(cx.db, &name, Want::Meta, Use::Look)?;
        if cx.keys.kind(slot).is_some_and(|kind| options.admit(&name, kind)) {
            found.push(name);
        }
    }
    begin_step(&mut cx.reply, next);
    cx.reply.array(found.len());
    found.iter().for_each(|name| cx.reply.bulk(name));
    Ok(Done)
}

/// What a step from this cursor waits for first: the tree has what was there when the scan began,
/// and always what recovery replayed.
pub(super) fn first_need(cx: &Cx<'_, '_>, cursor: u64) -> Option<Need> {
    let first = if cursor == 0 { u64::MAX } else { cx.server.replayed };
    let upto = first.min(cx.keys.backlog.issued());
    (cx.keys.backlog.applied_seq() < upto).then_some(Need::Applied(upto))
}

/// Begins the reply of a step: the cursor of the next one, 0 where that was the last. What was
/// found follows.
pub(super) fn begin_step(reply: &mut Reply<'_>, next: Option<u64>) {
    reply.array(2);
    let next = next.map_or(0, cursor_from_position);
    reply.bulk(next.to_string().as_bytes());
}

/// A cursor as `strtoul` reads it: the sign is taken, the empty text is 0.
pub(super) fn parse_cursor(text: &[u8]) -> Result<u64> {
    const INVALID: &str = "ERR invalid cursor";
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return if text.is_empty() { Ok(0) } else { fail(INVALID) };
    }
    let mut value: u64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        let next = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit)));
        match next {
            Some(next) if digit <= 9 => value = next,
            _ => return fail(INVALID),
        }
    }
    Ok(if negative { value.wrapping_neg() } else { value })
}

/// The type of a key that the tree lists with this type and deadline, if the backlog and the clock
/// agree that it is there.
fn confirm(
    keys: &Keyspace,
    db: Db,
    name: &[u8],
    kind: Type,
    deadline: Option<u64>,
) -> Option<Type> {
    let view = keys.backlog.view(db, name, &[]);
    let kind = match view.kind() {
        Said::Absent => return None,
        Said::Is(kind) => kind,
        Said::Tree => kind,
    };
    let deadline = match view.expires() {
        Said::Absent => None,
        Said::Is(ms) => Some(ms),
        Said::Tree => deadline,
    };
    deadline.is_none_or(|ms| !is_past(ms, keys.now_ms)).then_some(kind)
}

/// Replies with a name, or with nothing where the database is empty.
///
/// Names come from a random place of the directory; where none of them is a key any more, from the
/// backlog, and then step by step from the whole directory: that ends, even where nothing in it is
/// a key. The first chance is the same when the command runs again after one of them had to be
/// read, so that it finds what was read for it.
fn randomkey(cx: &mut Cx<'_, '_>) -> Result {
    let db = cx.db;
    if !cx.keys.in_transaction() {
        cx.keys.wait_for_moves_of(db)?;
    }
    if cx.keys.sizes.known(db) == Some(0) {
        cx.keys.show_all();
        cx.reply.null();
        return Ok(Done);
    }
    let seed = cx.chance();
    let mut names = match cx.grant.take() {
        Some(Grant::Sample(names)) => names,
        Some(Grant::Step { names, next }) => return first_of_step(cx, names, next),
        Some(Grant::Failed(error)) => return Err(Stop::Error(error)),
        _ if cx.keys.in_transaction() => cx.keys.sample_names(db, seed)?,
        _ => return Err(Stop::Park(Need::Sample { db, seed })),
    };
    let start = (seed % names.len().max(1) as u64) as usize;
    names.rotate_left(start);
    let mut present = first_present(cx, &names)?;
    if present.is_none() && cx.keys.in_transaction() {
        let all = cx.keys.all_names(db)?;
        present = first_present(cx, &all)?;
    } else if present.is_none() {
        let mut newer: Vec<Key> = Vec::new();
        cx.keys.backlog.names(db, |name, there| {
            if there && newer.len() < SAMPLE_MAX {
                newer.push(name.clone());
            }
        });
        present = first_present(cx, &newer)?;
    }
    let elsewhere = !cx.keys.in_transaction() && !names.is_empty();
    if present.is_none() && elsewhere && cx.keys.sizes.known(db) != Some(0) {
        return Err(Stop::Park(Need::Step { db, position: 0, count: SAMPLE_MAX }));
    }
    cx.keys.show_all();
    cx.reply.bulk_or_null(present.as_deref());
    Ok(Done)
}

/// Replies with the first key of a step through the tree, and goes on with the next step where
/// there is none.
fn first_of_step(
    cx: &mut Cx<'_, '_>,
    names: Vec<(Key, Type, Option<u64>)>,
    next: Option<u64>,
) -> Result {
    let found = names
        .into_iter()
        .find(|(name, kind, deadline)| confirm(cx.keys, cx.db, name, *kind, *deadline).is_some());
    if let (None, Some(position)) = (&found, next) {
        return Err(Stop::Park(Need::Step { db: cx.db, position, count: SAMPLE_MAX }));
    }
    cx.keys.show_all();
    cx.reply.bulk_or_null(found.as_ref().map(|(name, ..)| &**name));
    Ok(Done)
}

/// The first of these names that is a key.
fn first_present(cx: &mut Cx<'_, '_>, names: &[Key]) -> Result<Option<Key>> {
    for name in names {
        let slot = cx.keys.open(cx.db, name, Want::Meta)?;
        if cx.keys.kind(slot).is_some() {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}
