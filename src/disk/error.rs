//! Errors of the disk: what was tried, where, and the errno behind it.
//!
//! An error's kind decides what a caller does; its text is for people. `NotFound` and `WouldBlock`
//! are everyday answers on the hot path and carry neither text nor an allocation. This module does
//! not know which disk failed: the real one and the simulated one make their errors here, so that
//! callers cannot tell them apart.

use rustix::io::Errno;
use std::fmt;
use std::io;

/// What stands behind an `io::Error` of a disk that carries a path.
#[derive(Debug)]
struct Failure {
    what: &'static str,
    path: Box<str>,
    errno: Errno,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "ROOT_DIR" } else { &self.path };
        write!(f, "{} {path}: ", self.what)?;
        match self.errno {
            Errno::LOOP => f.write_str("symbolic links below ROOT_DIR are not followed"),
            Errno::XDEV => f.write_str("leads to another file system, or out of ROOT_DIR"),
            Errno::NXIO => f.write_str("neither a regular file nor a directory"),
            errno => write!(f, "{}", io::Error::from_raw_os_error(errno.raw_os_error())),
        }
    }
}

impl std::error::Error for Failure {}

/// The error of `what` (a verb such as "open") at `path`.
pub(super) fn failed(errno: Errno, what: &'static str, path: &str) -> io::Error {
    let plain = io::Error::from_raw_os_error(errno.raw_os_error());
    let kind = match errno {
        Errno::NOENT | Errno::AGAIN => return plain,
        Errno::LOOP | Errno::NXIO => io::ErrorKind::InvalidInput,
        Errno::NOSPC | Errno::DQUOT => io::ErrorKind::StorageFull,
        _ => plain.kind(),
    };
    io::Error::new(kind, Failure { what, path: path.into(), errno })
}

/// The same for resolving a path: a mount point or a way out of ROOT_DIR is `InvalidInput` too.
pub(super) fn unresolved(errno: Errno, what: &'static str, path: &str) -> io::Error {
    match errno {
        Errno::XDEV => {
            let failure = Failure { what, path: path.into(), errno };
            io::Error::new(io::ErrorKind::InvalidInput, failure)
        }
        errno => failed(errno, what, path),
    }
}

/// The errno behind an error of a disk, however it is wrapped.
pub fn errno(error: &io::Error) -> Option<i32> {
    let failure = || error.get_ref()?.downcast_ref::<Failure>();
    error.raw_os_error().or_else(|| failure().map(|failure| failure.errno.raw_os_error()))
}

/// Whether the disk is full: no blocks, no inodes, or the end of a quota. Errors of a
/// [`super::Disk`] have the kind `StorageFull` then; std calls the last one `QuotaExceeded`, and
/// that is understood too.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether descriptors ran out, in this process or in the system: try again later.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = errno(error);
    errno == Some(Errno::MFILE.raw_os_error()) || errno == Some(Errno::NFILE.raw_os_error())
}
