//! What a simulated disk holds, and the file operations on it, without their faults.
//!
//! The rules are those of Linux, with its errno for each; `disk::tests` compares them with a real
//! file system. It knows room and inodes; it knows nothing of calls, crashes and handles.

use super::names::{Change, Entry, Inode, Names, Place, ROOT};
use super::node::{Keep, Node, some};
use super::{Cut, SimSettings};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Result<T> = std::result::Result<T, Errno>;

/// As Linux has it on nearly all file systems.
const NAME_BYTES: usize = 255;

/// Hard links an inode can have, as on ext4.
const LINKS_MAX: u64 = 65_000;

/// Files and directories, seen and durable.
#[derive(Clone)]
pub(super) struct State {
    pub(super) settings: SimSettings,
    pub(super) names: Names,
    durable: Names,
    /// The metadata operations that lead from `durable` to `names`, with their times.
    pending: Vec<(Change, u64)>,
    pub(super) files: BTreeMap<Inode, Node>,
    /// Files that may have something unsynced.
    dirty: BTreeSet<Inode>,
    /// Files without a name: kept while a handle is open, or a cut could bring a name back.
    orphans: Vec<Inode>,
    next_inode: Inode,
    pub(super) blocks_used: u64,
    pub(super) inodes_used: u64,
    pub(super) links_max: u64,
    pub(super) refused: BTreeSet<String>,
    /// The clock of this disk, in microseconds.
    pub(super) now: u64,
}

impl State {
    pub(super) fn new(settings: SimSettings) -> State {
        State {
            settings,
            names: Names::new(),
            durable: Names::new(),
            pending: Vec::new(),
            files: BTreeMap::new(),
            dirty: BTreeSet::new(),
            orphans: Vec::new(),
            next_inode: ROOT + 1,
            blocks_used: 1,
            inodes_used: 1,
            links_max: LINKS_MAX,
            refused: BTreeSet::new(),
            now: 1_700_000_000_000_000,
        }
    }

    /// The inode at a path, and whether it is a directory.
    pub(super) fn find(&self, path: &str) -> Result<(Inode, bool)> {
        if path.is_empty() {
            return Ok((ROOT, true));
        }
        let place = self.place(path)?;
        self.names.get(&place).map(|entry| (entry.inode, entry.is_dir)).ok_or(Errno::NOENT)
    }

    pub(super) fn find_file(&self, path: &str) -> Result<Inode> {
        match self.find(path)? {
            (_, true) => Err(Errno::ISDIR),
            (inode, false) => Ok(inode),
        }
    }

    pub(super) fn find_dir(&self, path: &str) -> Result<Inode> {
        match self.find(path)? {
            (inode, true) => Ok(inode),
            (_, false) => Err(Errno::NOTDIR),
        }
    }

    /// A file that may be written in place.
    pub(super) fn find_writable(&self, path: &str) -> Result<Inode> {
        let inode = self.find_file(path)?;
        match self.node(inode)?.shared {
            true => Err(Errno::ACCESS),
            false => Ok(inode),
        }
    }

    pub(super) fn node(&self, inode: Inode) -> Result<&Node> {
        self.files.get(&inode).ok_or(Errno::IO)
    }

    /// Makes an empty file.
    pub(super) fn create(&mut self, path: &str, shared: bool) -> Result<Inode> {
        let place = self.vacant(path)?;
        self.claim(0, 1)?;
        let inode = self.new_inode();
        let node = Node::new(shared, self.now);
        self.files.insert(inode, node);
        self.change(Change::Enter(place, inode, false));
        Ok(inode)
    }

    pub(super) fn create_dir(&mut self, path: &str) -> Result<()> {
        let place = self.vacant(path)?;
        self.claim(1, 1)?;
        let inode = self.new_inode();
        self.change(Change::Enter(place, inode, true));
        Ok(())
    }

    pub(super) fn write(&mut self, inode: Inode, offset: u64, data: &[u8]) -> Result<()> {
        let old = self.node(inode)?.content.len() as u64;
        let end = match data.len() as u64 {
            0 => old,
            len => offset.checked_add(len).ok_or(Errno::FBIG)?,
        };
        self.claim(self.blocks(end.max(old)) - self.blocks(old), 0)?;
        let now = self.now;
        let node = self.files.get_mut(&inode).ok_or(Errno::IO)?;
        node.write(offset as usize, data);
        node.changed = now;
        self.dirty.insert(inode);
        Ok(())
    }

    pub(super) fn link(&mut self, from: &str, to: &str) -> Result<()> {
        let (source, _) = (self.place(from)?, self.place(to)?);
        let entry = self.names.get(&source).cloned().ok_or(Errno::NOENT)?;
        let target = self.vacant(to)?;
        if entry.is_dir {
            return Err(Errno::PERM);
        }
        let (now, most) = (self.now, self.links_max);
        let node = self.files.get_mut(&entry.inode).ok_or(Errno::IO)?;
        if node.links >= most {
            return Err(Errno::MLINK);
        }
        node.links += 1;
        node.changed = now;
        self.change(Change::Enter(target, entry.inode, false));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (source, target) = (self.place(from)?, self.place(to)?);
        let moved = self.names.get(&source).cloned().ok_or(Errno::NOENT)?;
        if is_below(to, from) {
            return Err(Errno::INVAL);
        }
        if is_below(from, to) {
            return Err(Errno::NOTEMPTY);
        }
        let replaced = self.names.get(&target).cloned();
        if let Some(old) = &replaced {
            if old.inode == moved.inode {
                return Ok(());
            }
            match (moved.is_dir, old.is_dir) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) => self.empty(old.inode)?,
                (false, false) => {}
            }
        }
        self.accept(&target)?;
        self.change(Change::Rename(source, target));
        self.touch(moved.inode);
        if let Some(old) = replaced {
            self.left(&old);
        }
        Ok(())
    }

    pub(super) fn exchange(&mut self, a: &str, b: &str) -> Result<()> {
        let (first, second) = (self.place(a)?, self.place(b)?);
        let one = self.names.get(&first).ok_or(Errno::NOENT)?.inode;
        let other = self.names.get(&second).ok_or(Errno::NOENT)?.inode;
        if is_below(a, b) || is_below(b, a) {
            return Err(Errno::INVAL);
        }
        if one != other {
            self.change(Change::Exchange(first, second));
            self.touch(one);
            self.touch(other);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str, dir: bool) -> Result<()> {
        let place = self.place(path)?;
        let entry = self.names.get(&place).cloned().ok_or(Errno::NOENT)?;
        match (entry.is_dir, dir) {
            (true, false) => return Err(Errno::ISDIR),
            (false, true) => return Err(Errno::NOTDIR),
            (true, true) => self.empty(entry.inode)?,
            (false, false) => {}
        }
        self.change(Change::Leave(place));
        self.left(&entry);
        Ok(())
    }

    pub(super) fn sync(&mut self, inode: Inode) {
        if let Some(node) = self.files.get_mut(&inode) {
            node.sync();
            self.dirty.remove(&inode);
        }
    }

    /// A sync of this file, or of all of them, that failed.
    pub(super) fn lose(&mut self, inode: Option<Inode>) {
        for dirty in &self.dirty {
            if inode.is_none_or(|inode| inode == *dirty)
                && let Some(node) = self.files.get_mut(dirty)
            {
                node.failed = inode.is_none();
                node.lose();
            }
        }
    }

    /// Whether a sync of everything failed for this file: told once.
    pub(super) fn has_failed(&mut self, inode: Inode) -> bool {
        self.files.get_mut(&inode).is_some_and(|node| std::mem::take(&mut node.failed))
    }

    /// All metadata up to now is durable.
    pub(super) fn commit(&mut self) {
        for (change, at) in self.pending.drain(..) {
            self.durable.apply(&change, at);
        }
        let files = &mut self.files;
        self.orphans.retain(|inode| {
            let open = files.get(inode).is_some_and(|node| node.opens > 0);
            if !open {
                files.remove(inode);
            }
            open
        });
    }

    pub(super) fn sync_all(&mut self) {
        self.commit();
        while let Some(inode) = self.dirty.pop_first() {
            if let Some(node) = self.files.get_mut(&inode) {
                node.sync();
            }
        }
    }

    /// Metadata operations and writes that are not durable.
    pub(super) fn unsynced(&self) -> usize {
        let writes = self.dirty.iter().filter_map(|inode| self.files.get(inode));
        self.pending.len() + writes.map(Node::unsynced).sum::<usize>()
    }

    /// Bytes of free blocks.
    pub(super) fn room(&self) -> u64 {
        let SimSettings { bytes_total, block_bytes, .. } = self.settings;
        (bytes_total / block_bytes).saturating_sub(self.blocks_used) * block_bytes
    }

    pub(super) fn closed(&mut self, inode: Inode) {
        let Some(node) = self.files.get_mut(&inode) else { return };
        node.opens -= 1;
        if node.opens == 0 && node.links == 0 {
            self.release(inode);
            if self.pending.is_empty() {
                self.files.remove(&inode);
                self.orphans.retain(|orphan| *orphan != inode);
            }
        }
    }

    /// All handles are gone, with the process that had them.
    pub(super) fn close_all(&mut self) {
        self.files.values_mut().for_each(|node| node.failed = false);
        let open = |(inode, node): (&Inode, &Node)| (node.opens > 0).then_some(*inode);
        let open: Vec<Inode> = self.files.iter().filter_map(open).collect();
        for inode in open {
            if let Some(node) = self.files.get_mut(&inode) {
                node.opens = 1;
            }
            self.closed(inode);
        }
    }

    /// The disk after a cut.
    pub(super) fn after(&self, cut: Cut) -> State {
        let all = self.pending.len();
        let (kept, keep) = match cut {
            Cut::Nothing => (0, Keep::Nothing),
            Cut::Everything => (all, Keep::Everything),
            Cut::Seed(seed) => {
                let chance = super::mix(seed);
                let keep = match (chance >> 40) % 8 {
                    0 => Keep::Nothing,
                    1 => Keep::Everything,
                    2 | 3 => Keep::Files(super::mix(chance)),
                    _ => Keep::Sectors(super::mix(chance)),
                };
                (some(all, chance), keep)
            }
        };
        let mut names = self.durable.clone();
        for (change, at) in &self.pending[..kept] {
            names.apply(change, *at);
        }
        let mut after = State { next_inode: self.next_inode, ..State::new(self.settings) };
        after.links_max = self.links_max;
        after.refused = self.refused.clone();
        after.now = self.now;
        for entry in names.dirs().flat_map(|dir| dir.entries.values()) {
            after.find_again(entry, self, keep);
        }
        after.durable = names.clone();
        after.names = names;
        after
    }

    /// One entry of the directories that a cut left.
    fn find_again(&mut self, entry: &Entry, before: &State, keep: Keep) {
        if entry.is_dir {
            self.blocks_used += 1;
            self.inodes_used += 1;
        } else if let Some(node) = self.files.get_mut(&entry.inode) {
            node.links += 1;
        } else if let Some(node) = before.files.get(&entry.inode) {
            let content = node.survivor(keep, entry.inode);
            self.blocks_used += self.blocks(content.len() as u64);
            self.inodes_used += 1;
            self.files.insert(entry.inode, Node::found(content, 1, node));
        }
    }

    /// The directory and the name of a path.
    fn place(&self, path: &str) -> Result<Place> {
        let mut dir = ROOT;
        let mut rest = path;
        loop {
            let (name, below) = rest.split_once('/').unwrap_or((rest, ""));
            if matches!(name, "" | "." | "..") || name.contains('\0') || rest.ends_with('/') {
                return Err(Errno::INVAL);
            }
            if name.len() > NAME_BYTES {
                return Err(Errno::NAMETOOLONG);
            }
            if below.is_empty() {
                return Ok(Place { dir, name: Arc::from(name) });
            }
            let entry = self.names.dir(dir).ok_or(Errno::IO)?.get(name).ok_or(Errno::NOENT)?;
            if !entry.is_dir {
                return Err(Errno::NOTDIR);
            }
            dir = entry.inode;
            rest = below;
        }
    }

    /// A place at which nothing is.
    fn vacant(&self, path: &str) -> Result<Place> {
        let place = self.place(path)?;
        match self.names.get(&place) {
            Some(_) => Err(Errno::EXIST),
            None => self.accept(&place).map(|()| place),
        }
    }

    /// Whether the directory takes that name.
    fn accept(&self, place: &Place) -> Result<()> {
        let full = self.names.dir(place.dir).is_some_and(|dir| dir.refuses(&place.name));
        match full || self.refused.contains(&*place.name) {
            true => Err(Errno::OVERFLOW),
            false => Ok(()),
        }
    }

    fn empty(&self, dir: Inode) -> Result<()> {
        match self.names.dir(dir).is_some_and(|dir| !dir.entries.is_empty()) {
            true => Err(Errno::NOTEMPTY),
            false => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        self.names.apply(&change, self.now);
        self.pending.push((change, self.now));
    }

    fn touch(&mut self, inode: Inode) {
        let now = self.now;
        if let Some(node) = self.files.get_mut(&inode) {
            node.changed = now;
        }
    }

    /// An entry has left its directory.
    fn left(&mut self, entry: &Entry) {
        if entry.is_dir {
            self.blocks_used -= 1;
            self.inodes_used -= 1;
            return;
        }
        self.touch(entry.inode);
        let Some(node) = self.files.get_mut(&entry.inode) else { return };
        node.links -= 1;
        if node.links == 0 {
            let open = node.opens > 0;
            self.orphans.push(entry.inode);
            if !open {
                self.release(entry.inode);
            }
        }
    }

    fn release(&mut self, inode: Inode) {
        let len = self.files.get(&inode).map_or(0, |node| node.content.len() as u64);
        self.blocks_used -= self.blocks(len);
        self.inodes_used -= 1;
    }

    fn new_inode(&mut self) -> Inode {
        self.next_inode += 1;
        self.next_inode - 1
    }

    fn blocks(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.settings.block_bytes)
    }

    fn claim(&mut self, blocks: u64, inodes: u64) -> Result<()> {
        let blocks_total = self.settings.bytes_total / self.settings.block_bytes;
        let no_blocks = blocks > 0 && self.blocks_used.saturating_add(blocks) > blocks_total;
        let no_inodes = inodes > 0 && self.inodes_used + inodes > self.settings.inodes_total;
        if no_blocks || no_inodes {
            return Err(Errno::NOSPC);
        }
        self.blocks_used += blocks;
        self.inodes_used += inodes;
        Ok(())
    }
}

/// Whether `path` lies below the directory `dir`.
fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}
