//! Typed values: what a key holds, in memory.
//!
//! Each type has its structure and its few mutators here. Only they change a value; the keyspace
//! records the op of each. *Loading what the ops made gives the value in memory* is the property
//! that everything rests on. Values know nothing of files, clients or time.

pub mod elements;
mod encoding;
pub mod hash;
pub mod histogram;
pub mod member_range;
pub mod order;
pub mod ranked;
pub mod set;
pub mod string;
pub mod zset;

use crate::base::bytes::Bytes;
use crate::base::number::Digits;
use crate::base::score::Score;
use crate::layout::op::{Content, Element, Type};
pub use elements::{Count, Elements, Lookup};
pub use encoding::Encoding;
pub use hash::HashValue;
pub use histogram::{Found, Histogram};
pub use member_range::{Bound, Bounds, MemberRange};
pub use order::Order;
pub use ranked::Ranked;
pub use set::SetValue;
pub use string::{Form, StringValue};
pub use zset::ZsetValue;

/// A value of any type, whole or in part.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string.
    String(StringValue),
    /// A hash.
    Hash(Box<HashValue>),
    /// A set.
    Set(Box<SetValue>),
    /// A sorted set.
    Zset(Box<ZsetValue>),
}

/// The content of a file that holds no element of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Runs an expression on the elements of a collection, whatever their type; another for a string.
macro_rules! on_elements {
    ($value:expr, $collection:ident => $run:expr, $string:expr) => {
        match $value {
            Value::String(_) => $string,
            Value::Hash($collection) => $run,
            Value::Set($collection) => $run,
            Value::Zset($collection) => $run,
        }
    };
}

impl Value {
    /// A value just made, with nothing in it.
    pub fn new(kind: Type) -> Value {
        match kind {
            Type::String => Value::String(StringValue::new(Content::new())),
            Type::Hash => Value::Hash(Box::default()),
            Type::Set => Value::Set(Box::default()),
            Type::Zset => Value::Zset(Box::default()),
        }
    }

    /// A value of the tree of which only the type is known.
    pub fn unknown(kind: Type) -> Value {
        let count = Count::AtLeast(0);
        match kind {
            Type::String => Value::String(StringValue::unloaded()),
            Type::Hash => Value::Hash(Box::new(HashValue::unknown(count))),
            Type::Set => Value::Set(Box::new(SetValue::unknown(count))),
            Type::Zset => Value::Zset(Box::new(ZsetValue::unknown(count))),
        }
    }

    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Value::String(_) => Type::String,
            Value::Hash(_) => Type::Hash,
            Value::Set(_) => Type::Set,
            Value::Zset(_) => Type::Zset,
        }
    }

    /// Bytes it holds in memory, about.
    pub fn bytes(&self) -> usize {
        match self {
            Value::String(string) => string.bytes(),
            Value::Hash(hash) => size_of::<HashValue>() + hash.bytes(),
            Value::Set(set) => size_of::<SetValue>() + set.bytes(),
            Value::Zset(zset) => size_of::<ZsetValue>() + zset.bytes(),
        }
    }

    /// What OBJECT ENCODING replies.
    pub fn encoding(&self) -> &'static str {
        match self {
            Value::String(string) => string.encoding(),
            Value::Hash(hash) => hash.encoding(),
            Value::Set(set) => set.encoding(),
            Value::Zset(zset) => zset.encoding(),
        }
    }

    /// Whether memory knows if an element of this name is there.
    pub fn knows(&self, name: &[u8]) -> bool {
        on_elements!(
            self,
            collection => !matches!(collection.elements().get(name), Lookup::Unknown),
            true
        )
    }

    /// Whether all of it is in memory.
    pub fn is_complete(&self) -> bool {
        match self {
            Value::String(string) => string.content().is_some(),
            Value::Hash(hash) => hash.elements().is_complete(),
            Value::Set(set) => set.elements().is_complete(),
            Value::Zset(zset) => zset.elements().is_complete(),
        }
    }

    /// How many elements it has; a string counts as one.
    pub fn count(&self) -> Count {
        on_elements!(self, collection => collection.count(), Count::Exact(1))
    }

    /// Notes how many elements it has.
    pub fn set_count(&mut self, count: Count) {
        on_elements!(self, collection => collection.set_count(count), ());
    }

    /// Forgets some elements that were not used for long; answers the bytes that went.
    pub fn trim(&mut self, steps: usize) -> usize {
        on_elements!(self, collection => collection.trim(steps), 0)
    }

    /// How many elements are in memory.
    pub fn known_len(&self) -> usize {
        on_elements!(self, collection => collection.elements().known_len(), 0)
    }

    /// How many elements are known to be present.
    pub fn present_len(&self) -> u64 {
        on_elements!(self, collection => collection.elements().present_len(), 1)
    }

    /// Notes what the file of an element holds, or that there is none.
    pub fn learn(&mut self, name: Bytes, found: Option<&Content>) -> Result<(), Malformed> {
        match self {
            Value::String(_) => {}
            Value::Hash(hash) => hash.learn(name, found.cloned()),
            Value::Set(set) => set.learn(name, found.map(drop)),
            Value::Zset(zset) => zset.learn(name, found.map(|text| score(text)).transpose()?),
        }
        Ok(())
    }

    /// Notes the files of all elements.
    pub fn complete(&mut self, found: Vec<(Bytes, Content)>) -> Result<(), Malformed> {
        match self {
            Value::String(_) => {}
            Value::Hash(hash) => hash.complete(found),
            Value::Set(set) => set.complete(found.into_iter().map(|(name, _)| (name, ()))),
            Value::Zset(zset) => {
                let scored: Result<Vec<_>, _> =
                    found.into_iter().map(|(name, text)| Ok((name, score(&text)?))).collect();
                zset.complete(scored?);
            }
        }
        Ok(())
    }

    /// Whether an element of this name is there; it must be known.
    pub fn has(&self, name: &[u8]) -> bool {
        match self {
            Value::String(_) => false,
            Value::Hash(hash) => hash.get(name).is_some(),
            Value::Set(set) => set.contains(name),
            Value::Zset(zset) => zset.score(name).is_some(),
        }
    }

    /// What the file of an element holds, `None` where there is none; it must be known.
    pub fn content_of(&self, name: &[u8]) -> Option<Content> {
        match self {
            Value::String(_) => None,
            Value::Hash(hash) => hash.get(name).cloned(),
            Value::Set(set) => set.contains(name).then(Content::new),
            Value::Zset(zset) => zset.score(name).map(score_content),
        }
    }

    /// In which form Redis would keep a collection.
    pub fn form(&self) -> Encoding {
        on_elements!(self, collection => collection.form(), Encoding::Unknown)
    }

    /// Makes an element what it was, and the form of its collection; takes a change back.
    pub fn put_back(&mut self, name: Bytes, content: Option<Content>, form: Encoding) {
        match (&mut *self, content) {
            (Value::String(_), _) => {}
            (Value::Hash(hash), Some(content)) => _ = hash.insert(name, content),
            (Value::Hash(hash), None) => _ = hash.remove(&name),
            (Value::Set(set), Some(_)) => _ = set.insert(name),
            (Value::Set(set), None) => _ = set.remove(&name),
            (Value::Zset(zset), Some(content)) => {
                let score = score(&content).expect("the content was made of a score");
                zset.insert(name, score);
            }
            (Value::Zset(zset), None) => _ = zset.remove(&name),
        }
        on_elements!(self, collection => collection.set_form(form), ());
    }

    /// Visits all elements with the content of their files; all of them must be known.
    pub fn each(&self, visit: &mut dyn FnMut(&Bytes, &[u8])) {
        match self {
            Value::String(_) => {}
            Value::Hash(hash) => {
                hash.elements().iter().for_each(|(name, value)| visit(name, value))
            }
            Value::Set(set) => set.elements().iter().for_each(|(name, ())| visit(name, b"")),
            Value::Zset(zset) => {
                let members = zset.elements().iter();
                members.for_each(|(name, score)| visit(name, score.name().as_bytes()));
            }
        }
    }

    /// One of the elements, all of which must be known, chosen by a random number.
    pub fn at_random(&self, seed: u64) -> Option<Bytes> {
        match self {
            Value::String(_) => None,
            Value::Hash(hash) => hash.elements().at_random(seed).map(|(name, _)| name.clone()),
            Value::Set(set) => set.elements().at_random(seed).map(|(name, ())| name.clone()),
            Value::Zset(zset) => zset.elements().at_random(seed).map(|(name, _)| name.clone()),
        }
    }

    /// All elements that memory knows to be there, with the content of their files.
    pub fn contents(&self) -> Vec<(Bytes, Content)> {
        match self {
            Value::String(_) => Vec::new(),
            Value::Hash(hash) => {
                let fields = hash.elements().iter_known();
                fields.map(|(field, value)| (field.clone(), value.clone())).collect()
            }
            Value::Set(set) => {
                let members = set.elements().iter_known();
                members.map(|(member, ())| (member.clone(), Content::new())).collect()
            }
            Value::Zset(zset) => {
                let members = zset.elements().iter_known();
                members.map(|(member, score)| (member.clone(), score_content(*score))).collect()
            }
        }
    }
}

/// The element of this name in a collection of this type; a string has none.
pub fn element(kind: Type, name: Bytes) -> Element {
    match kind {
        Type::Hash => Element::Field(name),
        Type::String | Type::Set | Type::Zset => Element::Member(name),
    }
}

/// Whole numbers below this are written as integers.
const WHOLE_MAX: f64 = (1u64 << 53) as f64;

/// What the file of a member with this score holds.
pub fn score_content(score: Score) -> Content {
    let value = score.get();
    if value.trunc() == value && value.abs() < WHOLE_MAX {
        return Content::from(Digits::new(value as i64).as_bytes()); // The same without a String.
    }
    Content::from(score.name().into_bytes())
}

fn score(text: &[u8]) -> Result<Score, Malformed> {
    Score::from_content(text).ok_or(Malformed)
}
