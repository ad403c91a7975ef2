//! The property that everything rests on, checked: what memory has of a key is what loading what
//! the ops made gives. For tests.

use super::Keyspace;
use super::cache::Slot;
use super::load::{Miss, Wanted, load, meta, pending};
use crate::backlog::{Said, patched};
use crate::base::bytes::Bytes;
use crate::disk::Wait;
use crate::layout::op::{Content, Db, Type};
use crate::value::{Count, Value};
use hashbrown::HashMap;

impl Keyspace {
    /// Checks that loading what the ops made gives the values in memory, for every slot. For tests.
    ///
    /// # Errors
    /// Says which key differs, and how.
    pub fn check(&self) -> Result<(), String> {
        for (db, cache) in self.caches.iter().enumerate() {
            for slot in cache.iter() {
                self.check_slot(db as Db, slot)?;
            }
        }
        Ok(())
    }

    fn check_slot(&self, db: Db, slot: &Slot) -> Result<(), String> {
        if self.wait_for_moves(db, &slot.key).is_err() {
            return Ok(()); // The tree does not have it in its place yet.
        }
        let miss = Miss { db, key: slot.key.clone(), wanted: Wanted::Whole, pending: 0 };
        let found = load(&self.reader, &miss, Wait::Yes).map_err(|error| error.to_string())?;
        let view = self.backlog.view(db, &slot.key, &[]);
        let (loaded, listing) =
            found.map_or((None, None), |found| (Some(found.loaded), found.listing));
        let (kind, deadline) = meta(&view, true, loaded.as_ref()).unwrap_or_default();
        let made = match kind {
            Some(Type::String) => match view.value() {
                (Said::Is(content), patches) => Some(patched(content, &patches)),
                (Said::Absent, _) => None,
                (Said::Tree, patches) => {
                    loaded.and_then(|loaded| loaded.value).map(|value| patched(value, &patches))
                }
            }
            .map(|content| HashMap::from([(Bytes::new(), content)])),
            Some(kind) => {
                let mut all: HashMap<Bytes, Content> = HashMap::new();
                if !view.hides_tree() {
                    all.extend(listing.into_iter().flat_map(|listing| listing.names));
                }
                for (name, content) in pending(&view, kind) {
                    match content {
                        Some(content) => all.insert(name, content),
                        None => all.remove(&name),
                    };
                }
                Some(all)
            }
            None => None,
        };
        let same = slot.value.as_ref().map(Value::kind) == kind
            && (kind.is_none() || slot.deadline == deadline)
            && match (&slot.value, &made) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(value), Some(made)) => agrees(value, made),
            };
        if same {
            return Ok(());
        }
        let name = String::from_utf8_lossy(&slot.key).into_owned();
        Err(format!("{db}/{name}: memory has {slot:?}, the ops made {made:?}"))
    }
}

/// Whether what memory knows of a value is what was made; a string is one element without a name.
fn agrees(value: &Value, made: &HashMap<Bytes, Content>) -> bool {
    if let Value::String(string) = value {
        return string.content().is_none_or(|content| made.get(&Bytes::new()) == Some(content));
    }
    let known = value.contents();
    let same = known.iter().all(|(name, content)| same_content(value, made.get(name), content));
    let absent = made.keys().all(|name| !value.is_complete() || value.knows(name));
    let all = !value.is_complete() || known.len() == made.len();
    let count = match value.count() {
        Count::Exact(count) => count == made.len() as u64,
        Count::AtLeast(count) => count <= made.len() as u64,
    };
    same && absent && all && count
}

/// Whether a file holds what memory knows: scores are numbers, and a set's members hold nothing.
fn same_content(value: &Value, made: Option<&Content>, known: &Content) -> bool {
    use crate::base::score::Score;
    made.is_some_and(|made| match value.kind() {
        Type::Set => true,
        Type::Zset => Score::from_content(made) == Score::from_content(known),
        Type::String | Type::Hash => made == known,
    })
}
