//! Unions, intersections and differences of sorted sets. Plain sets take part as sorted sets whose
//! members all have the score 1.
//!
//! A [`Request`] is what a command asks for, an [`Input`] one of the sets it works on. Inputs are
//! combined from the smallest to the largest, as Redis does it: sums of doubles depend on that.

use super::ordered::{reply_bytes, reply_members};
use super::zset_ranges::store;
use super::{integer, is, quoting};
use crate::base::bytes::Bytes;
use crate::base::number::{parse_f64, parse_i64};
use crate::base::score::Score;
use crate::command::table::{COUNTED, COUNTED_FROM_2, DENYOOM, Flags, MOVABLE, READ, WRITE, row};
use crate::command::{
    Args, Command, Cx, Done, Keyspace, Result, SYNTAX, SlotId, Use, WRONG_TYPE, Want, fail,
};
use crate::layout::op::Type;
use crate::resp::Shape;
use crate::value::Value;
use hashbrown::HashMap;
use std::cmp::Ordering;

/// Redis' answers to options that are no numbers.
const WEIGHT: &str = "ERR weight value is not a float";
const LIMIT: &str = "ERR LIMIT can't be negative";

const GROUP: &str = "sorted-set";
const LOOK: Flags = READ.and(MOVABLE);
const STORE: Flags = WRITE.and(DENYOOM).and(MOVABLE);
const COMBINE: &str = "numkeys key [key ...] [WEIGHTS weight [weight ...]] \
                       [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]";
const COMBINE_STORE: &str = "destination numkeys key [key ...] \
                             [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]";
const ZDIFF: &str = "numkeys key [key ...] [WITHSCORES]";
const ZDIFFSTORE: &str = "destination numkeys key [key ...]";
const ZINTERCARD: &str = "numkeys key [key ...] [LIMIT limit]";
const INTO: &[&str] = &["OW update", "RO access"];

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("zdiff", -3, COUNTED, LOOK, zdiff, ZDIFF)
        .doc(GROUP, "6.2.0", "Replies with the members of a sorted set that others do not have.")
        .access(&["RO access"]),
    row("zdiffstore", -4, COUNTED_FROM_2, STORE, zdiffstore, ZDIFFSTORE)
        .doc(GROUP, "6.2.0", "Stores the members of a sorted set that others do not have.")
        .access(INTO),
    row("zinter", -3, COUNTED, LOOK, zinter, COMBINE)
        .doc(GROUP, "6.2.0", "Replies with the members that all of several sorted sets have.")
        .access(&["RO access"]),
    row("zintercard", -3, COUNTED, LOOK, zintercard, ZINTERCARD)
        .doc(GROUP, "7.0.0", "Counts the members that all of several sorted sets have.")
        .access(&["RO access"]),
    row("zinterstore", -4, COUNTED_FROM_2, STORE, zinterstore, COMBINE_STORE)
        .doc(GROUP, "2.0.0", "Stores the members that all of several sorted sets have.")
        .access(INTO),
    row("zunion", -3, COUNTED, LOOK, zunion, COMBINE)
        .doc(GROUP, "6.2.0", "Replies with the members that any of several sorted sets has.")
        .access(&["RO access"]),
    row("zunionstore", -4, COUNTED_FROM_2, STORE, zunionstore, COMBINE_STORE)
        .doc(GROUP, "2.0.0", "Stores the members that any of several sorted sets has.")
        .access(INTO),
];

/// How sets are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Replied,
    Counted,
    Stored,
}

/// Replies with the members that any of the sets has.
fn zunion(cx: &mut Cx<'_, '_>) -> Result {
    reply_combined(cx, Operation::Union)
}

/// Replies with the members that all of the sets have.
fn zinter(cx: &mut Cx<'_, '_>) -> Result {
    reply_combined(cx, Operation::Intersection)
}

/// Replies with the members that only the first of the sets has.
fn zdiff(cx: &mut Cx<'_, '_>) -> Result {
    reply_combined(cx, Operation::Difference)
}

fn reply_combined(cx: &mut Cx<'_, '_>, operation: Operation) -> Result {
    let request = Request::open(cx, operation, Outcome::Replied)?;
    let mut members = request.combine(cx.keys);
    members.sort_unstable_by(|a, b| {
        // -0 and 0 are the same place; there is no NaN.
        a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(&b.1))
    });
    let pairs = || members.iter().map(|(score, member)| (*score, member));
    cx.admit_reply(reply_bytes(pairs()))?;
    let shape = Shape::new(request.options.with_scores, cx.reply.protocol());
    reply_members(&mut cx.reply, shape, members.len(), pairs());
    Ok(Done)
}

/// Replies with the number of members stored.
fn zunionstore(cx: &mut Cx<'_, '_>) -> Result {
    store_combined(cx, Operation::Union)
}

/// Replies with the number of members stored.
fn zinterstore(cx: &mut Cx<'_, '_>) -> Result {
    store_combined(cx, Operation::Intersection)
}

/// Replies with the number of members stored.
fn zdiffstore(cx: &mut Cx<'_, '_>) -> Result {
    store_combined(cx, Operation::Difference)
}

fn store_combined(cx: &mut Cx<'_, '_>, operation: Operation) -> Result {
    let target = cx.open(cx.args.get(1), Want::Meta);
    let request = Request::open(cx, operation, Outcome::Stored);
    let (request, target) = (request?, target?); // All are read before the command runs again.
    let members = request.combine(cx.keys).into_iter();
    let pairs = members.filter_map(|(score, member)| Some((Score::new(score)?, member)));
    let count = store(cx, target, pairs.collect())?;
    cx.reply.count(count);
    Ok(Done)
}

/// Replies with the number of members that all of the sets have, or with the limit.
fn zintercard(cx: &mut Cx<'_, '_>) -> Result {
    let request = Request::open(cx, Operation::Intersection, Outcome::Counted)?;
    let inputs = request.inputs(cx.keys);
    let count = intersection(&inputs, Aggregate::Sum).take(request.options.limit).count();
    cx.reply.count(count);
    Ok(Done)
}

/// A command whose keys are open.
struct Request {
    operation: Operation,
    slots: Vec<SlotId>,
    options: Options,
}

impl Request {
    /// Reads the arguments and opens the keys. That a key is of another type is said before that an
    /// option is wrong.
    fn open(cx: &mut Cx<'_, '_>, operation: Operation, outcome: Outcome) -> Result<Request> {
        let args = cx.args.skip(if outcome == Outcome::Stored { 2 } else { 1 });
        let len = integer(args.get(0))?;
        if len < 1 {
            let name = cx.arg(0).to_ascii_lowercase();
            return quoting("ERR at least 1 input key is needed for '", &name, "' command");
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len >= args.len() {
            return fail(SYNTAX);
        }
        let (keys, rest) = (args.skip(1).iter().take(len), args.skip(1 + len));
        let options = Options::parse(rest, len, operation, outcome);
        let want = if options.is_ok() { Want::Whole } else { Want::Meta };
        let slots = cx.keys.open_all(cx.db, keys, want, Use::Read)?;
        let fits =
            |slot: &SlotId| matches!(cx.keys.kind(*slot), None | Some(Type::Set | Type::Zset));
        if !slots.iter().all(fits) {
            return fail(WRONG_TYPE);
        }
        Ok(Request { operation, slots, options: options? })
    }

    /// The sets in the order in which they are combined.
    fn inputs<'k>(&self, keys: &'k Keyspace) -> Vec<Input<'k>> {
        let weights = self.options.weights.iter().copied().chain(std::iter::repeat(1.0));
        let inputs = self.slots.iter().zip(weights);
        let mut inputs: Vec<_> =
            inputs.map(|(slot, weight)| Input { set: keys.value(*slot), weight }).collect();
        if self.operation != Operation::Difference {
            inputs.sort_by_key(Input::len);
        }
        inputs
    }

    /// The result, in no order.
    fn combine(&self, keys: &Keyspace) -> Vec<(f64, Bytes)> {
        let inputs = self.inputs(keys);
        let aggregate = self.options.aggregate;
        match self.operation {
            Operation::Union => union(&inputs, aggregate),
            Operation::Intersection => own(intersection(&inputs, aggregate)),
            Operation::Difference => own(difference(&inputs)),
        }
    }
}

fn own<'m>(members: impl Iterator<Item = (f64, &'m Bytes)>) -> Vec<(f64, Bytes)> {
    members.map(|(score, member)| (score, member.clone())).collect()
}

/// What scores of one member become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, score: f64, other: f64) -> f64 {
        match self {
            Aggregate::Sum => number_or_0(score + other),
            Aggregate::Min if other < score => other,
            Aggregate::Max if other > score => other,
            Aggregate::Min | Aggregate::Max => score,
        }
    }
}

/// What infinity less infinity, or infinity times 0, counts for.
fn number_or_0(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value }
}

struct Options {
    /// One a key, or none.
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: usize,
}

impl Options {
    fn parse(
        args: Args<'_>,
        keys_len: usize,
        operation: Operation,
        outcome: Outcome,
    ) -> Result<Options> {
        let combines = operation != Operation::Difference && outcome != Outcome::Counted;
        let mut options = Options {
            weights: Vec::new(),
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: usize::MAX,
        };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let left = words.len();
            match () {
                () if combines && is(word, "weights") && left >= keys_len => {
                    let weights = words.by_ref().take(keys_len).map(weight);
                    options.weights = weights.collect::<Result<_>>()?;
                }
                () if combines && is(word, "aggregate") && left >= 1 => {
                    options.aggregate = aggregate(words.next().unwrap_or_default())?;
                }
                () if outcome == Outcome::Replied && is(word, "withscores") => {
                    options.with_scores = true;
                }
                () if outcome == Outcome::Counted && is(word, "limit") && left >= 1 => {
                    options.limit = limit(words.next().unwrap_or_default())?;
                }
                () => return fail(SYNTAX),
            }
        }
        Ok(options)
    }
}

fn weight(text: &[u8]) -> Result<f64> {
    parse_f64(text).map_or_else(|| fail(WEIGHT), Ok)
}

fn aggregate(word: &[u8]) -> Result<Aggregate> {
    match () {
        () if is(word, "sum") => Ok(Aggregate::Sum),
        () if is(word, "min") => Ok(Aggregate::Min),
        () if is(word, "max") => Ok(Aggregate::Max),
        () => fail(SYNTAX),
    }
}

/// How many members ZINTERCARD counts at most; 0 is no limit.
fn limit(text: &[u8]) -> Result<usize> {
    match parse_i64(text).map(usize::try_from) {
        Some(Ok(0)) => Ok(usize::MAX),
        Some(Ok(limit)) => Ok(limit),
        _ => fail(LIMIT),
    }
}

/// One of the sets, with all its members in memory; none where its key is absent.
struct Input<'k> {
    set: Option<&'k Value>,
    weight: f64,
}

impl<'k> Input<'k> {
    fn len(&self) -> u64 {
        self.set.map_or(0, |set| set.count().at_least())
    }

    /// All members with their scores, in no order.
    fn members(&self) -> Box<dyn Iterator<Item = (f64, &'k Bytes)> + 'k> {
        match self.set {
            Some(Value::Zset(zset)) => {
                Box::new(zset.elements().iter().map(|(member, score)| (score.get(), member)))
            }
            Some(Value::Set(set)) => {
                Box::new(set.elements().iter().map(|(member, ())| (1.0, member)))
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self.set {
            Some(Value::Zset(zset)) => zset.score(member).map(Score::get),
            Some(Value::Set(set)) => set.contains(member).then_some(1.0),
            _ => None,
        }
    }
}

fn union(inputs: &[Input<'_>], aggregate: Aggregate) -> Vec<(f64, Bytes)> {
    let mut scores: HashMap<&Bytes, f64> = HashMap::new();
    for input in inputs {
        for (score, member) in input.members() {
            let score = number_or_0(input.weight * score);
            let sum = scores.entry(member);
            sum.and_modify(|sum| *sum = aggregate.of(*sum, score)).or_insert(score);
        }
    }
    scores.into_iter().map(|(member, score)| (score, member.clone())).collect()
}

/// The members of the smallest set that all others have.
fn intersection<'k>(
    inputs: &[Input<'k>],
    aggregate: Aggregate,
) -> impl Iterator<Item = (f64, &'k Bytes)> {
    let smallest = inputs.iter().take(1).flat_map(|input| input.members());
    smallest.filter_map(move |(score, member)| {
        let (first, others) = inputs.split_first()?;
        let score = number_or_0(first.weight * score);
        let sum = others.iter().try_fold(score, |sum, other| {
            Some(aggregate.of(sum, other.score(member)? * other.weight))
        });
        Some((sum?, member))
    })
}

/// The members of the first set that no other has.
fn difference<'k>(inputs: &[Input<'k>]) -> impl Iterator<Item = (f64, &'k Bytes)> {
    let first = inputs.iter().take(1).flat_map(|input| input.members());
    first.filter(|(_, member)| inputs.iter().skip(1).all(|other| other.score(member).is_none()))
}
