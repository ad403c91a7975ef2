//! The real disk: system calls beneath one descriptor of ROOT_DIR.
//!
//! Every path is resolved with openat2(2) so that it cannot leave ROOT_DIR, follow a symbolic link
//! or cross a mount, and what is opened must be a regular file or a directory; nothing here blocks
//! on a FIFO. It knows nothing of what the paths mean, and keeps no cache and no descriptor but
//! those of ROOT_DIR. `probe` holds what is asked of the file system once, at the start.

use super::error::{errno, failed, unresolved};
use super::{DirEntry, Disk, File, Kind, Space, Stat, Wait};
use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, FallocateFlags, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, SeekFrom,
};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How a path is resolved: beneath ROOT_DIR, through nothing but directories of this file system.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Bytes of the buffer for one getdents call: about 800 entries.
const LIST_BYTES: usize = 32 << 10;

/// What is larger is not held while other files are read.
const AHEAD_BYTES_MAX: usize = 16 << 10;

/// Bytes of zeros written at a time.
const ZEROS_BYTES: u64 = 1 << 20;

/// Magic of btrfs (statfs(2)), where overwriting needs new blocks.
const BTRFS_MAGIC: u64 = 0x9123_683E;

const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const SHARED_MODE: Mode = Mode::from_raw_mode(0o444);
const DIR_MODE: Mode = Mode::from_raw_mode(0o700);
const OWNER_WRITES: u32 = 0o200;

/// The file system below ROOT_DIR.
#[derive(Debug)]
pub struct RealDisk {
    root: OwnedFd,
    /// A descriptor of its own for syncfs: it reports each error once to each open descriptor.
    synced: OwnedFd,
    copy_on_write: bool,
}

/// Holds the lock of a ROOT_DIR until it is dropped or the process ends.
#[derive(Debug)]
pub struct LockGuard {
    _file: fs::File,
}

/// Takes the exclusive lock (flock) of `root/.dredis/lock`, made where it is missing. `WouldBlock`
/// when another server has it. The file has no content: a restored copy of it locks nothing.
pub fn lock(root: &Path) -> io::Result<LockGuard> {
    let disk = RealDisk::open(root)?;
    match disk.create_dir(".dredis") {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let flags = OFlags::RDWR | OFlags::CREATE;
    let file = fs::File::from(disk.open_file(".dredis/lock", flags, Wait::Yes)?.0);
    fs2::FileExt::try_lock_exclusive(&file)?;
    Ok(LockGuard { _file: file })
}

impl RealDisk {
    /// Opens an existing directory as ROOT_DIR. `root` itself may be reached by symbolic links.
    pub fn open(root: &Path) -> io::Result<RealDisk> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || {
            retry_on_intr(|| rustix::fs::open(root, flags, Mode::empty()))
                .map_err(|e| failed(e, "open", &root.to_string_lossy()))
        };
        let root = open()?;
        let magic = rustix::fs::fstatfs(&root).map_err(|e| failed(e, "statfs", ""))?.f_type;
        Ok(RealDisk { root, synced: open()?, copy_on_write: magic as u64 == BTRFS_MAGIC })
    }

    /// Finds out whether this file system can hold a database. An error is one line that says what
    /// is wrong and what to do. Makes and removes names in `.dredis/probe`; on a full disk it looks
    /// only at what it can.
    pub fn probe(&self) -> Result<(), String> {
        super::probe::probe(self)
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a file or directory only to read it: without noting the time of access where that is
    /// allowed, to the owner of it (O_NOATIME, open(2)). Noting it changes the inode, which waits
    /// for the file system's journal.
    fn resolve_unnoted(&self, path: &str, flags: OFlags, wait: Wait) -> io::Result<OwnedFd> {
        match self.resolve(path, flags | OFlags::NOATIME, Mode::empty(), wait) {
            Err(error) if errno(&error) == Some(Errno::PERM.raw_os_error()) => {
                self.resolve(path, flags, Mode::empty(), wait)
            }
            opened => opened,
        }
    }

    /// openat2 beneath ROOT_DIR. `mode` must be empty unless `flags` has CREATE.
    fn resolve(&self, path: &str, flags: OFlags, mode: Mode, wait: Wait) -> io::Result<OwnedFd> {
        let how = match wait {
            Wait::Yes | Wait::Ahead => RESOLVE,
            Wait::No => RESOLVE | ResolveFlags::CACHED,
        };
        let at = if path.is_empty() { "." } else { path };
        let flags = flags | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::openat2(&self.root, at, flags, mode, how))
            .map_err(|e| unresolved(e, "open", path))
    }

    /// Opens a regular file; answers its stat too.
    fn open_file(
        &self,
        path: &str,
        flags: OFlags,
        wait: Wait,
    ) -> io::Result<(OwnedFd, rustix::fs::Stat)> {
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
        let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR);
        let mode = if flags.contains(OFlags::CREATE) { FILE_MODE } else { Mode::empty() };
        let fd = match writes {
            true => self.resolve(path, flags, mode, wait)?,
            false => self.resolve_unnoted(path, flags, wait)?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(|e| failed(e, "stat", path))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(failed(Errno::ISDIR, "open", path)),
            _ => return Err(failed(Errno::NXIO, "open", path)),
        }
        if writes && stat.st_mode & OWNER_WRITES == 0 && !flags.contains(OFlags::EXCL) {
            return Err(failed(Errno::ACCESS, "write", path));
        }
        Ok((fd, stat))
    }

    fn create_new(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        Ok(self.open_file(path, flags, Wait::Yes)?.0)
    }

    fn open_dir(&self, path: &str) -> io::Result<OwnedFd> {
        self.resolve_unnoted(path, OFlags::RDONLY | OFlags::DIRECTORY, Wait::Yes)
    }

    /// The directory of a path, opened to name things in it, and the last name.
    fn parent<'a>(&self, path: &'a str, what: &'static str) -> io::Result<(Parent<'_>, &'a str)> {
        let (dir, name) = split(path).ok_or_else(|| failed(Errno::INVAL, what, path))?;
        if dir.is_empty() {
            return Ok((Parent::Borrowed(self.root.as_fd()), name));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Ok((Parent::Opened(self.resolve(dir, flags, Mode::empty(), Wait::Yes)?), name))
    }

    /// A system call on two names, each in its own directory.
    fn on_two(
        &self,
        what: &'static str,
        from: &str,
        to: &str,
        call: impl Fn(BorrowedFd<'_>, &str, BorrowedFd<'_>, &str) -> rustix::io::Result<()>,
    ) -> io::Result<()> {
        let (source, old) = self.parent(from, what)?;
        let same = split(from).zip(split(to)).filter(|(from, to)| from.0 == to.0);
        let (target, new) = match same {
            Some((_, (_, new))) => (Parent::Borrowed(source.fd()), new),
            None => self.parent(to, what)?,
        };
        retry_on_intr(|| call(source.fd(), old, target.fd(), new)).map_err(|e| match e {
            Errno::NOENT => failed(e, what, from),
            e => failed(e, what, &format!("{from} to {to}")),
        })
    }
}

/// The directory and the name of a path; nothing where it does not end in a name.
fn split(path: &str) -> Option<(&str, &str)> {
    let (dir, name) = match path.rsplit_once('/') {
        Some(("", _)) => return None,
        Some(parts) => parts,
        None => ("", path),
    };
    (!matches!(name, "" | "." | "..")).then_some((dir, name))
}

/// A directory in which something is named.
enum Parent<'a> {
    Borrowed(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl Parent<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Parent::Borrowed(fd) => *fd,
            Parent::Opened(fd) => fd.as_fd(),
        }
    }
}

impl Disk for RealDisk {
    fn read(&self, path: &str, wait: Wait) -> io::Result<Vec<u8>> {
        let (fd, stat) = self.open_file(path, OFlags::RDONLY, wait)?;
        let len = usize::try_from(stat.st_size).map_err(|_| failed(Errno::FBIG, "read", path))?;
        let mut content = Vec::new();
        // One byte more than there should be: a short read then shows the end without another call.
        content.try_reserve_exact(len + 1).map_err(|_| failed(Errno::NOMEM, "read", path))?;
        match wait {
            Wait::Yes => read_waiting(&fd, len, &mut content),
            Wait::No => read_cached(&fd, len, &mut content),
            Wait::Ahead => read_ahead(&fd, len, &mut content),
        }
        .map_err(|e| failed(e, "read", path))?;
        Ok(content)
    }

    fn stat(&self, path: &str, wait: Wait) -> io::Result<Stat> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let fd = self.resolve(path, flags, Mode::empty(), wait)?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| failed(e, "stat", path))?;
        Ok(Stat {
            kind: kind(FileType::from_raw_mode(stat.st_mode)),
            len: stat.st_size as u64,
            links: stat.st_nlink,
            device: stat.st_dev,
            inode: stat.st_ino,
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        })
    }

    fn list(
        &self,
        dir: &str,
        position: u64,
        visit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> io::Result<bool> {
        let fd = self.open_dir(dir)?;
        if position != 0 {
            rustix::fs::seek(&fd, SeekFrom::Start(position)).map_err(|e| failed(e, "seek", dir))?;
        }
        let mut buffer = Vec::with_capacity(LIST_BYTES);
        let mut entries = RawDir::new(&fd, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::INTR) => continue,
                entry => entry.map_err(|e| failed(e, "list", dir))?,
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match stat_kind(&fd, name) {
                    Err(Errno::NOENT) => continue,
                    kind => kind.map_err(|e| failed(e, "stat an entry of", dir))?,
                },
                known => kind(known),
            };
            let next = entry.next_entry_cookie();
            if !visit(DirEntry { name: name.to_bytes(), kind, next }) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn create(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let fd = self.create_new(path)?;
        write_all(&fd, 0, content).map_err(|e| failed(e, "write", path))
    }

    fn create_shared(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let fd = self.create_new(path)?;
        write_all(&fd, 0, content).map_err(|e| failed(e, "write", path))?;
        rustix::fs::fchmod(&fd, SHARED_MODE).map_err(|e| failed(e, "chmod", path))
    }

    fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> io::Result<()> {
        let fd = self.open_file(path, OFlags::WRONLY, Wait::Yes)?.0;
        write_all(&fd, offset, data).map_err(|e| failed(e, "write", path))
    }

    fn append(&self, path: &str, mut data: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        let fd = self.open_file(path, flags, Wait::Yes)?.0;
        while !data.is_empty() {
            let written = retry_on_intr(|| rustix::io::write(&fd, data));
            let written = advanced(written).map_err(|e| failed(e, "append to", path))?;
            data = &data[written..];
        }
        Ok(())
    }

    fn create_zeroed(&self, path: &str, len: u64) -> io::Result<()> {
        let fd = self.create_new(path)?;
        self.fill(&fd, len).map_err(|e| failed(e, "fill", path))?;
        retry_on_intr(|| rustix::fs::fsync(&fd)).map_err(|e| failed(e, "fsync", path))
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let (dir, name) = self.parent(path, "mkdir")?;
        retry_on_intr(|| rustix::fs::mkdirat(dir.fd(), name, DIR_MODE))
            .map_err(|e| failed(e, "mkdir", path))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.on_two("link", from, to, |source, old, target, new| {
            rustix::fs::linkat(source, old, target, new, AtFlags::empty())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.on_two("rename", from, to, |source, old, target, new| {
            rustix::fs::renameat(source, old, target, new)
        })
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        self.on_two("exchange", a, b, |source, old, target, new| {
            rustix::fs::renameat_with(source, old, target, new, RenameFlags::EXCHANGE)
        })
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let (dir, name) = self.parent(path, "unlink")?;
        retry_on_intr(|| rustix::fs::unlinkat(dir.fd(), name, AtFlags::empty()))
            .map_err(|e| failed(e, "unlink", path))
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let (dir, name) = self.parent(path, "rmdir")?;
        retry_on_intr(|| rustix::fs::unlinkat(dir.fd(), name, AtFlags::REMOVEDIR))
            .map_err(|e| failed(e, "rmdir", path))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn File>> {
        let fd = self.open_file(path, OFlags::RDWR, Wait::Yes)?.0;
        Ok(Box::new(RealFile { fd, path: path.into() }))
    }

    fn sync_file(&self, path: &str) -> io::Result<()> {
        let fd = self.open_file(path, OFlags::RDONLY, Wait::Yes)?.0;
        retry_on_intr(|| rustix::fs::fsync(&fd)).map_err(|e| failed(e, "fsync", path))
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let fd = self.open_dir(path)?;
        retry_on_intr(|| rustix::fs::fsync(&fd)).map_err(|e| failed(e, "fsync", path))
    }

    fn sync_all(&self) -> io::Result<()> {
        retry_on_intr(|| rustix::fs::syncfs(&self.synced)).map_err(|e| failed(e, "syncfs", ""))
    }

    fn space(&self) -> io::Result<Space> {
        let room = retry_on_intr(|| rustix::fs::fstatvfs(&self.root))
            .map_err(|e| failed(e, "statvfs", ""))?;
        Ok(Space {
            bytes_free: room.f_bavail.saturating_mul(room.f_frsize),
            bytes_total: room.f_blocks.saturating_mul(room.f_frsize),
            inodes_free: if room.f_files == 0 { u64::MAX } else { room.f_favail },
            block_bytes: room.f_frsize,
        })
    }

    fn copy_on_write(&self) -> bool {
        self.copy_on_write
    }
}

impl RealDisk {
    /// Gives a new file its zeros.
    fn fill(&self, fd: &OwnedFd, len: u64) -> rustix::io::Result<()> {
        if self.copy_on_write && len > 0 {
            let allocate = || rustix::fs::fallocate(fd, FallocateFlags::empty(), 0, len);
            match retry_on_intr(allocate) {
                Err(Errno::OPNOTSUPP) => {}
                result => return result,
            }
        }
        let zeros = vec![0; len.min(ZEROS_BYTES) as usize];
        let mut offset = 0;
        while offset < len {
            let part = (len - offset).min(ZEROS_BYTES);
            write_all(fd, offset, &zeros[..part as usize])?;
            offset += part;
        }
        Ok(())
    }
}

/// An open regular file.
struct RealFile {
    fd: OwnedFd,
    path: Box<str>,
}

impl File for RealFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        retry_on_intr(|| rustix::io::pread(&self.fd, &mut *buf, offset))
            .map_err(|e| failed(e, "read", &self.path))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        write_all(&self.fd, offset, data).map_err(|e| failed(e, "write", &self.path))
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not retried on any error: the second call would answer OK for what is lost.
        rustix::fs::fdatasync(&self.fd).map_err(|e| failed(e, "fdatasync", &self.path))
    }

    fn len(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|e| failed(e, "stat", &self.path))?;
        Ok(stat.st_size as u64)
    }
}

/// Reads to the end, waiting for the device. `len` is the size that stat told.
fn read_waiting(fd: &OwnedFd, len: usize, content: &mut Vec<u8>) -> rustix::io::Result<()> {
    loop {
        if content.len() == content.capacity() {
            content.reserve(LIST_BYTES);
        }
        let asked = content.capacity() - content.len();
        let offset = content.len() as u64;
        let read = retry_on_intr(|| rustix::io::pread(fd, spare_capacity(content), offset))?;
        if read == 0 || (read < asked && content.len() >= len) {
            return Ok(());
        }
    }
}

/// Reads to the end out of the page cache, or fails with AGAIN.
fn read_cached(fd: &OwnedFd, len: usize, content: &mut Vec<u8>) -> rustix::io::Result<()> {
    let mut filled = 0;
    content.resize(len + 1, 0);
    loop {
        if filled == content.len() {
            content.resize(filled + LIST_BYTES, 0);
        }
        let asked = content.len() - filled;
        let read = retry_on_intr(|| {
            let mut rest = [io::IoSliceMut::new(&mut content[filled..])];
            rustix::io::preadv2(fd, &mut rest, filled as u64, ReadWriteFlags::NOWAIT)
        });
        let read = match read {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Err(Errno::AGAIN),
            read => read?,
        };
        filled += read;
        if read == 0 || (read < asked && filled >= len) {
            content.truncate(filled);
            return Ok(());
        }
    }
}

/// Reads what is in the page cache, if it is little, or has it read and fails with AGAIN.
fn read_ahead(fd: &OwnedFd, len: usize, content: &mut Vec<u8>) -> rustix::io::Result<()> {
    if len <= AHEAD_BYTES_MAX && read_cached(fd, len, content).is_ok() {
        return Ok(());
    }
    // It is advice: where it is not taken, reading waits.
    _ = rustix::fs::fadvise(fd, 0, None, rustix::fs::Advice::WillNeed);
    Err(Errno::AGAIN)
}

fn write_all(fd: &OwnedFd, mut offset: u64, mut data: &[u8]) -> rustix::io::Result<()> {
    while !data.is_empty() {
        let written = advanced(retry_on_intr(|| rustix::io::pwrite(fd, data, offset)))?;
        data = &data[written..];
        offset += written as u64;
    }
    Ok(())
}

/// A write of nothing at all would loop for ever: an error of the device.
fn advanced(written: rustix::io::Result<usize>) -> rustix::io::Result<usize> {
    match written? {
        0 => Err(Errno::IO),
        written => Ok(written),
    }
}

fn stat_kind(dir: &OwnedFd, name: &std::ffi::CStr) -> rustix::io::Result<Kind> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(kind(FileType::from_raw_mode(stat.st_mode)))
}

fn kind(kind: FileType) -> Kind {
    match kind {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        _ => Kind::Other,
    }
}

fn time(seconds: i64, nanoseconds: u64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = match seconds >= 0 {
        true => SystemTime::UNIX_EPOCH + whole,
        false => SystemTime::UNIX_EPOCH - whole,
    };
    base + Duration::from_nanos(nanoseconds)
}
