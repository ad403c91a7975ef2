//! What a file system must be able to do to hold a database: asked once, at the start.
//!
//! Each refusal is one line for the person who starts the server: what is wrong, what to do. It
//! knows the promises that the layout relies on (names of 255 bytes, told apart byte for byte;
//! exchange of two names) and nothing of the layout itself.

use super::real::RealDisk;
use super::{Disk, Wait, errno, is_full};
use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use std::io;

const NFS_MAGIC: u64 = 0x6969;
const NAME_BYTES: usize = 255;
const DIR: &str = ".dredis/probe";

/// Names that a file system may take for one: case, composed and decomposed forms, compatibility.
const PAIRS: &[(&str, &str, &str)] = &[
    ("Case", "case", "ignores the case of names"),
    ("\u{e9}", "e\u{301}", "normalises Unicode names"),
    ("\u{fb01}", "fi", "normalises Unicode names"),
];

type Verdict = Result<(), String>;

/// See [`RealDisk::probe`].
pub(super) fn probe(disk: &RealDisk) -> Verdict {
    mount(disk)?;
    kernel(disk)?;
    let verdict = match prepare(disk) {
        Err(e) if is_full(&e) => return Ok(()),
        Err(e) => return Err(unusable(&e)),
        Ok(()) => names(disk).and_then(|()| exchange(disk)),
    };
    let cleared = clear(disk).map_err(|e| unusable(&e));
    verdict.and(cleared)
}

/// What the mount says of itself.
fn mount(disk: &RealDisk) -> Verdict {
    let told = |e: Errno| unusable(&io::Error::from(e));
    if rustix::fs::fstatfs(disk.root()).map_err(told)?.f_type as u64 == NFS_MAGIC {
        return Err("ROOT_DIR is on NFS, where a sync promises too little: \
                    use a local file system such as ext4 or xfs"
            .to_owned());
    }
    let room = rustix::fs::fstatvfs(disk.root()).map_err(told)?;
    if room.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(read_only());
    }
    match room.f_namemax < NAME_BYTES as u64 {
        true => Err(short_names()),
        false => Ok(()),
    }
}

/// openat2 with RESOLVE_CACHED came with Linux 5.12.
fn kernel(disk: &RealDisk) -> Verdict {
    match [Wait::Yes, Wait::No].iter().try_for_each(|wait| disk.stat("", *wait).map(drop)) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(e) => Err(format!(
            "openat2 with RESOLVE_CACHED does not work here ({e}): use Linux 5.12 or later, \
             and a container profile that allows openat2"
        )),
        Ok(()) => Ok(()),
    }
}

fn prepare(disk: &RealDisk) -> io::Result<()> {
    match disk.create_dir(".dredis") {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    clear(disk)?;
    disk.create_dir(DIR)
}

fn names(disk: &RealDisk) -> Verdict {
    let long = format!("{DIR}/{}", "n".repeat(NAME_BYTES));
    match disk.create(&long, b"") {
        Err(e) if errno(&e) == Some(Errno::NAMETOOLONG.raw_os_error()) => {
            return Err(short_names());
        }
        Err(e) if !is_full(&e) => return Err(unusable(&e)),
        _ => {}
    }
    for (made, alike, what) in PAIRS {
        let refusal = || {
            format!(
                "the file system of ROOT_DIR {what}, so two keys would be one: \
                 use one that keeps names as they are, such as ext4 or xfs"
            )
        };
        match disk.create(&format!("{DIR}/{made}"), b"") {
            Err(e) if is_full(&e) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(refusal()),
            Err(e) => return Err(unusable(&e)),
            Ok(()) => {}
        }
        if disk.stat(&format!("{DIR}/{alike}"), Wait::Yes).is_ok() || !lists(disk, made)? {
            return Err(refusal());
        }
    }
    Ok(())
}

/// Whether the probe's directory lists `name` byte for byte.
fn lists(disk: &RealDisk, name: &str) -> Result<bool, String> {
    let mut found = false;
    let mut look = |entry: super::DirEntry<'_>| {
        found |= entry.name == name.as_bytes();
        true
    };
    disk.list(DIR, 0, &mut look).map_err(|e| unusable(&e))?;
    Ok(found)
}

fn exchange(disk: &RealDisk) -> Verdict {
    let (a, b) = (format!("{DIR}/a"), format!("{DIR}/b"));
    match disk.create(&a, b"").and_then(|()| disk.create(&b, b"")) {
        Err(e) if is_full(&e) => return Ok(()),
        Err(e) => return Err(unusable(&e)),
        Ok(()) => {}
    }
    match disk.exchange(&a, &b) {
        Err(e) if is_full(&e) => Ok(()),
        Err(e) => Err(format!(
            "the file system of ROOT_DIR cannot exchange two names ({e}): \
             use one that can, such as ext4, xfs, btrfs or tmpfs"
        )),
        Ok(()) => Ok(()),
    }
}

/// Removes the probe's directory, whatever an earlier start left in it.
fn clear(disk: &RealDisk) -> io::Result<()> {
    let mut names = Vec::new();
    let mut take = |entry: super::DirEntry<'_>| {
        names.push(String::from_utf8_lossy(entry.name).into_owned());
        true
    };
    match disk.list(DIR, 0, &mut take) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    for name in names {
        disk.remove_file(&format!("{DIR}/{name}"))?;
    }
    disk.remove_dir(DIR)
}

fn read_only() -> String {
    "the file system of ROOT_DIR is read-only: mount it read-write, or choose another ROOT_DIR"
        .to_owned()
}

fn short_names() -> String {
    format!(
        "the file system of ROOT_DIR does not take names of {NAME_BYTES} bytes: \
         use one that does, such as ext4 or xfs (not eCryptfs)"
    )
}

fn unusable(error: &io::Error) -> String {
    match errno(error) == Some(Errno::ROFS.raw_os_error()) {
        true => read_only(),
        false => format!("ROOT_DIR cannot be used: {error}: check its owner, mode and mount"),
    }
}
