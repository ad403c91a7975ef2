//! A filter of the names of keys: "certainly absent" without asking the kernel.
//!
//! A look-up of a missing name waits while the writer makes directories in the same parent; this
//! blocked Bloom filter (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters,
//! 2007) answers most of them from one cache line. Every name that enters the backlog enters the
//! filter, at recovery too; names that are only in the tree enter by a walk, and until that is
//! done the filter answers nothing. A removed name stays and only costs a look-up.

const BLOCK_WORDS: usize = 8;
const BITS_A_NAME: u32 = 4;

/// A blocked Bloom filter over hashes of names.
pub struct Filter {
    blocks: Vec<[u64; BLOCK_WORDS]>,
    complete: bool,
}

impl Filter {
    /// An empty filter of about this many bytes. It is complete: nothing is in the tree.
    pub fn new(bytes: usize) -> Filter {
        let blocks = (bytes / size_of::<[u64; BLOCK_WORDS]>()).max(1);
        Filter { blocks: vec![[0; BLOCK_WORDS]; blocks], complete: true }
    }

    /// Whether names of the tree may be missing: then every answer is "perhaps".
    pub fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    /// Whether all names are in it.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Forgets every name: nothing is in the tree or the backlog.
    pub fn clear(&mut self) {
        self.blocks.fill([0; BLOCK_WORDS]);
        self.complete = true;
    }

    /// Adds the name with this hash.
    pub fn add(&mut self, hash: u64) {
        let block = self.block(hash);
        for bit in bits(hash) {
            self.blocks[block][bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Whether the name with this hash is certainly absent.
    pub fn excludes(&self, hash: u64) -> bool {
        let block = &self.blocks[self.block(hash)];
        self.complete && bits(hash).any(|bit| block[bit / 64] & (1 << (bit % 64)) == 0)
    }

    fn block(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.blocks.len() as u128) >> 64) as usize
    }
}

/// Positions of a name's bits in its block, from the lower half of the hash.
fn bits(hash: u64) -> impl Iterator<Item = usize> {
    (0..BITS_A_NAME).map(move |i| (hash >> (i * 9)) as usize % (BLOCK_WORDS * 64))
}
