//! From the tree into memory: what of a key a command needs, and how that is read and put together.
//!
//! [`load`] reads on any thread; [`Keyspace::absorb`] lays what the backlog says over what was
//! read. What memory knows already is newer than both, and stays.

use super::{Error, Keyspace, Stop, damaged};
use crate::backlog::{Layer, Said, View, patched};
use crate::base::bytes::Bytes;
use crate::base::hash::hash64;
use crate::base::score::Score;
use crate::disk::Wait;
use crate::layout::op::{Content, Db, Element, Key, Type};
use crate::layout::reader::{Loaded, TreeReader, What};
use crate::value::{Count, Malformed, Ranked, StringValue, Value, element};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// A collection of up to so many elements is read as a whole by those who want all of it,
const SMALL_MAX: usize = 10_000;
/// if the cache has room for so many times as much,
const SMALL_SHARE: usize = 4;
/// an element taking so many bytes.
const SMALL_ELEMENT_BYTES: usize = 128;
/// One of so many always is: on what it is depends how Redis would keep it.
const SMALL_MIN: usize = 520;
/// Names that are listed to see whether a collection has others than those that go.
const OTHERS: usize = 1_000;

/// What of a key a command needs to know. What is not of the type that it finds it does not need.
#[derive(Clone, Copy, Debug)]
pub enum Want<'a> {
    /// Its type and deadline.
    Meta,
    /// Also a string's value.
    Value,
    /// Also whether these elements are there, and what they hold.
    Elements(&'a [&'a [u8]]),
    /// The same, and whether others stay when they go.
    Removal(&'a [&'a [u8]]),
    /// All elements of a collection of fewer than this; of a larger one only that it is so.
    Few(usize),
    /// The members of a sorted set that have these scores, whose histogram is known.
    Groups(&'a [Score]),
    /// The value or all elements.
    Whole,
}

/// The same, to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// See [`Want::Meta`].
    Meta,
    /// See [`Want::Value`].
    Value,
    /// See [`Want::Elements`].
    Elements(Vec<Bytes>),
    /// See [`Want::Removal`].
    Removal(Vec<Bytes>),
    /// See [`Want::Few`].
    Few(usize),
    /// See [`Want::Groups`].
    Groups(Vec<Score>),
    /// See [`Want::Whole`].
    Whole,
}

/// A key that the tree has to be asked for on a helper thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Miss {
    /// Its database.
    pub db: Db,
    /// Its name.
    pub key: Key,
    /// What of it is needed.
    pub wanted: Wanted,
    /// Where some are listed, of how many elements the backlog speaks: so many of them may be gone.
    pub pending: usize,
}

/// What the tree has of a key.
#[derive(Debug)]
pub struct Found {
    /// The key itself.
    pub loaded: Loaded,
    /// The elements that were asked for: content, or none.
    pub elements: Vec<(Bytes, Option<Content>)>,
    /// The members of a sorted set that have the scores that were asked for.
    pub groups: Vec<(Score, Vec<Bytes>)>,
    /// Its elements, or a part of them.
    pub listing: Option<Listing>,
}

/// Elements of a collection.
#[derive(Debug)]
pub struct Listing {
    /// Names, and contents where these were asked for.
    pub names: Vec<(Bytes, Content)>,
    /// Whether these are all, with their contents.
    pub complete: bool,
    /// Whether these are all names.
    pub all_names: bool,
    /// How many there are in all, where that is on record.
    pub count: Option<u64>,
}

impl Want<'_> {
    /// The same, to be kept.
    pub fn keep(self) -> Wanted {
        let own = |names: &[&[u8]]| names.iter().map(|name| Bytes::from(*name)).collect();
        match self {
            Want::Meta => Wanted::Meta,
            Want::Value => Wanted::Value,
            Want::Elements(names) => Wanted::Elements(own(names)),
            Want::Removal(names) => Wanted::Removal(own(names)),
            Want::Few(limit) => Wanted::Few(limit),
            Want::Groups(scores) => Wanted::Groups(scores.to_vec()),
            Want::Whole => Wanted::Whole,
        }
    }

    /// Whether a value tells what is wanted of it.
    pub fn is_met_by(self, value: &Value) -> bool {
        if let Value::String(string) = value {
            let content = matches!(self, Want::Value | Want::Few(_) | Want::Whole);
            return !content || string.content().is_some();
        }
        let knows = |names: &[&[u8]]| names.iter().all(|name| value.knows(name));
        match self {
            Want::Meta | Want::Value => true,
            Want::Elements(names) => knows(names),
            Want::Removal(names) => knows(names) && tells_others(value.count(), names.len()),
            Want::Groups(scores) => match value {
                Value::Zset(zset) => {
                    let knows = |ranked: &Ranked| scores.iter().all(|score| ranked.knows(*score));
                    zset.order().is_some() || zset.ranked().is_some_and(knows)
                }
                _ => true,
            },
            Want::Few(limit) => value.is_complete() || value.count().at_least() >= limit as u64,
            Want::Whole => value.is_complete(),
        }
    }
}

impl Keyspace {
    /// A collection of up to so many elements is brought into memory by those who want all of it.
    pub fn small_max(&self) -> usize {
        (self.budget / SMALL_SHARE / SMALL_ELEMENT_BYTES).clamp(SMALL_MIN, SMALL_MAX)
    }

    /// Wants all elements of a small collection; of a larger one only that it is so. A transaction
    /// wants all of any: what helpers list beside it is not as it has left it.
    pub fn small(&self) -> Want<'static> {
        if self.in_transaction() { Want::Whole } else { Want::Few(self.small_max() + 1) }
    }
}

impl Wanted {
    /// Runs a closure on the same as a [`Want`].
    pub fn with<T>(&self, run: impl FnOnce(Want<'_>) -> T) -> T {
        match self {
            Wanted::Meta => run(Want::Meta),
            Wanted::Value => run(Want::Value),
            Wanted::Elements(names) => run(Want::Elements(&slices(names))),
            Wanted::Removal(names) => run(Want::Removal(&slices(names))),
            Wanted::Few(limit) => run(Want::Few(*limit)),
            Wanted::Groups(scores) => run(Want::Groups(scores)),
            Wanted::Whole => run(Want::Whole),
        }
    }
}

fn slices(names: &[Bytes]) -> Vec<&[u8]> {
    names.iter().map(|name| name.as_slice()).collect()
}

/// Whether a count tells if others are left when `going` elements go.
pub(super) fn tells_others(count: Count, going: usize) -> bool {
    matches!(count, Count::Exact(_)) || count.at_least() > going as u64
}

/// Reads what is wanted of a key from the tree; `None` where it has no such key. With [`Wait::No`]
/// an answer that takes a listing is `WouldBlock`.
pub fn load(reader: &TreeReader, miss: &Miss, wait: Wait) -> io::Result<Option<Found>> {
    let (db, key) = (miss.db, &miss.key);
    let what = match miss.wanted {
        Wanted::Value | Wanted::Few(_) | Wanted::Whole => What::Value,
        _ => What::Meta,
    };
    let Some(loaded) = reader.load(db, key, what, wait)? else { return Ok(None) };
    let kind = loaded.kind;
    let mut found = Found { loaded, elements: Vec::new(), groups: Vec::new(), listing: None };
    if kind == Type::String {
        return Ok(Some(found));
    }
    let lists = !matches!(miss.wanted, Wanted::Meta | Wanted::Value | Wanted::Elements(_));
    if lists && wait == Wait::No {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    match &miss.wanted {
        Wanted::Meta | Wanted::Value => {}
        Wanted::Elements(names) | Wanted::Removal(names) => {
            let contents = reader.elements(db, key, kind, names, wait)?;
            found.elements = names.iter().cloned().zip(contents).collect();
            if lists {
                found.listing =
                    Some(names_upto(reader, db, key, kind, names.len() + OTHERS + miss.pending)?);
            }
        }
        Wanted::Groups(scores) => {
            for score in scores {
                found.groups.push((*score, reader.group(db, key, *score)?));
            }
        }
        Wanted::Few(limit) => {
            found.listing = Some(upto(reader, db, key, kind, limit.saturating_add(miss.pending))?);
        }
        Wanted::Whole => found.listing = Some(contents_upto(reader, db, key, kind, usize::MAX)?),
    }
    Ok(Some(found))
}

/// All elements of a collection of fewer than `limit`, else that it is a larger one.
fn upto(reader: &TreeReader, db: Db, key: &[u8], kind: Type, limit: usize) -> io::Result<Listing> {
    let names = names_upto(reader, db, key, kind, limit)?;
    if names.all_names { contents_upto(reader, db, key, kind, limit) } else { Ok(names) }
}

fn names_upto(
    reader: &TreeReader,
    db: Db,
    key: &[u8],
    kind: Type,
    limit: usize,
) -> io::Result<Listing> {
    let mut names = Vec::new();
    // Not about `limit` entries: some are no elements.
    let all = reader.list_elements(db, key, kind, 0, None, false, &mut |name, _| {
        names.push((name, Content::new()));
        names.len() < limit
    })?;
    let all_names = all.is_none() && names.len() < limit;
    let count = if all_names { None } else { reader.trusted_elements(db, key, kind)? };
    Ok(Listing { names, complete: all_names && kind == Type::Set, all_names, count })
}

fn contents_upto(
    reader: &TreeReader,
    db: Db,
    key: &[u8],
    kind: Type,
    limit: usize,
) -> io::Result<Listing> {
    let whole = reader.whole(db, key, kind, limit)?;
    Ok(Listing {
        names: whole.elements,
        complete: whole.complete,
        all_names: whole.complete,
        count: None,
    })
}

impl Keyspace {
    /// Puts together what memory, backlog and tree say of a key; `None` where the tree has to be
    /// asked first. `found` is what it answered, `kept` are layers applied while it was asked.
    pub(super) fn absorb(
        &mut self,
        db: Db,
        key: &[u8],
        want: Want<'_>,
        found: Option<Option<Found>>,
        kept: &[Arc<Layer>],
    ) -> Result<Option<u32>, Stop> {
        let asked = found.is_some();
        let mut found = found.flatten();
        let known = self.caches[usize::from(db)].find(key);
        let known = known.filter(|index| {
            let slot = self.caches[usize::from(db)].slot(*index);
            !matches!(slot.value, Some(Value::String(_)))
        });
        let index = match known {
            Some(index) => index,
            None => match self.absorb_key(db, key, asked, found.as_mut(), kept)? {
                Some(index) => index,
                None => return Ok(None),
            },
        };
        let kind = self.caches[usize::from(db)].slot(index).value.as_ref().map(Value::kind);
        if matches!(kind, None | Some(Type::String)) {
            let slot = self.caches[usize::from(db)].slot(index);
            let met = slot.value.as_ref().is_none_or(|value| want.is_met_by(value));
            if !met && asked {
                return Err(damaged(key, "its value was not found"));
            }
            return Ok(met.then_some(index));
        }
        self.absorb_elements(db, index, want, found, kept)
    }

    /// Type, deadline and a string's value.
    fn absorb_key(
        &mut self,
        db: Db,
        key: &[u8],
        asked: bool,
        found: Option<&mut Found>,
        kept: &[Arc<Layer>],
    ) -> Result<Option<u32>, Stop> {
        let view = self.backlog.view(db, key, kept);
        let loaded = found.map(|found| &mut found.loaded);
        if let Some(torn) = loaded.as_ref().and_then(|loaded| loaded.torn.as_ref())
            && matches!((view.kind(), view.expires()), (Said::Is(_) | Said::Tree, Said::Tree))
        {
            return Err(Stop::Error(Error::new(format!("ERR cannot read {torn}"))));
        }
        let Some((kind, deadline)) = meta(&view, asked, loaded.as_deref()) else { return Ok(None) };
        let value = match kind {
            None => None,
            Some(Type::String) => {
                let content = match view.value() {
                    (Said::Is(content), patches) => Some(patched(content, &patches)),
                    (Said::Absent, _) => {
                        return Err(damaged(key, "it has a type and no value"));
                    }
                    (Said::Tree, _) if !asked => return Ok(None),
                    (Said::Tree, patches) => {
                        let content = loaded.and_then(|loaded| loaded.value.take());
                        content.map(|content| patched(content, &patches))
                    }
                };
                let string = content.map_or_else(StringValue::unloaded, StringValue::new);
                Some(Value::String(string))
            }
            Some(kind) => {
                let mut value = Value::unknown(kind);
                if let Some(count) = self.counts.take(db, &Key::from(key)) {
                    value.set_count(Count::Exact(count));
                }
                Some(value)
            }
        };
        drop(view);
        Ok(Some(self.put_slot(db, key, value, deadline)))
    }

    /// Elements of a collection whose slot is there.
    fn absorb_elements(
        &mut self,
        db: Db,
        index: u32,
        want: Want<'_>,
        found: Option<Found>,
        kept: &[Arc<Layer>],
    ) -> Result<Option<u32>, Stop> {
        let (caches, filter) = (&mut self.caches, &self.members);
        let cache = &mut caches[usize::from(db)];
        let key = cache.slot(index).key.clone();
        let view = self.backlog.view(db, &key, kept);
        let unsettled = self.backlog.next_seq();
        let mut asked = false;
        let done = cache.change(index, |slot| {
            let value = slot.value.as_mut().expect("the key was found to be a collection");
            let mut sources = Sources { view: &view, value, changed: slot.seq == unsettled };
            if view.hides_tree() {
                sources.take_all(Vec::new())?;
            } else if let Some(found) = found {
                asked = !found.groups.is_empty() && sources.has_histogram();
                sources.take_found(found)?;
            } else if let Want::Elements(names) | Want::Removal(names) = want {
                let excluded = |name: &[u8]| filter.excludes(member_hash(db, &key, name));
                sources.take_pending(names, excluded)?;
            }
            if let Want::Removal(names) = want
                && !tells_others(sources.value.count(), names.len())
            {
                sources.take_presence(names.len());
            }
            Ok(want.is_met_by(sources.value))
        });
        match done {
            Ok(true) => Ok(Some(index)),
            Ok(false) if asked && matches!(want, Want::Groups(_)) => {
                Err(damaged(&key, "its scores/ does not say what its values/ say"))
            }
            Ok(false) => Ok(None),
            Err(Malformed) => Err(damaged(&key, "a member's score is not a number")),
        }
    }
}

/// What there is to make up a collection's elements from.
struct Sources<'a, 'b> {
    view: &'a View<'b>,
    value: &'a mut Value,
    /// The transaction under way has changed the value.
    changed: bool,
}

impl Sources<'_, '_> {
    /// Takes what the backlog says of names; of others a filter may say that they are absent.
    fn take_pending(
        &mut self,
        names: &[&[u8]],
        excluded: impl Fn(&[u8]) -> bool,
    ) -> Result<(), Malformed> {
        for name in names {
            if self.value.knows(name) {
                continue;
            }
            let name = Bytes::from(*name);
            match self.view.element(&element(self.value.kind(), name.clone())) {
                Said::Is(content) => self.value.learn(name, Some(&content))?,
                Said::Absent => self.value.learn(name, None)?,
                Said::Tree if excluded(&name) => self.value.learn(name, None)?,
                Said::Tree => {}
            }
        }
        Ok(())
    }

    /// Takes what memory and the backlog say of how many there are at least: that others are left
    /// when so many go. A listing would have to pass by all that the backlog says are gone.
    fn take_presence(&mut self, going: usize) {
        let pending = self.view.present_elements(going + 1, |name| !self.value.knows(name));
        let present = self.value.present_len() + pending as u64;
        if present > self.value.count().at_least() {
            self.value.set_count(Count::AtLeast(present));
        }
    }

    /// Takes what the tree answered, with what the backlog says over it.
    fn take_found(&mut self, found: Found) -> Result<(), Malformed> {
        if found.loaded.kind != self.value.kind() {
            return Ok(()); // It was replaced meanwhile: the command asks again.
        }
        for (name, content) in found.elements {
            match self.view.element(&element(self.value.kind(), name.clone())) {
                Said::Is(content) => self.value.learn(name, Some(&content))?,
                Said::Absent => self.value.learn(name, None)?,
                Said::Tree => self.value.learn(name, content.as_ref())?,
            }
        }
        for (score, members) in found.groups {
            self.take_group(score, members);
        }
        match found.listing {
            None => Ok(()),
            Some(listing) if listing.complete => self.take_all(listing.names),
            Some(listing) => {
                self.take_count(&listing);
                Ok(())
            }
        }
    }

    fn has_histogram(&self) -> bool {
        matches!(&*self.value, Value::Zset(zset) if zset.ranked().is_some())
    }

    /// All members with a score are known: those that the tree's group has, but for what the
    /// backlog says of it. What is pending for the members themselves may be in the tree already.
    fn take_group(&mut self, score: Score, members: Vec<Bytes>) {
        let Value::Zset(zset) = &mut *self.value else { return };
        let stays = |member: &Bytes| {
            let scored = Element::Scored(score, member.clone());
            !matches!(self.view.element(&scored), Said::Absent)
        };
        zset.learn_group(score, members.into_iter().filter(stays));
        if zset.ranked().is_some_and(|ranked| !ranked.knows(score)) {
            let pending = pending_groups(self.view).remove(&score).unwrap_or_default();
            let present = pending.into_iter().filter(|(_, present)| *present);
            zset.learn_group(score, present.map(|(member, _)| member));
        }
        zset.settle_group(score);
    }

    /// Everything is known: what the tree lists, with what the backlog says over it.
    fn take_all(&mut self, listed: Vec<(Bytes, Content)>) -> Result<(), Malformed> {
        if self.value.is_complete() {
            return Ok(());
        }
        let over = pending(self.view, self.value.kind());
        let mut all: Vec<_> =
            listed.into_iter().filter(|(name, _)| !over.contains_key(name)).collect();
        all.extend(over.into_iter().filter_map(|(name, content)| Some((name, content?))));
        self.value.complete(all)
    }

    /// Names only: what they tell is how many there are. Of what memory knows, it knows it better.
    fn take_count(&mut self, listing: &Listing) {
        if matches!(self.value.count(), Count::Exact(_)) {
            return;
        }
        let over = pending(self.view, self.value.kind());
        let is_new = |name: &Bytes| !self.value.knows(name);
        let listed = listing.names.iter().map(|(name, _)| name);
        let listed = listed.filter(|name| !over.contains_key(*name) && is_new(name)).count();
        let pending = over.iter().filter(|(name, content)| content.is_some() && is_new(name));
        let count = self.value.present_len() + (listed + pending.count()) as u64;
        self.value.set_count(match listing.count {
            _ if listing.all_names => Count::Exact(count),
            Some(count) if over.is_empty() && !self.changed => Count::Exact(count),
            _ => Count::AtLeast(count),
        });
    }
}

/// What the backlog says of the elements of a collection of this type.
pub(super) fn pending(view: &View<'_>, kind: Type) -> HashMap<Bytes, Option<Content>> {
    let mut over = HashMap::new();
    view.elements(|element, content| {
        let name = match (element, kind) {
            (Element::Field(name), Type::Hash) => name,
            (Element::Member(name), Type::Set | Type::Zset) => name,
            _ => return,
        };
        over.entry(name.clone()).or_insert_with(|| content.cloned());
    });
    over
}

/// What the backlog says of the groups of a sorted set.
pub(super) fn pending_groups(view: &View<'_>) -> BTreeMap<Score, HashMap<Bytes, bool>> {
    let mut groups: BTreeMap<Score, HashMap<Bytes, bool>> = BTreeMap::new();
    view.elements(|element, content| {
        if let Element::Scored(score, member) = element {
            let group = groups.entry(*score).or_default();
            group.entry(member.clone()).or_insert(content.is_some());
        }
    });
    groups
}

/// The type and deadline of a key as the backlog and the tree have them: `None` where the tree has
/// to be asked first.
pub(super) fn meta(
    view: &View<'_>,
    asked: bool,
    loaded: Option<&Loaded>,
) -> Option<(Option<Type>, Option<u64>)> {
    let kind = match view.kind() {
        Said::Absent => return Some((None, None)),
        Said::Is(kind) => Some(kind),
        Said::Tree if asked => loaded.map(|loaded| loaded.kind),
        Said::Tree => return None,
    };
    let deadline = match view.expires() {
        Said::Absent => None,
        Said::Is(ms) => Some(ms),
        Said::Tree if asked => loaded.and_then(|loaded| loaded.expires),
        Said::Tree => return None,
    };
    Some((kind, deadline.filter(|_| kind.is_some())))
}

/// The hash of an element's name in the filter of members.
pub(super) fn member_hash(db: Db, key: &[u8], name: &[u8]) -> u64 {
    hash64(name, hash64(key, u64::from(db)))
}
