//! What the backlog says of one key, put together from its layers.

use super::layer::{Entry, Layer, Unwritten};
use crate::layout::op::{Content, Db, Element, Fate, Type};
use hashbrown::HashSet;
use smallvec::SmallVec;
use std::cell::Ref;

/// So many elements are looked at for each one that is to be found present,
const LOOKS_PER_PRESENT: usize = 4;
/// and not fewer than these.
const LOOKS_MIN: usize = 64;

/// What the layers say of one part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<T> {
    /// This is it.
    Is(T),
    /// It is absent.
    Absent,
    /// The tree knows.
    Tree,
}

/// What the backlog says of one key, through all its layers.
#[derive(Default)]
pub struct View<'b> {
    pub(super) db: Db,
    pub(super) key: SmallVec<[u8; 64]>,
    pub(super) logs: SmallVec<[Ref<'b, Layer>; 2]>,
    pub(super) layers: SmallVec<[&'b Layer; 4]>,
}

impl View<'_> {
    /// The layers from the newest to the oldest that counts: what each says of the key, and whether
    /// it hides what is older.
    fn each<T>(&self, mut look: impl FnMut(Option<&Entry>, bool) -> Option<T>) -> Option<T> {
        let logs = self.logs.iter().map(|log| &**log);
        for layer in logs.chain(self.layers.iter().copied()) {
            let entry = layer.entry(self.db, &self.key);
            let hides = layer.dbs[usize::from(self.db)].cleared.is_some()
                || entry.is_some_and(|entry| entry.core.fate.clears());
            let found = look(entry, hides);
            if found.is_some() || hides {
                return found;
            }
        }
        None
    }

    /// Whether a layer hides what the tree has of the key.
    pub fn hides_tree(&self) -> bool {
        self.each(|_, hides| hides.then_some(())).is_some()
    }

    /// The key's type.
    pub fn kind(&self) -> Said<Type> {
        let said = self.each(|entry, hides| match entry.map(|entry| entry.core.fate) {
            Some(Fate::Made(kind)) => Some(Said::Is(kind)),
            Some(Fate::Removed) => Some(Said::Absent),
            _ => hides.then_some(Said::Absent),
        });
        said.unwrap_or(Said::Tree)
    }

    /// The key's deadline.
    pub fn expires(&self) -> Said<u64> {
        let said = self.each(|entry, hides| match entry.and_then(|entry| entry.core.expires) {
            Some(Some(ms)) => Some(Said::Is(ms)),
            Some(None) => Some(Said::Absent),
            None => hides.then_some(Said::Absent),
        });
        said.unwrap_or(Said::Tree)
    }

    /// The string's value, and the patches that come over it in their order.
    pub fn value(&self) -> (Said<Content>, Vec<(u64, Content)>) {
        let mut newer: Vec<(u64, Content)> = Vec::new();
        let base = self.each(|entry, hides| {
            if let Some(change) = entry.and_then(|entry| entry.core.value.as_ref()) {
                newer.extend(change.patches.iter().rev().cloned());
                if let Some(base) = &change.base {
                    return Some(Said::Is(base.clone()));
                }
            }
            hides.then_some(Said::Absent)
        });
        newer.reverse();
        match base {
            Some(Said::Absent) if !newer.is_empty() => (Said::Is(Content::new()), newer),
            base => (base.unwrap_or(Said::Tree), newer),
        }
    }

    /// One element.
    pub fn element(&self, element: &Element) -> Said<Content> {
        let said = self.each(|entry, hides| match entry.and_then(|entry| entry.element(element)) {
            Some(Unwritten { content: Some(content), .. }) => Some(Said::Is(content.clone())),
            Some(_) => Some(Said::Absent),
            None => hides.then_some(Said::Absent),
        });
        said.unwrap_or(Said::Tree)
    }

    /// Counts members or fields that are present, up to `most`: those that `counts` admits and
    /// whose newest word says so, among the first ones that the layers speak of. O(most).
    pub fn present_elements(&self, most: usize, counts: impl Fn(&[u8]) -> bool) -> usize {
        let (mut spoken, mut present) = (HashSet::new(), 0);
        let mut looks = most.saturating_mul(LOOKS_PER_PRESENT).max(LOOKS_MIN);
        self.each(|entry, _| {
            for unwritten in entry.into_iter().flat_map(Entry::elements) {
                if looks == 0 || present == most {
                    return Some(());
                }
                looks -= 1;
                let element = &unwritten.element;
                if !matches!(element, Element::Scored(..)) && spoken.insert(element.clone()) {
                    let is_present = unwritten.content.is_some() && counts(element.name());
                    present += usize::from(is_present);
                }
            }
            None
        });
        present
    }

    /// Of how many elements the layers speak, at most. O(layers).
    pub fn elements_len(&self) -> usize {
        let mut len = 0;
        self.each(|entry, _| {
            len += entry.map_or(0, Entry::elements_len);
            None::<()>
        });
        len
    }

    /// Visits all elements that the layers speak of, the newest word first: the first one counts.
    pub fn elements(&self, mut visit: impl FnMut(&Element, Option<&Content>)) {
        self.each(|entry, _| {
            for unwritten in entry.into_iter().flat_map(Entry::elements) {
                visit(&unwritten.element, unwritten.content.as_ref());
            }
            None::<()>
        });
    }
}
