//! A table: values found by a hash, in places that do not move, walked by age.
//!
//! Places are numbered, and a number stays valid until its value is removed. Growing moves no
//! value and looks at none: the places lie in chunks, and the hash is kept beside each number. All
//! operations take constant time, but that now and then the numbers are filed anew. A table that
//! shrinks gives its memory back: a chunk whose last value goes, and the index where most of it is
//! free.

use hashbrown::HashTable;

/// Values in one chunk.
const CHUNK: usize = 512;
/// No place.
const NONE: u32 = u32::MAX;
/// The index shrinks where it has room for so many times what is in it.
const SPARSE: usize = 8;

/// Values in numbered places, found by hash and walked from the oldest to the youngest.
#[derive(Clone)]
pub struct Table<T> {
    index: HashTable<Filed>,
    chunks: Vec<Chunk<T>>,
    /// The chunks that have room; the last of them gets the next value.
    roomy: Vec<u32>,
    oldest: u32,
    youngest: u32,
}

#[derive(Clone, Copy)]
struct Filed {
    hash: u32,
    place: u32,
}

/// Some places: those of the first `places.len()` that were in use are free or hold a value.
#[derive(Clone)]
struct Chunk<T> {
    places: Vec<Place<T>>,
    /// The first free one among them; each names the next one as `younger`.
    free: u32,
    values: usize,
}

#[derive(Clone)]
struct Place<T> {
    value: Option<T>,
    hash: u32,
    older: u32,
    younger: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            index: HashTable::new(),
            chunks: Vec::new(),
            roomy: Vec::new(),
            oldest: NONE,
            youngest: NONE,
        }
    }
}

/// What the index sees of a hash: its upper and lower bits both come from the part that is kept.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl<T> Table<T> {
    /// The place of the value with this hash of which `is_it` is true.
    pub fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        let hash = hash as u32;
        let same = |filed: &Filed| filed.hash == hash && self.get(filed.place).is_some_and(&is_it);
        self.index.find(spread(hash), same).map(|filed| filed.place)
    }

    /// The place of a value that very likely is the one with this hash, without looking at it.
    pub fn probe(&self, hash: u64) -> Option<u32> {
        let hash = hash as u32;
        self.index.find(spread(hash), |filed| filed.hash == hash).map(|filed| filed.place)
    }

    /// Adds a value as the youngest; the caller knows that it is not there.
    pub fn insert(&mut self, hash: u64, value: T) -> u32 {
        let hash = hash as u32;
        let new = Place { value: Some(value), hash, older: NONE, younger: NONE };
        let place = self.put(new);
        self.link_behind(place, self.youngest);
        self.index.insert_unique(spread(hash), Filed { hash, place }, |filed| spread(filed.hash));
        place
    }

    /// Puts a value into a free place.
    fn put(&mut self, new: Place<T>) -> u32 {
        let at = self.roomy.last().copied().unwrap_or_else(|| {
            let at = u32::try_from(self.chunks.len()).expect("a table has fewer than 2^32 places");
            self.chunks.push(Chunk { places: Vec::new(), free: NONE, values: 0 });
            self.roomy.push(at);
            at
        });
        let chunk = &mut self.chunks[at as usize];
        if at > 0 && chunk.places.capacity() == 0 {
            chunk.places.reserve_exact(CHUNK);
        }
        let within = match chunk.free {
            NONE => {
                chunk.places.push(new);
                chunk.places.len() as u32 - 1
            }
            within => {
                let free = &mut chunk.places[within as usize];
                chunk.free = free.younger;
                *free = new;
                within
            }
        };
        chunk.values += 1;
        if chunk.values == CHUNK {
            self.roomy.pop();
        }
        at * CHUNK as u32 + within
    }

    /// The value in a place.
    pub fn get(&self, place: u32) -> Option<&T> {
        let chunk = self.chunks.get(place as usize / CHUNK)?;
        chunk.places.get(place as usize % CHUNK)?.value.as_ref()
    }

    /// The value in a place, to change what its hash does not depend on.
    pub fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        let chunk = self.chunks.get_mut(place as usize / CHUNK)?;
        chunk.places.get_mut(place as usize % CHUNK)?.value.as_mut()
    }

    /// Takes the value out of a place.
    pub fn remove(&mut self, place: u32) -> Option<T> {
        let chunk = self.chunks.get_mut(place as usize / CHUNK)?;
        let value = chunk.places.get_mut(place as usize % CHUNK)?.value.take()?;
        self.unlink(place);
        let hash = self.place(place).hash;
        if let Ok(filed) = self.index.find_entry(spread(hash), |filed| filed.place == place) {
            filed.remove();
        }
        self.free(place);
        Some(value)
    }

    /// Notes that a place holds nothing any more. The first chunk's memory stays: small tables are
    /// filled and emptied all the time.
    fn free(&mut self, place: u32) {
        let (at, within) = (place / CHUNK as u32, place % CHUNK as u32);
        let chunk = &mut self.chunks[at as usize];
        if chunk.values == CHUNK {
            self.roomy.push(at);
        }
        chunk.values -= 1;
        chunk.places[within as usize].younger = chunk.free;
        chunk.free = within;
        if at > 0 && chunk.values == 0 {
            chunk.places = Vec::new();
            chunk.free = NONE;
            if self.index.capacity() > SPARSE * self.index.len().max(CHUNK) {
                self.index.shrink_to(2 * self.index.len(), |filed| spread(filed.hash));
            }
        }
    }

    /// The place of the oldest value.
    pub fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// The place of the next younger value.
    pub fn younger(&self, place: u32) -> Option<u32> {
        Some(self.place(place).younger).filter(|younger| *younger != NONE)
    }

    /// The place of the youngest value.
    pub fn youngest(&self) -> Option<u32> {
        (self.youngest != NONE).then_some(self.youngest)
    }

    /// Makes a value the oldest one.
    pub fn make_oldest(&mut self, place: u32) {
        self.unlink(place);
        self.link_behind(place, NONE);
    }

    /// Makes a value as old as `older` says of those that stay older than it: moves it to where
    /// `older` is false for the next one. Steps over those for which it is true.
    pub fn age(&mut self, place: u32, older: impl Fn(&T) -> bool) {
        let mut behind = NONE;
        let mut next = self.oldest;
        while next != NONE && (next == place || self.get(next).is_some_and(&older)) {
            if next != place {
                behind = next;
            }
            next = self.place(next).younger;
        }
        self.unlink(place);
        self.link_behind(place, behind);
    }

    /// All values, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::successors(self.oldest(), |place| self.younger(*place))
            .filter_map(|place| self.get(place))
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// How many places there are, free ones too: their numbers are below this.
    pub fn places(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.places.len())
    }

    fn place(&self, place: u32) -> &Place<T> {
        &self.chunks[place as usize / CHUNK].places[place as usize % CHUNK]
    }

    fn place_mut(&mut self, place: u32) -> &mut Place<T> {
        &mut self.chunks[place as usize / CHUNK].places[place as usize % CHUNK]
    }

    fn link_behind(&mut self, place: u32, older: u32) {
        let younger = if older == NONE { self.oldest } else { self.place(older).younger };
        let own = self.place_mut(place);
        (own.older, own.younger) = (older, younger);
        match older {
            NONE => self.oldest = place,
            older => self.place_mut(older).younger = place,
        }
        match younger {
            NONE => self.youngest = place,
            younger => self.place_mut(younger).older = place,
        }
    }

    fn unlink(&mut self, place: u32) {
        let (older, younger) = (self.place(place).older, self.place(place).younger);
        match older {
            NONE => self.oldest = younger,
            older => self.place_mut(older).younger = younger,
        }
        match younger {
            NONE => self.youngest = older,
            younger => self.place_mut(younger).older = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ages(table: &Table<u64>) -> Vec<u64> {
        table.iter().copied().collect()
    }

    #[test]
    fn values_are_found_walked_and_removed() {
        let mut table = Table::default();
        let places: Vec<u32> = (0..2000).map(|n| table.insert(n % 700, n)).collect();
        assert_eq!(table.len(), 2000);
        assert_eq!(table.find(5, |value| *value == 1405), Some(places[1405]));
        assert_eq!(table.find(5, |value| *value == 6), None);
        assert_eq!(ages(&table), (0..2000).collect::<Vec<_>>());
        for place in places.iter().step_by(2) {
            assert!(table.remove(*place).is_some_and(|value| value % 2 == 0));
        }
        assert_eq!(table.remove(places[0]), None);
        assert_eq!(ages(&table), (0..2000).skip(1).step_by(2).collect::<Vec<_>>());
        let again = table.insert(9, 5000);
        assert!((again as usize) < table.places() && table.places() == 2000);
        assert_eq!(ages(&table).last(), Some(&5000));
    }

    fn memory(table: &Table<u64>) -> usize {
        table.chunks.iter().map(|chunk| chunk.places.capacity()).sum()
    }

    #[test]
    fn a_table_that_shrinks_gives_its_memory_back() {
        let mut table = Table::default();
        let places: Vec<u32> = (0..100_000).map(|n| table.insert(n, n)).collect();
        assert!(memory(&table) >= 100_000);
        for place in &places[..98_000] {
            table.remove(*place).expect("it was inserted");
        }
        assert!(memory(&table) <= 6 * CHUNK, "{} places for 2,000 values", memory(&table));
        assert!(table.index.capacity() <= SPARSE * 4_000, "{}", table.index.capacity());
        assert_eq!(table.get(places[600]), None);
        assert_eq!(table.remove(places[600]), None);
        for n in 0..98_000 {
            let place = table.insert(n, n);
            assert!((place as usize) < 100_352, "free places are used again");
        }
        let expected: Vec<u64> = (98_000..100_000).chain(0..98_000).collect();
        assert_eq!(ages(&table), expected);
        assert!((0..100_000).all(|n| table.find(n, |value| *value == n).is_some()));
    }

    #[test]
    fn a_value_that_grows_younger_moves_behind_those_that_are_older() {
        let mut table = Table::default();
        let places: Vec<u32> = [10, 20, 30, 40].into_iter().map(|n| table.insert(n, n)).collect();
        table.age(places[0], |value| *value < 35);
        assert_eq!(ages(&table), [20, 30, 10, 40]);
        table.age(places[0], |value| *value < 5);
        assert_eq!(ages(&table), [10, 20, 30, 40]);
        table.age(places[3], |_| true);
        assert_eq!(ages(&table), [10, 20, 30, 40]);
    }
}
