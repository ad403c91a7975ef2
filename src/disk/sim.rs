//! The simulated disk: files in memory, with what is synced kept apart from what is not.
//!
//! It promises as little as POSIX and the journaling file systems allow. fsync of a file makes its
//! data and size durable, not its name; fsync of a directory makes all metadata operations up to
//! then durable, of all directories, but no data; syncfs makes all durable. After a cut a prefix
//! of the metadata operations is there, and of each file's unsynced data any set of sectors, with
//! any size the file had since its last sync. Calls are counted from 1, and can be made to crash,
//! to fail, or to lose what they were to sync.
//!
//! The same calls give the same disk: chance comes only from seeds. It knows nothing of threads
//! but a lock, of what the paths mean, or of the programs that it stops.

use super::error::failed;
use super::{DirEntry, Disk, File, Kind, Space, Stat, Wait};
use names::Inode;
use rustix::io::Errno;
use state::State;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

mod names;
mod node;
mod state;
#[cfg(test)]
mod tests;

/// Times of change are told in ticks of this length, as Linux does it: two changes can share one.
const TICK_US: u64 = 4_000;

/// Size of a simulated disk. Files take whole blocks, a directory one; each takes one inode.
#[derive(Clone, Copy, Debug)]
pub struct SimSettings {
    /// Bytes of all blocks.
    pub bytes_total: u64,
    /// Number of inodes, ROOT_DIR's among them.
    pub inodes_total: u64,
    /// Bytes of one block.
    pub block_bytes: u64,
}

impl Default for SimSettings {
    /// 64 MiB in blocks of 4 KiB, a million inodes.
    fn default() -> SimSettings {
        SimSettings { bytes_total: 64 << 20, inodes_total: 1 << 20, block_bytes: 4096 }
    }
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    Nothing,
    /// Everything, the call that crashed included.
    Everything,
    /// Whatever this seed makes of it.
    Seed(u64),
}

/// A handle of a simulated disk; clones are handles of the same one.
#[derive(Clone)]
pub struct SimDisk {
    machine: Arc<Mutex<Machine>>,
}

/// A disk and the faults in store for it.
struct Machine {
    state: State,
    calls: u64,
    count_reads: bool,
    crash_at: Option<u64>,
    sync_fails_at: Option<u64>,
    faults: BTreeMap<u64, Errno>,
    down: bool,
    cold_seed: u64,
    cold_percent: u64,
}

/// What becomes of a call.
enum Turn {
    /// It is done.
    Go,
    /// It is done, but synced is nothing, and nobody hears of it: the power goes.
    Crash,
    /// It is not done.
    Fail(Errno),
}

impl SimDisk {
    /// A disk with an empty ROOT_DIR.
    pub fn new(settings: SimSettings) -> SimDisk {
        SimDisk::with(Machine::new(State::new(settings)))
    }

    fn with(machine: Machine) -> SimDisk {
        SimDisk { machine: Arc::new(Mutex::new(machine)) }
    }

    /// Number of calls so far: those that change or sync something, and with
    /// [`SimDisk::count_reads`] the others too.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Whether calls that only read are counted, and can crash and fail, too.
    pub fn count_reads(&self, count: bool) {
        self.lock().count_reads = count;
    }

    /// The power goes during this call (the first one is 1): it and all later ones fail with EIO.
    /// What it was to change counts as not synced; what it was to sync is not.
    pub fn crash_at(&self, call: u64) {
        self.lock().crash_at = Some(call);
    }

    /// This call alone fails with this errno and changes nothing; only a file that it was to
    /// create is there, empty, where the errno is one of a write (ENOSPC, EDQUOT, EIO). Several
    /// calls can be chosen.
    pub fn fail_at(&self, call: u64, errno: i32) {
        self.lock().faults.insert(call, Errno::from_raw_os_error(errno));
    }

    /// The first sync of data (fdatasync, fsync of a file, syncfs) at this call or after it fails
    /// with EIO, and what it was to write is lost: programs see it, later syncs answer OK, but a
    /// cut brings the old content back. After syncfs, the next fsync of a file that has lost
    /// something fails too, as Linux remembers it for each open file.
    pub fn sync_fails_at(&self, call: u64) {
        self.lock().sync_fails_at = Some(call);
    }

    /// Whether the power is out.
    pub fn is_down(&self) -> bool {
        self.lock().down
    }

    /// The disk after power went and returned: its calls begin at 1 again, without faults. This
    /// disk stays as it is, so that many cuts of one moment can be looked at.
    pub fn cut(&self, choice: Cut) -> SimDisk {
        SimDisk::with(Machine::new(self.lock().state.after(choice)))
    }

    /// The power goes and returns for this disk itself: its calls are counted on, and the faults in
    /// store stay there.
    pub fn cut_here(&self, choice: Cut) {
        let machine = &mut *self.lock();
        machine.state = machine.state.after(choice);
    }

    /// The disk after kill -9 of the program: as it was seen, synced or not. The old handles are
    /// dead; calls begin at 1 again, without faults.
    pub fn kill(&self) -> SimDisk {
        let mut machine = self.lock();
        machine.down = true;
        let mut state = machine.state.clone();
        state.close_all();
        SimDisk::with(Machine::new(state))
    }

    /// Another size of the disk, from now on; it may be less than what is used.
    pub fn set_bytes_total(&self, bytes: u64) {
        self.lock().state.settings.bytes_total = bytes;
    }

    /// Another number of inodes, from now on; it may be less than what is used.
    pub fn set_inodes_total(&self, inodes: u64) {
        self.lock().state.settings.inodes_total = inodes;
    }

    /// The disk is full from now on: no new block, no new inode.
    pub fn set_full(&self) {
        let mut machine = self.lock();
        let state = &mut machine.state;
        state.settings.bytes_total = state.blocks_used * state.settings.block_bytes;
        state.settings.inodes_total = state.inodes_used;
    }

    /// Hard links that an inode can have, from now on.
    pub fn set_links_max(&self, links: u64) {
        self.lock().state.links_max = links;
    }

    /// No directory takes this name from now on (EOVERFLOW, as from btrfs).
    pub fn refuse_name(&self, name: &str) {
        self.lock().state.refused.insert(name.to_owned());
    }

    /// Sets the disk's clock, from which times of change are taken; each call adds a microsecond.
    pub fn set_time_ms(&self, unix_ms: u64) {
        self.lock().state.now = unix_ms * 1_000;
    }

    /// Calls that may not wait answer `WouldBlock` in so many of 100 cases.
    pub fn cold(&self, seed: u64, percent: u64) {
        let mut machine = self.lock();
        machine.cold_seed = seed;
        machine.cold_percent = percent;
    }

    /// All files below a directory, by their path from there; directories with a `/` at the end.
    /// Empty where there is no such directory. Counts as no call, and works without power.
    pub fn dump(&self, dir: &str) -> BTreeMap<String, Vec<u8>> {
        let machine = self.lock();
        let mut found = BTreeMap::new();
        let mut dirs =
            Vec::from_iter(machine.state.find_dir(dir).map(|root| (String::new(), root)));
        while let Some((path, dir)) = dirs.pop() {
            let entries = machine.state.names.dir(dir).into_iter().flat_map(|dir| &dir.entries);
            for entry in entries.map(|(_, entry)| entry) {
                let path = format!("{path}{}", entry.name);
                if entry.is_dir {
                    dirs.push((format!("{path}/"), entry.inode));
                    found.insert(format!("{path}/"), Vec::new());
                } else if let Ok(node) = machine.state.node(entry.inode) {
                    found.insert(path, node.content.to_vec());
                }
            }
        }
        found
    }

    /// Number of metadata operations and writes that a cut could take.
    pub fn unsynced(&self) -> usize {
        self.lock().state.unsynced()
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that changes something.
    fn change(
        &self,
        what: &'static str,
        path: &str,
        act: impl FnOnce(&mut State) -> Result<(), Errno>,
    ) -> io::Result<()> {
        let machine = &mut *self.lock();
        match machine.turn() {
            Turn::Go => act(&mut machine.state),
            Turn::Crash => act(&mut machine.state).and(Err(Errno::IO)),
            Turn::Fail(errno) => Err(errno),
        }
        .map_err(|errno| failed(errno, what, path))
    }

    /// A call that makes a file and writes into it.
    fn make(
        &self,
        path: &str,
        shared: bool,
        fill: impl FnOnce(&mut State, Inode, &Turn) -> Result<(), Errno>,
    ) -> io::Result<()> {
        let machine = &mut *self.lock();
        if machine.down {
            return Err(failed(Errno::IO, "create", path));
        }
        let turn = machine.turn();
        if let Turn::Fail(errno) = turn
            && !matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::IO)
        {
            return Err(failed(errno, "create", path));
        }
        let made = machine.state.create(path, shared);
        match turn {
            Turn::Fail(errno) => Err(errno),
            Turn::Go => made.and_then(|inode| fill(&mut machine.state, inode, &turn)),
            Turn::Crash => {
                let filled = made.and_then(|inode| fill(&mut machine.state, inode, &turn));
                filled.and(Err(Errno::IO))
            }
        }
        .map_err(|errno| failed(errno, "create", path))
    }

    /// A call that syncs one file, or everything where `find` answers `None`.
    fn sync(
        &self,
        path: &str,
        find: impl FnOnce(&State) -> Result<Option<Inode>, Errno>,
    ) -> io::Result<()> {
        let machine = &mut *self.lock();
        let turn = machine.turn();
        let loses = machine.sync_fails_at.is_some_and(|call| call <= machine.calls);
        match (turn, find(&machine.state)) {
            (Turn::Fail(errno), _) | (Turn::Go, Err(errno)) => Err(errno),
            (Turn::Crash, _) => Err(Errno::IO),
            (Turn::Go, Ok(file)) if loses => {
                machine.sync_fails_at = None;
                machine.state.lose(file);
                Err(Errno::IO)
            }
            (Turn::Go, Ok(Some(inode))) if machine.state.has_failed(inode) => Err(Errno::IO),
            (Turn::Go, Ok(file)) => {
                match file {
                    Some(inode) => machine.state.sync(inode),
                    None => machine.state.sync_all(),
                }
                Ok(())
            }
        }
        .map_err(|errno| failed(errno, "sync", path))
    }

    /// A call that changes nothing.
    fn look<T>(
        &self,
        what: &'static str,
        path: &str,
        wait: Wait,
        act: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> io::Result<T> {
        let machine = &mut *self.lock();
        let turn = match machine.count_reads {
            true => machine.turn(),
            false if machine.down => Turn::Fail(Errno::IO),
            false => Turn::Go,
        };
        match turn {
            Turn::Go if wait != Wait::Yes && machine.is_cold() => Err(Errno::AGAIN),
            Turn::Go => act(&mut machine.state),
            Turn::Crash => Err(Errno::IO),
            Turn::Fail(errno) => Err(errno),
        }
        .map_err(|errno| failed(errno, what, path))
    }
}

impl Machine {
    fn new(state: State) -> Machine {
        Machine {
            state,
            calls: 0,
            count_reads: false,
            crash_at: None,
            sync_fails_at: None,
            faults: BTreeMap::new(),
            down: false,
            cold_seed: 0,
            cold_percent: 0,
        }
    }

    fn turn(&mut self) -> Turn {
        if self.down {
            return Turn::Fail(Errno::IO);
        }
        self.calls += 1;
        self.state.now += 1;
        if self.crash_at.is_some_and(|call| call <= self.calls) {
            self.down = true;
            return Turn::Crash;
        }
        match self.faults.remove(&self.calls) {
            Some(errno) => Turn::Fail(errno),
            None => Turn::Go,
        }
    }

    fn is_cold(&mut self) -> bool {
        self.cold_seed = self.cold_seed.wrapping_add(1);
        self.cold_percent > 0 && mix(self.cold_seed) % 100 < self.cold_percent
    }
}

impl Disk for SimDisk {
    fn read(&self, path: &str, wait: Wait) -> io::Result<Vec<u8>> {
        self.look("read", path, wait, |state| {
            let inode = state.find_file(path)?;
            Ok(state.node(inode)?.content.to_vec())
        })
    }

    fn stat(&self, path: &str, wait: Wait) -> io::Result<Stat> {
        self.look("stat", path, wait, |state| {
            let (inode, is_dir) = state.find(path)?;
            let (kind, len, links, changed) = match is_dir {
                true => {
                    let dir = state.names.dir(inode).ok_or(Errno::IO)?;
                    (Kind::Dir, state.settings.block_bytes, 2, dir.changed)
                }
                false => {
                    let node = state.node(inode)?;
                    (Kind::File, node.content.len() as u64, node.links, node.changed)
                }
            };
            let changed =
                SystemTime::UNIX_EPOCH + Duration::from_micros(changed / TICK_US * TICK_US);
            Ok(Stat { kind, len, links, device: 1, inode, changed })
        })
    }

    fn list(
        &self,
        dir: &str,
        position: u64,
        visit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> io::Result<bool> {
        let dir = self.look("list", dir, Wait::Yes, |state| {
            let inode = state.find_dir(dir)?;
            state.names.dir(inode).cloned().ok_or(Errno::IO)
        })?;
        Ok(dir.entries.range(position..).all(|(at, entry)| {
            let kind = if entry.is_dir { Kind::Dir } else { Kind::File };
            visit(DirEntry { name: entry.name.as_bytes(), kind, next: at + 1 })
        }))
    }

    fn create(&self, path: &str, content: &[u8]) -> io::Result<()> {
        self.make(path, false, |state, inode, _| state.write(inode, 0, content))
    }

    fn create_shared(&self, path: &str, content: &[u8]) -> io::Result<()> {
        self.make(path, true, |state, inode, _| state.write(inode, 0, content))
    }

    fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change("write", path, |state| {
            let inode = state.find_writable(path)?;
            state.write(inode, offset, data)
        })
    }

    fn append(&self, path: &str, data: &[u8]) -> io::Result<()> {
        self.change("append to", path, |state| {
            let inode = match state.find_writable(path) {
                Err(Errno::NOENT) => state.create(path, false)?,
                found => found?,
            };
            let end = state.node(inode)?.content.len() as u64;
            state.write(inode, end, data)
        })
    }

    fn create_zeroed(&self, path: &str, len: u64) -> io::Result<()> {
        self.make(path, false, |state, inode, turn| {
            let room = state.room().min(len) as usize;
            let whole = room as u64 == len;
            state.write(inode, 0, &vec![0; room])?;
            if !whole {
                return Err(Errno::NOSPC);
            }
            if matches!(turn, Turn::Go) {
                state.sync(inode);
            }
            Ok(())
        })
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.change("mkdir", path, |state| state.create_dir(path))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.change("link", from, |state| state.link(from, to))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change("rename", from, |state| state.rename(from, to))
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        self.change("exchange", a, |state| state.exchange(a, b))
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.change("unlink", path, |state| state.remove(path, false))
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.change("rmdir", path, |state| state.remove(path, true))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn File>> {
        let inode = self.look("open", path, Wait::Yes, |state| {
            let inode = state.find_writable(path)?;
            state.files.entry(inode).and_modify(|node| node.opens += 1);
            Ok(inode)
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), inode, path: path.into() }))
    }

    fn sync_file(&self, path: &str) -> io::Result<()> {
        self.sync(path, |state| state.find_file(path).map(Some))
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let machine = &mut *self.lock();
        match machine.turn() {
            Turn::Go => machine.state.find_dir(path).map(|_| machine.state.commit()),
            Turn::Crash => Err(Errno::IO),
            Turn::Fail(errno) => Err(errno),
        }
        .map_err(|errno| failed(errno, "sync", path))
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync("", |_| Ok(None))
    }

    fn space(&self) -> io::Result<Space> {
        self.look("statfs", "", Wait::Yes, |state| {
            Ok(Space {
                bytes_free: state.room(),
                bytes_total: state.settings.bytes_total,
                inodes_free: state.settings.inodes_total.saturating_sub(state.inodes_used),
                block_bytes: state.settings.block_bytes,
            })
        })
    }
}

/// An open file of a simulated disk: its inode stays while this is there.
struct SimFile {
    disk: SimDisk,
    inode: Inode,
    path: Box<str>,
}

impl File for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.disk.look("read", &self.path, Wait::Yes, |state| {
            let content = &state.node(self.inode)?.content;
            let rest = content.get(offset.min(content.len() as u64) as usize..).unwrap_or(&[]);
            let len = rest.len().min(buf.len());
            buf[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.change("write", &self.path, |state| state.write(self.inode, offset, data))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync(&self.path, |_| Ok(Some(self.inode)))
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.look("stat", &self.path, Wait::Yes, |state| {
            Ok(state.node(self.inode)?.content.len() as u64)
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.lock().state.closed(self.inode);
    }
}

/// The step of splitmix64: a number for a number, as if by chance.
pub(crate) fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
