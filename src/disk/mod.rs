//! The outside world as a small trait: the real disk below ROOT_DIR, and a simulated one.
//!
//! Every path is relative to ROOT_DIR: components joined by `/`, none of them empty, `.` or `..`.
//! They come from `layout::paths`, never from a client. The trait knows nothing of keys or of the
//! journal. [`real::RealDisk`] opens everything beneath a descriptor of ROOT_DIR; [`sim::SimDisk`]
//! keeps what is synced apart from what is not, and can fail, tear, fill up or stop at any call.
//!
//! An error's kind says what to do: `NotFound` is "absent", `WouldBlock` (never with [`Wait::Yes`])
//! is "ask again where you may wait", `StorageFull` is a full disk (blocks, inodes or quota), and
//! `InvalidInput` is something that is neither a regular file nor a directory (a symbolic link, a
//! FIFO, a mount point) at that path. `IsADirectory`, `NotADirectory`, `DirectoryNotEmpty` and
//! `AlreadyExists` are as Linux answers them. `PermissionDenied` answers an attempt to write in
//! place to a file without the owner's write bit, for root too: it is one inode with many names.
//! [`errno`], [`is_full`] and [`is_out_of_descriptors`] look behind the kind.

use std::io;
use std::time::SystemTime;

mod error;
mod probe;
pub mod real;
pub mod sim;
#[cfg(test)]
mod tests;

pub use error::{errno, is_full, is_out_of_descriptors};

/// Whether a call may wait for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It may: helper threads and start-up.
    Yes,
    /// It must answer from the kernel's caches or fail with `WouldBlock`: the event loop.
    No,
    /// A read answers from the kernel's caches, or has the content brought there and fails with
    /// `WouldBlock`: a helper that has more to read meanwhile. Finding the file may wait.
    Ahead,
}

/// What kind of thing a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// Anything else: never ours, never followed.
    Other,
}

/// The facts about a file or directory that this server uses (stat(2)).
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// File, directory or something else.
    pub kind: Kind,
    /// Size in bytes.
    pub len: u64,
    /// Number of hard links.
    pub links: u64,
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Time of the last change of the inode.
    pub changed: SystemTime,
}

/// One entry of a directory listing.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// The name's bytes as they are on disk, UTF-8 or not. `.` and `..` are never listed.
    pub name: &'a [u8],
    /// What it is, where the file system says so in the listing; otherwise by a stat.
    pub kind: Kind,
    /// The position from which a later listing goes on behind this entry (d_off of getdents).
    pub next: u64,
}

/// Room on the file system, less what is reserved for root (statvfs(3)).
#[derive(Clone, Copy, Debug, Default)]
pub struct Space {
    /// Free bytes.
    pub bytes_free: u64,
    /// Size of the file system in bytes.
    pub bytes_total: u64,
    /// Free inodes; `u64::MAX` where the file system does not count them.
    pub inodes_free: u64,
    /// Bytes of one block.
    pub block_bytes: u64,
}

impl Space {
    /// Whether so many small files may be made, each with an inode and a block of its own.
    pub fn has_files(&self, files: usize) -> bool {
        let files = files as u64;
        files <= self.inodes_free && files.saturating_mul(self.block_bytes) <= self.bytes_free
    }
}

/// An open file that is written and synced over a long time: a segment of the journal.
pub trait File: Send {
    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `data` at `offset`.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// fdatasync(2). After an error this descriptor must not be used again (RELIABILITY, 1).
    fn sync_data(&self) -> io::Result<()>;
    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A file system below ROOT_DIR. Calls come from several threads at once.
pub trait Disk: Send + Sync {
    /// The whole content of a regular file.
    fn read(&self, path: &str, wait: Wait) -> io::Result<Vec<u8>>;
    /// What is at `path`; `NotFound` where nothing is.
    fn stat(&self, path: &str, wait: Wait) -> io::Result<Stat>;
    /// Visits the entries of a directory from `position` on (0 is the beginning) until `visit`
    /// answers false or the directory ends. Answers whether the end was reached.
    fn list(
        &self,
        dir: &str,
        position: u64,
        visit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> io::Result<bool>;

    /// Makes a new regular file (mode 0600) with this content; `AlreadyExists` where one is. On
    /// any other error the file may be there with part of the content.
    fn create(&self, path: &str, content: &[u8]) -> io::Result<()>;
    /// The same with mode 0444: an inode to be linked many times.
    fn create_shared(&self, path: &str, content: &[u8]) -> io::Result<()>;
    /// Writes `data` at `offset` of an existing regular file; a gap before it reads as zeros.
    fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Appends to a file, made (mode 0600) where it is missing.
    fn append(&self, path: &str, data: &[u8]) -> io::Result<()>;
    /// Makes a new file of `len` zero bytes, written and not only allocated, and syncs it: later
    /// writes in it need no new block. On a copy-on-write file system, fallocate instead.
    fn create_zeroed(&self, path: &str, len: u64) -> io::Result<()>;
    /// Makes a directory (mode 0700).
    fn create_dir(&self, path: &str) -> io::Result<()>;
    /// A second name for the file `from`. Any error is an answer: make a plain file instead.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;
    /// rename(2): replaces a file, or an empty directory, at `to`. Where both are names of one
    /// inode it does nothing, and `from` is still there.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// renameat2(2) with RENAME_EXCHANGE: both names exist before and after, at any crash too.
    fn exchange(&self, a: &str, b: &str) -> io::Result<()>;
    /// unlink(2).
    fn remove_file(&self, path: &str) -> io::Result<()>;
    /// rmdir(2).
    fn remove_dir(&self, path: &str) -> io::Result<()>;

    /// Opens an existing regular file to read and write.
    fn open(&self, path: &str) -> io::Result<Box<dyn File>>;
    /// fsync(2) of a regular file.
    fn sync_file(&self, path: &str) -> io::Result<()>;
    /// fsync(2) of a directory: its entries survive a power cut. The empty path is ROOT_DIR.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
    /// syncfs(2) on one descriptor held since the start, so that no error is missed.
    fn sync_all(&self) -> io::Result<()>;
    /// Room on the file system.
    fn space(&self) -> io::Result<Space>;
    /// Whether overwriting takes new blocks (btrfs): there nothing prewritten helps on a full disk.
    fn copy_on_write(&self) -> bool {
        false
    }
}
