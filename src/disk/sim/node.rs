//! The content of one simulated file: what programs see, what is durable, and what lies between.
//!
//! Unsynced writes are kept in order, each as whole sectors. After a cut each sector is as durable,
//! or as some write since left it, whatever became of its neighbours; the size is the durable one
//! or one that the file had since. Knows nothing of names.

use std::sync::Arc;

/// Bytes that the device writes whole or not at all.
pub(super) const SECTOR: usize = 512;

/// A write that is not synced.
#[derive(Clone)]
struct Write {
    /// Where it begins: the begin of a sector.
    offset: usize,
    /// The sectors as they were after it.
    data: Arc<[u8]>,
    /// Size of the file after it.
    len: usize,
}

/// How much of what is not synced a cut leaves.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    Nothing,
    Everything,
    /// All or nothing of each file.
    Files(u64),
    /// Any sectors.
    Sectors(u64),
}

/// One regular file.
#[derive(Clone, Default)]
pub(super) struct Node {
    /// What programs see.
    pub(super) content: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    writes: Vec<Write>,
    pub(super) links: u64,
    /// Open handles.
    pub(super) opens: u64,
    /// Time of the last change, in microseconds.
    pub(super) changed: u64,
    /// Mode 0444: not to be written again.
    pub(super) shared: bool,
    /// A sync of everything lost some of it: the next sync of the file itself says so too.
    pub(super) failed: bool,
}

impl Node {
    /// An empty file with one name.
    pub(super) fn new(shared: bool, now: u64) -> Node {
        Node { links: 1, changed: now, shared, ..Node::default() }
    }

    /// A synced file as a cut left it.
    pub(super) fn found(content: Arc<Vec<u8>>, links: u64, of: &Node) -> Node {
        Node {
            durable: content.clone(),
            content,
            writes: Vec::new(),
            links,
            opens: 0,
            changed: of.changed,
            shared: of.shared,
            failed: false,
        }
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let end = offset + data.len();
        // A gap before the data is new too: it is written as zeros.
        let begin = offset.min(self.content.len());
        let content = Arc::make_mut(&mut self.content);
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset..end].copy_from_slice(data);
        let begin = begin / SECTOR * SECTOR;
        let end = end.next_multiple_of(SECTOR).min(content.len());
        let data = Arc::from(&content[begin..end]);
        self.writes.push(Write { offset: begin, data, len: content.len() });
    }

    /// fsync: all of it is durable; but not what an earlier, failed sync lost.
    pub(super) fn sync(&mut self) {
        if self.is_clean() {
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        durable.resize(self.content.len(), 0);
        for write in self.writes.drain(..) {
            durable[write.offset..write.offset + write.data.len()].copy_from_slice(&write.data);
        }
    }

    /// A sync that failed: what was not durable is marked as written and will never be.
    pub(super) fn lose(&mut self) {
        self.writes.clear();
    }

    pub(super) fn is_clean(&self) -> bool {
        self.writes.is_empty() && self.durable.len() == self.content.len()
    }

    /// How many things a sync would have to do.
    pub(super) fn unsynced(&self) -> usize {
        self.writes.len().max(usize::from(!self.is_clean()))
    }

    /// What is there after a cut.
    pub(super) fn survivor(&self, keep: Keep, inode: u64) -> Arc<Vec<u8>> {
        if self.is_clean() {
            return self.durable.clone();
        }
        let count = self.writes.len();
        let level = |count: usize, sector: usize| match keep {
            Keep::Nothing => 0,
            Keep::Everything => count,
            Keep::Files(seed) => (super::mix(seed ^ super::mix(inode)) & 1) as usize * count,
            Keep::Sectors(seed) => {
                some(count, super::mix(super::mix(seed ^ inode) ^ sector as u64))
            }
        };
        let len = match level(count + 1, usize::MAX) {
            0 => self.durable.len(),
            nth => self.writes.get(nth - 1).map_or(self.content.len(), |write| write.len),
        };
        let mut content = Vec::clone(&self.durable);
        content.resize(len, 0);
        for (index, write) in self.writes.iter().enumerate() {
            for (nth, data) in write.data.chunks(SECTOR).enumerate() {
                let offset = write.offset + nth * SECTOR;
                if index < level(count, offset / SECTOR) && offset < len {
                    let end = len.min(offset + data.len());
                    content[offset..end].copy_from_slice(&data[..end - offset]);
                }
            }
        }
        Arc::new(content)
    }
}

/// How many of `count` things in a row survived: often none or all.
pub(super) fn some(count: usize, chance: u64) -> usize {
    match chance % 3 {
        0 => 0,
        1 => count,
        _ => ((chance >> 8) % (count as u64 + 1)) as usize,
    }
}
