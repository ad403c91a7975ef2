//! The cache of one database: a table of slots with a clock hand for eviction.
//!
//! A slot says of one key that it is absent, or that it is present with this value and deadline.
//! Dropping a slot is always safe: the backlog and the tree have what it says. A slot's index
//! stays valid until the key is evicted, which never happens while a command runs.

use crate::base::hash::name_hash;
use crate::base::table::Table;
use crate::layout::op::{Key, Seq};
use crate::value::Value;

/// What a slot costs beside the bytes of key and value, about.
pub const SLOT_BYTES: usize = size_of::<Slot>() + 32;

/// A collection of more elements in memory than this is dropped by and by,
const TRIM_MIN: usize = 1_000;
/// so many elements a step.
const TRIM_STEPS: usize = 1_000;

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

/// Slots of one database.
#[derive(Default)]
pub struct Cache {
    slots: Table<Slot>,
    hand: usize,
    bytes: usize,
    evicted: u64,
}

impl Cache {
    /// The slot of a key.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        self.slots.find(name_hash(key), |slot| *slot.key == *key)
    }

    /// Where the slot of a key very likely is, without looking at slots.
    pub fn probe(&self, key: &[u8]) -> Option<u32> {
        self.slots.probe(name_hash(key))
    }

    /// The slot that [`Cache::probe`] found.
    pub fn peek(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index)
    }

    /// Adds a slot for a key that has none.
    pub fn insert(
        &mut self,
        key: Key,
        value: Option<Value>,
        deadline: Option<u64>,
        seq: Seq,
    ) -> u32 {
        let hash = name_hash(&key);
        let mut slot =
            Slot { key, value, deadline, seq, used_s: 0, pins: 0, recent: true, bytes: 0 };
        slot.bytes = slot.weigh();
        self.bytes += slot.bytes;
        self.slots.insert(hash, slot)
    }

    /// The slot at an index that [`Cache::find`] or [`Cache::insert`] answered.
    pub fn slot(&self, index: u32) -> &Slot {
        self.slots.get(index).expect("no slot is evicted while it is in use")
    }

    /// Changes a slot and weighs it anew.
    pub fn change<T>(&mut self, index: u32, change: impl FnOnce(&mut Slot) -> T) -> T {
        let slot = self.slots.get_mut(index).expect("no slot is evicted while it is in use");
        let answer = change(slot);
        let bytes = slot.weigh();
        self.bytes = self.bytes - slot.bytes + bytes;
        slot.bytes = bytes;
        answer
    }

    /// Notes that a slot was used.
    pub fn touch(&mut self, index: u32, now_s: u32) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.recent = true;
            slot.used_s = now_s;
        }
    }

    /// Bytes of everything here, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes out how many bytes were evicted since this was asked last. [`Cache::bytes`] may sink
    /// by more or less: tables give memory back in large pieces.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// Places for slots: what a round of [`Cache::sweep`] goes over.
    pub fn places(&self) -> usize {
        self.slots.places()
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// All slots.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// Moves the clock hand over up to `steps` slots and drops those that were not used since it
    /// last passed, that no parked command asked for, and that batch `unsettled` has not changed.
    /// Hands them to `dropped`. Answers whether it ended at a large collection and looked at some
    /// of its elements.
    pub fn sweep(&mut self, steps: usize, unsettled: Seq, mut dropped: impl FnMut(Slot)) -> bool {
        for _ in 0..steps.min(self.slots.places()) {
            self.hand = (self.hand + 1) % self.slots.places();
            let place = self.hand as u32;
            let Some(slot) = self.slots.get_mut(place) else { continue };
            if slot.recent || slot.pins > 0 || slot.seq == unsettled {
                slot.recent = false;
            } else if slot.value.as_ref().is_some_and(|value| value.known_len() > TRIM_MIN) {
                self.trim(place);
                return true; // That was the work of a whole step.
            } else if let Some(slot) = self.slots.remove(place) {
                self.bytes -= slot.bytes;
                self.evicted += slot.bytes as u64;
                dropped(slot);
            }
        }
        false
    }

    /// Drops elements of a large collection, but not the collection.
    fn trim(&mut self, place: u32) {
        let trimmed =
            self.change(place, |slot| slot.value.as_mut().map(|value| value.trim(TRIM_STEPS)));
        self.evicted += trimmed.unwrap_or(0) as u64;
    }
}

impl Slot {
    fn weigh(&self) -> usize {
        let name = if self.key.is_allocated() { self.key.len() + 40 } else { 0 };
        SLOT_BYTES + name + self.value.as_ref().map_or(0, Value::bytes)
    }
}
