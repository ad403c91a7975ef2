//! A hash: fields with their values, all of them or those that memory knows.
//!
//! Who uses a field has made it known first: see [`Elements`].

use super::elements::{Count, Elements};
use super::encoding::{Encoding, LISTPACK_FIELDS_MAX};
use crate::base::bytes::Bytes;

/// A hash of fields.
#[derive(Clone, Debug)]
pub struct HashValue {
    fields: Elements<Bytes>,
    encoding: Encoding,
}

impl Default for HashValue {
    fn default() -> Self {
        Self { fields: Elements::new(), encoding: Encoding::Listpack }
    }
}

impl HashValue {
    /// A hash just made, without fields.
    pub fn new() -> HashValue {
        HashValue::default()
    }

    /// A hash of the tree, of which nothing is known but how many fields it has.
    pub fn unknown(count: Count) -> HashValue {
        HashValue { fields: Elements::unknown(count), encoding: Encoding::Unknown }
    }

    /// The value of a field, if it has one. It must be known.
    pub fn get(&self, field: &[u8]) -> Option<&Bytes> {
        self.fields.get(field).known()
    }

    /// Gives a value to a field, which must be known; answers whether the field is new.
    pub fn insert(&mut self, field: Bytes, value: Bytes) -> bool {
        self.encoding.fit(&field);
        self.encoding.fit(&value);
        let new = self.fields.insert(field, value).is_none();
        self.encoding.hold(self.count().at_least(), LISTPACK_FIELDS_MAX);
        new
    }

    /// Removes a field, which must be known; answers whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        self.fields.remove(field).is_some()
    }

    /// What is known of its fields.
    pub fn elements(&self) -> &Elements<Bytes> {
        &self.fields
    }

    /// How many fields there are.
    pub fn count(&self) -> Count {
        self.fields.count()
    }

    /// Notes how many there are: see [`Elements::set_count`].
    pub fn set_count(&mut self, count: Count) {
        self.fields.set_count(count);
    }

    /// Notes the value that a load found for a field: see [`Elements::learn`].
    pub fn learn(&mut self, field: Bytes, found: Option<Bytes>) {
        self.fields.learn(field, found);
    }

    /// Notes all fields that a load found: see [`Elements::complete`].
    pub fn complete(&mut self, found: impl IntoIterator<Item = (Bytes, Bytes)>) {
        self.fields.complete(found);
        if self.encoding == Encoding::Unknown {
            let texts = self.fields.iter().flat_map(|(field, value)| [field, value]);
            let texts = texts.map(Bytes::as_slice);
            self.encoding =
                Encoding::Listpack.grown(self.count().at_least(), LISTPACK_FIELDS_MAX, texts);
        }
    }

    /// Forgets some fields and answers the bytes that went: see [`Elements::trim`].
    pub fn trim(&mut self, steps: usize) -> usize {
        self.fields.trim(steps)
    }

    /// In which form Redis would keep it.
    pub(super) fn form(&self) -> Encoding {
        self.encoding
    }

    /// Sets the form back, when a change is taken back.
    pub(super) fn set_form(&mut self, form: Encoding) {
        self.encoding = form;
    }

    /// What OBJECT ENCODING replies: as Redis keeps it, for what is known of its history.
    pub fn encoding(&self) -> &'static str {
        self.encoding.name("hashtable")
    }

    /// Bytes it holds in memory, about.
    pub fn bytes(&self) -> usize {
        self.fields.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::from(text.as_bytes())
    }

    #[test]
    fn fields_come_and_go() {
        let mut hash = HashValue::new();
        assert!(hash.insert(bytes("name"), bytes("ada")));
        assert!(!hash.insert(bytes("name"), bytes("bob")));
        assert_eq!(hash.get(b"name"), Some(&bytes("bob")));
        assert_eq!(hash.get(b"age"), None);
        assert!(hash.remove(b"name") && !hash.remove(b"name"));
        assert!(hash.elements().is_surely_empty());
    }

    #[test]
    fn the_encoding_only_grows() {
        let long = "x".repeat(65);
        for (count, field, value, expect) in [
            (0, "f", "v", "listpack"),
            (511, "f", "v", "listpack"),
            (512, "f", "v", "hashtable"),
            (0, "f", &long, "hashtable"),
            (0, &long, "v", "hashtable"),
            (5, "0", &long, "hashtable"), // A value in the place of a shorter one.
        ] {
            let mut hash = HashValue::new();
            (0..count).for_each(|n| _ = hash.insert(bytes(&n.to_string()), bytes("v")));
            hash.insert(bytes(field), bytes(value));
            assert_eq!(hash.encoding(), expect, "{count}, {field}, {value}");
            hash.remove(field.as_bytes());
            assert_eq!(hash.encoding(), expect, "{count}, {field}, {value}");
            let mut loaded = HashValue::unknown(Count::AtLeast(1));
            assert_eq!(loaded.encoding(), "hashtable");
            hash.insert(bytes(field), bytes(value));
            loaded.complete(hash.elements().iter().map(|(f, v)| (f.clone(), v.clone())));
            assert_eq!(loaded.encoding(), expect, "{count}, {field}, {value}");
        }
    }

    #[test]
    fn a_part_is_enough_for_what_touches_it() {
        let mut hash = HashValue::unknown(Count::Exact(1_000_000));
        hash.learn(bytes("a"), Some(bytes("1")));
        hash.learn(bytes("b"), None);
        assert_eq!((hash.get(b"a"), hash.get(b"b")), (Some(&bytes("1")), None));
        assert!(hash.insert(bytes("b"), bytes("2")) && hash.remove(b"a"));
        assert_eq!(hash.count(), Count::Exact(1_000_000));
        assert_eq!((hash.trim(2), hash.elements().known_len()), (0, 2)); // They were used.
        assert!(hash.trim(2) > 0 && hash.elements().known_len() == 0);
    }
}
