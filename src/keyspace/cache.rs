//! The cache of one database: a table of slots with a clock hand for eviction.
//!
//! A slot says of one key that it is absent, or that it is present with this value and deadline.
//! Dropping a slot is always safe: the backlog and the tree have what it says. A slot's index
//! stays valid until the key is evicted, which never happens while a command runs.

use crate::layout::op::{Key, Seq};
use crate::value::Value;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// What a slot costs beside the bytes of key and value, about.
const SLOT_BYTES: usize = size_of::<Slot>() + 24;

/// What is known of one key.
#[derive(Debug)]
pub struct Slot {
    /// The key's name.
    pub key: Key,
    /// The value; `None` for a key that is known to be absent.
    pub value: Option<Value>,
    /// When it expires, in Unix milliseconds.
    pub deadline: Option<u64>,
    /// The newest batch that changed it, as far as known.
    pub seq: Seq,
    /// Unix seconds of the last access.
    pub used_s: u32,
    /// How many parked commands asked for it.
    pub pins: u16,
    recent: bool,
    bytes: usize,
}

/// Where a key's slot is, with some bits of the name's hash: most wrong slots are not looked at.
#[derive(Clone, Copy)]
struct Place {
    tag: u32,
    index: u32,
}

/// Slots of one database.
#[derive(Default)]
pub struct Cache {
    table: HashTable<Place>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    hasher: DefaultHashBuilder,
    hand: usize,
    bytes: usize,
}

impl Cache {
    /// The slot of a key.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        let same = |place: &Place| {
            place.tag == tag(hash)
                && self.slots[place.index as usize].as_ref().is_some_and(|s| *s.key == *key)
        };
        self.table.find(hash, same).map(|place| place.index)
    }

    /// Where the slot of a key very likely is, without looking at slots.
    pub fn probe(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.table.find(hash, |place| place.tag == tag(hash)).map(|place| place.index)
    }

    /// The slot that [`Cache::probe`] found.
    pub fn peek(&self, index: u32) -> Option<&Slot> {
        self.slots[index as usize].as_ref()
    }

    /// Adds a slot for a key that has none.
    pub fn insert(
        &mut self,
        key: Key,
        value: Option<Value>,
        deadline: Option<u64>,
        seq: Seq,
    ) -> u32 {
        let hash = self.hasher.hash_one(&*key);
        let mut slot =
            Slot { key, value, deadline, seq, used_s: 0, pins: 0, recent: true, bytes: 0 };
        slot.bytes = slot.weigh();
        self.bytes += slot.bytes;
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = Some(slot);
                index
            }
            None => {
                self.slots.push(Some(slot));
                u32::try_from(self.slots.len() - 1).expect("the cache has fewer than 2^32 slots")
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.table.insert_unique(hash, Place { tag: tag(hash), index }, |place| {
            let slot = slots[place.index as usize].as_ref().expect("the table names used slots");
            hasher.hash_one(&*slot.key)
        });
        index
    }

    /// The slot at an index that [`Cache::find`] or [`Cache::insert`] answered.
    pub fn slot(&self, index: u32) -> &Slot {
        self.slots[index as usize].as_ref().expect("no slot is evicted while it is in use")
    }

    /// Changes a slot and weighs it anew.
    pub fn change<T>(&mut self, index: u32, change: impl FnOnce(&mut Slot) -> T) -> T {
        let slot = self.slots[index as usize].as_mut().expect("no slot is evicted while in use");
        let answer = change(slot);
        let bytes = slot.weigh();
        self.bytes = self.bytes - slot.bytes + bytes;
        slot.bytes = bytes;
        answer
    }

    /// Notes that a slot was used.
    pub fn touch(&mut self, index: u32, now_s: u32) {
        if let Some(slot) = &mut self.slots[index as usize] {
            slot.recent = true;
            slot.used_s = now_s;
        }
    }

    /// Bytes of everything here, about.
    pub fn bytes(&self) -> usize {
        self.bytes + self.slots.capacity() / 4
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// All slots.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }

    /// Moves the clock hand over up to `steps` slots and drops those that were not used since it
    /// last passed and that no parked command asked for. Answers the bytes that this freed.
    pub fn sweep(&mut self, steps: usize) -> usize {
        let before = self.bytes;
        for _ in 0..steps.min(self.slots.len()) {
            self.hand = (self.hand + 1) % self.slots.len();
            let Some(slot) = &mut self.slots[self.hand] else { continue };
            if slot.recent || slot.pins > 0 {
                slot.recent = false;
            } else {
                self.drop_slot(self.hand);
            }
        }
        before - self.bytes
    }

    fn drop_slot(&mut self, index: usize) {
        let Some(slot) = self.slots[index].take() else { return };
        let hash = self.hasher.hash_one(&*slot.key);
        if let Ok(entry) = self.table.find_entry(hash, |place| place.index as usize == index) {
            entry.remove();
        }
        self.bytes -= slot.bytes;
        self.free.push(index as u32);
    }
}

/// Bits of a hash that the table itself does not compare.
fn tag(hash: u64) -> u32 {
    (hash >> 16) as u32
}

impl Slot {
    fn weigh(&self) -> usize {
        SLOT_BYTES + self.key.len() + self.value.as_ref().map_or(0, Value::bytes)
    }
}
