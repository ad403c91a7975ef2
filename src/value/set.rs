//! A set: members, all of them or those that memory knows.
//!
//! Who uses a member has made it known first: see [`Elements`].

use super::elements::{Count, Elements};
use super::encoding::{Encoding, LISTPACK_ELEMENTS_MAX};
use crate::base::bytes::Bytes;

/// A set of members.
#[derive(Clone, Debug)]
pub struct SetValue {
    members: Elements<()>,
    encoding: Encoding,
}

impl Default for SetValue {
    fn default() -> Self {
        Self { members: Elements::new(), encoding: Encoding::Intset }
    }
}

impl SetValue {
    /// A set just made, without members.
    pub fn new() -> SetValue {
        SetValue::default()
    }

    /// A set of the tree, of which nothing is known but how many members it has.
    pub fn unknown(count: Count) -> SetValue {
        SetValue { members: Elements::unknown(count), encoding: Encoding::Unknown }
    }

    /// Whether a member is in it. It must be known.
    pub fn contains(&self, member: &[u8]) -> bool {
        self.members.get(member).known().is_some()
    }

    /// Adds a member, which must be known; answers whether it is new.
    pub fn insert(&mut self, member: Bytes) -> bool {
        self.encoding.fit(&member);
        let new = self.members.insert(member, ()).is_none();
        self.encoding.hold(self.count().at_least(), LISTPACK_ELEMENTS_MAX);
        new
    }

    /// Removes a member, which must be known; answers whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        self.members.remove(member).is_some()
    }

    /// What is known of its members.
    pub fn elements(&self) -> &Elements<()> {
        &self.members
    }

    /// How many members there are.
    pub fn count(&self) -> Count {
        self.members.count()
    }

    /// Notes how many there are: see [`Elements::set_count`].
    pub fn set_count(&mut self, count: Count) {
        self.members.set_count(count);
    }

    /// Notes whether a load found a member: see [`Elements::learn`].
    pub fn learn(&mut self, member: Bytes, found: Option<()>) {
        self.members.learn(member, found);
    }

    /// Notes all members that a load found: see [`Elements::complete`].
    pub fn complete(&mut self, found: impl IntoIterator<Item = (Bytes, ())>) {
        self.members.complete(found);
        if self.encoding == Encoding::Unknown {
            let members = self.members.iter().map(|(member, ())| member.as_slice());
            self.encoding =
                Encoding::Intset.grown(self.count().at_least(), LISTPACK_ELEMENTS_MAX, members);
        }
    }

    /// Forgets some members and answers the bytes that went: see [`Elements::trim`].
    pub fn trim(&mut self, steps: usize) -> usize {
        self.members.trim(steps)
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
        self.members.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(count: usize) -> impl Iterator<Item = Bytes> {
        (0..count).map(|n| Bytes::from(n.to_string().into_bytes()))
    }

    #[test]
    fn members_come_and_go() {
        let mut set = SetValue::new();
        assert!(set.insert(Bytes::from(b"a")));
        assert!(!set.insert(Bytes::from(b"a")));
        assert!(set.contains(b"a") && !set.contains(b"b"));
        assert!(set.remove(b"a") && !set.remove(b"a"));
        assert!(set.elements().is_surely_empty());
    }

    #[test]
    fn the_encoding_only_grows() {
        let mut set = SetValue::new();
        for (count, more, expect) in [
            (0, None, "intset"),
            (3, None, "intset"),
            (3, Some("a"), "listpack"),
            (127, None, "listpack"),
            (128, None, "hashtable"), // With "a".
        ] {
            integers(count).for_each(|member| _ = set.insert(member));
            more.map(|member: &str| set.insert(Bytes::from(member.as_bytes())));
            assert_eq!(set.encoding(), expect, "{count} and {more:?}");
        }
        integers(128).for_each(|member| _ = set.remove(&member));
        assert_eq!(set.encoding(), "hashtable");
    }

    #[test]
    fn the_encoding_of_what_was_never_whole_is_not_known() {
        let mut set = SetValue::unknown(Count::Exact(512));
        set.learn(Bytes::from(b"0"), None);
        set.learn(Bytes::from(b"1"), Some(()));
        assert!(!set.contains(b"0") && set.contains(b"1"));
        assert_eq!(set.encoding(), "hashtable");
        set.complete(integers(512).skip(1).map(|member| (member, ())));
        assert_eq!((set.encoding(), set.count()), ("intset", Count::Exact(511)));
        assert!(set.trim(10_000) > 0);
        assert_eq!((set.encoding(), set.count()), ("intset", Count::Exact(511)));
        assert!(set.bytes() < 500, "{}", set.bytes());
    }
}
