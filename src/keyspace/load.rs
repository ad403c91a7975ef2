//! From the tree into memory: what of a key a command needs, and how that is read and put together.
//!
//! [`load`] reads on any thread; [`Keyspace::absorb`] lays what the backlog says over what was
//! read. What memory knows already is newer than both, and stays.

use super::{Keyspace, Stop, damaged};
use crate::backlog::{Layer, Said, View, patched};
use crate::base::bytes::Bytes;
use crate::base::hash::hash64;
use crate::base::score::Score;
use crate::disk::Wait;
use crate::layout::op::{Content, Db, Element, Key, Type};
use crate::layout::reader::{Loaded, TreeReader, What};
use crate::value::{Count, Malformed, StringValue, Value, ZsetValue, element};
use hashbrown::HashMap;
use std::io;
use std::sync::Arc;

/// A collection of up to so many elements is read as a whole by those who want all of it.
pub const SMALL_MAX: usize = 10_000;
/// A value that takes more than one of so many parts of the cache is not read as a whole.
const KEPT_SHARE: usize = 4;
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
    /// All elements of a collection of up to [`SMALL_MAX`]; of a larger one only that it is so.
    Small,
    /// All elements of a collection of fewer than this; of a larger one only that it is so.
    Few(usize),
    /// The value or all elements.
    Whole,
}

/// The same, to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// See [`Want::Meta`].
    Meta,
    /// See [`Want::Value`].
    Value,
    /// See [`Want::Elements`].
    Elements(Vec<Bytes>),
    /// See [`Want::Removal`].
    Removal(Vec<Bytes>),
    /// See [`Want::Small`].
    Small,
    /// See [`Want::Few`].
    Few(usize),
    /// See [`Want::Whole`].
    Whole,
}

/// A key that the tree has to be asked for on a helper thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// Its database.
    pub db: Db,
    /// Its name.
    pub key: Key,
    /// What of it is needed.
    pub wanted: Wanted,
}

/// What the tree has of a key.
#[derive(Debug)]
pub struct Found {
    /// The key itself.
    pub loaded: Loaded,
    /// The elements that were asked for: content, or none.
    pub elements: Vec<(Bytes, Option<Content>)>,
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
            Want::Small => Wanted::Small,
            Want::Few(limit) => Wanted::Few(limit),
            Want::Whole => Wanted::Whole,
        }
    }

    /// Whether a value tells what is wanted of it.
    pub fn is_met_by(self, value: &Value) -> bool {
        if let Value::String(string) = value {
            let content = !matches!(self, Want::Meta | Want::Elements(_) | Want::Removal(_));
            return !content || string.content().is_some();
        }
        let knows = |names: &[&[u8]]| names.iter().all(|name| value.knows(name));
        match self {
            Want::Meta | Want::Value => true,
            Want::Elements(names) => knows(names),
            Want::Removal(names) => knows(names) && tells_others(value.count(), names.len()),
            Want::Small => value.is_complete() || value.count().at_least() > SMALL_MAX as u64,
            Want::Few(limit) => value.is_complete() || value.count().at_least() >= limit as u64,
            Want::Whole => value.is_complete(),
        }
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
            Wanted::Small => run(Want::Small),
            Wanted::Few(limit) => run(Want::Few(*limit)),
            Wanted::Whole => run(Want::Whole),
        }
    }
}

fn slices(names: &[Bytes]) -> Vec<&[u8]> {
    names.iter().map(|name| name.as_slice()).collect()
}

/// Whether a count tells if others are left when `going` elements go.
fn tells_others(count: Count, going: usize) -> bool {
    matches!(count, Count::Exact(_)) || count.at_least() > going as u64
}

/// Reads what is wanted of a key from the tree; `None` where it has no such key. With [`Wait::No`]
/// an answer that takes a listing is `WouldBlock`.
pub fn load(reader: &TreeReader, miss: &Miss, wait: Wait) -> io::Result<Option<Found>> {
    let (db, key) = (miss.db, &miss.key);
    let what = match miss.wanted {
        Wanted::Meta | Wanted::Elements(_) | Wanted::Removal(_) => What::Meta,
        _ => What::Value,
    };
    let Some(loaded) = reader.load(db, key, what, wait)? else { return Ok(None) };
    let kind = loaded.kind;
    let mut found = Found { loaded, elements: Vec::new(), listing: None };
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
                found.listing = Some(names_upto(reader, db, key, kind, names.len() + OTHERS)?);
            }
        }
        Wanted::Small => found.listing = Some(upto(reader, db, key, kind, SMALL_MAX + 1)?),
        Wanted::Few(limit) => found.listing = Some(upto(reader, db, key, kind, *limit)?),
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
    let all = reader.list_elements(db, key, kind, 0, Some(limit), false, &mut |name, _| {
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
        let done = cache.change(index, |slot| {
            let value = slot.value.as_mut().expect("the key was found to be a collection");
            let mut sources = Sources { view: &view, value };
            if view.hides_tree() {
                sources.take_all(Vec::new())?;
            } else if let Some(found) = found {
                sources.take_found(found)?;
            } else if let Want::Elements(names) | Want::Removal(names) = want {
                let excluded = |name: &[u8]| filter.excludes(member_hash(db, &key, name));
                sources.take_pending(names, excluded)?;
            }
            Ok(want.is_met_by(sources.value))
        });
        match done {
            Ok(true) => Ok(Some(index)),
            Ok(false) => Ok(None),
            Err(Malformed) => Err(damaged(&key, "a member's score is not a number")),
        }
    }
}

impl Keyspace {
    /// Bytes of a value that [`Keyspace::keep`] takes: what is larger would drive out all else.
    pub fn kept_max(&self) -> usize {
        self.budget / KEPT_SHARE
    }

    /// Keeps a whole sorted set that a helper made of the tree and of [`Keyspace::element_overlay`]
    /// while the writer paused. Does nothing where that key is no longer the same.
    pub fn keep(&mut self, db: Db, key: &[u8], mut whole: Box<ZsetValue>) {
        let cache = &mut self.caches[usize::from(db)];
        let view = self.backlog.view(db, key, &[]);
        let moves = self.moving.iter().any(|(_, places)| places.touches(db, key));
        let Some(index) = cache.find(key).filter(|_| !moves && !view.hides_tree()) else { return };
        // What changed meanwhile is all in the backlog.
        for (member, content) in pending(&view, Type::Zset) {
            match content.map(|content| Score::from_content(&content)) {
                Some(Some(score)) => _ = whole.insert(member, score),
                Some(None) => return,
                None => _ = whole.remove(&member),
            }
        }
        drop(view);
        let replaced = cache.change(index, |slot| match &mut slot.value {
            Some(Value::Zset(zset)) if zset.order().is_none() => {
                Some(std::mem::replace(zset, whole))
            }
            _ => None,
        });
        self.retire(replaced);
    }
}

/// What there is to make up a collection's elements from.
struct Sources<'a, 'b> {
    view: &'a View<'b>,
    value: &'a mut Value,
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
        match found.listing {
            None => Ok(()),
            Some(listing) if listing.complete => self.take_all(listing.names),
            Some(listing) => {
                self.take_count(listing);
                Ok(())
            }
        }
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

    /// Names only: what they tell is how many there are.
    fn take_count(&mut self, listing: Listing) {
        if matches!(self.value.count(), Count::Exact(_)) {
            return;
        }
        let over = pending(self.view, self.value.kind());
        let listed = listing.names.iter().filter(|(name, _)| !over.contains_key(name)).count();
        let present = over.values().filter(|content| content.is_some()).count();
        self.value.set_count(match listing.count {
            _ if listing.all_names => Count::Exact((listed + present) as u64),
            Some(count) if over.is_empty() => Count::Exact(count),
            _ => Count::AtLeast((listed + present) as u64),
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
