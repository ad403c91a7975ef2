//! Tests of the disks: what only the real one can show, and what both must answer alike.

use super::real::{RealDisk, lock};
use super::sim::{SimDisk, SimSettings, mix};
use super::{DirEntry, Disk, Kind, Stat, Wait, errno};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

fn real() -> (tempfile::TempDir, RealDisk) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let disk = RealDisk::open(root.path()).expect("it opens");
    (root, disk)
}

#[test]
fn real_disk_probes_and_leaves_nothing() {
    let (root, disk) = real();
    disk.probe().expect("the machine's file system will do");
    disk.probe().expect("and again");
    let names: Vec<_> = walkdir::WalkDir::new(root.path()).into_iter().flatten().collect();
    assert_eq!(names.len(), 2, "only ROOT_DIR and .dredis: {names:?}");
}

#[test]
fn real_disk_refuses_what_is_not_a_file_or_leads_away() {
    let (root, disk) = real();
    disk.create_dir("d").expect("mkdir");
    disk.create("d/f", b"x").expect("create");
    let at = |name: &str| root.path().join(name);
    std::os::unix::fs::symlink("d", at("dirlink")).expect("symlink");
    std::os::unix::fs::symlink("/etc/passwd", at("link")).expect("symlink");
    let dir = rustix::fs::open(root.path(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty());
    rustix::fs::mkfifoat(dir.expect("open"), "fifo", rustix::fs::Mode::RWXU).expect("mkfifo");
    std::os::unix::net::UnixListener::bind(at("socket")).expect("bind");
    for path in ["link", "dirlink/f", "fifo", "socket", "../x", "/etc/passwd", "d/../../x"] {
        for wait in [Wait::Yes, Wait::No, Wait::Ahead] {
            let e = disk.read(path, wait).expect_err(path);
            let put_off = wait == Wait::No && e.kind() == ErrorKind::WouldBlock;
            assert!(put_off || e.kind() == ErrorKind::InvalidInput, "read {path}: {e}");
        }
        let e = disk.write_at(path, 0, b"x").expect_err(path);
        assert_eq!(e.kind(), ErrorKind::InvalidInput, "write {path}: {e}");
        assert_eq!(disk.append(path, b"x").expect_err(path).kind(), ErrorKind::InvalidInput);
        assert!(disk.open(path).is_err(), "open {path}");
        assert!(disk.sync_file(path).is_err(), "sync {path}");
    }
    for path in ["link", "dirlink", "fifo", "socket"] {
        assert_eq!(disk.stat(path, Wait::Yes).expect(path).kind, Kind::Other);
    }
    for path in ["", ".", "..", "d/..", "d/", "dirlink/new", "/new"] {
        assert!(disk.create_dir(path).is_err(), "mkdir {path}");
        assert!(disk.rename("d/f", path).is_err(), "rename to {path}");
    }
    assert!(disk.create("link", b"x").is_err());
    assert_eq!(disk.read("d/f", Wait::Yes).expect("still there"), b"x");
}

#[test]
fn real_disk_does_not_note_the_time_of_a_read() {
    let (root, disk) = real();
    disk.create_dir("d").expect("mkdir");
    disk.create("d/f", b"x").expect("create");
    let accessed = |path: &str| std::fs::metadata(root.path().join(path))?.accessed();
    for path in ["d", "d/f"] {
        let file = std::fs::File::open(root.path().join(path)).expect(path);
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
        file.set_times(std::fs::FileTimes::new().set_accessed(long_ago)).expect("utimensat");
        disk.read("d/f", Wait::Yes).expect("it is there");
        disk.list("d", 0, &mut |_| true).expect("a directory");
        assert_eq!(accessed(path).expect("a time"), long_ago, "{path}");
    }
}

#[test]
fn real_disk_reads_cached_files_without_waiting() {
    let (_root, disk) = real();
    for len in [0, 1, 4096, 100_000] {
        let content: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let path = format!("f{len}");
        disk.create(&path, &content).expect("create");
        for wait in [Wait::Yes, Wait::No, Wait::Ahead] {
            match disk.read(&path, wait) {
                Ok(read) => assert_eq!(read, content),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    assert!(wait == Wait::Ahead && len == 100_000, "{len} bytes are held");
                }
            }
        }
        assert_eq!(disk.stat(&path, Wait::No).expect("stat").len, len);
    }
}

#[test]
fn real_disk_lists_on_from_any_position() {
    let (_root, disk) = real();
    for n in 0..2_000 {
        disk.create(&format!("a rather long name, number {n}"), b"").expect("create");
    }
    let (mut position, mut names) = (0, Vec::new());
    loop {
        let (start, mut left) = (position, 7);
        let mut visit = |entry: DirEntry<'_>| {
            assert_eq!(entry.kind, Kind::File);
            names.push(entry.name.to_vec());
            position = entry.next;
            left -= 1;
            left > 0
        };
        if disk.list("", start, &mut visit).expect("list") {
            break;
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 2_000);
}

#[test]
fn a_root_is_locked_once() {
    let (root, _disk) = real();
    let guard = lock(root.path()).expect("free");
    assert_eq!(lock(root.path()).expect_err("taken").kind(), ErrorKind::WouldBlock);
    drop(guard);
    lock(root.path()).expect("free again");
}

#[test]
fn modes_and_errors_of_the_real_disk() {
    use std::os::unix::fs::PermissionsExt;
    let (root, disk) = real();
    let mode = |name: &str| {
        std::fs::metadata(root.path().join(name)).expect(name).permissions().mode() & 0o7777
    };
    disk.create_dir("d").expect("mkdir");
    disk.create("f", b"").expect("create");
    disk.append("g", b"").expect("append");
    disk.create_shared("s", b"string").expect("create_shared");
    disk.create_zeroed("z", (1 << 20) + 5).expect("create_zeroed");
    assert_eq!([mode("d"), mode("f"), mode("g"), mode("s")], [0o700, 0o600, 0o600, 0o444]);
    assert_eq!(disk.read("z", Wait::Yes).expect("read"), vec![0; (1 << 20) + 5]);
    let e = disk.create(&"x".repeat(256), b"").expect_err("too long");
    assert_eq!(errno(&e), Some(libc::ENAMETOOLONG));
    assert!(e.to_string().contains("xxx: File name too long"), "{e}");
    assert_eq!(errno(&disk.read("none", Wait::Yes).expect_err("absent")), Some(libc::ENOENT));
}

/// The same chance for both disks.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % bound
    }

    fn path(&mut self) -> String {
        let names = ["a", "b", "c"];
        let depth = 1 + self.below(3);
        let parts = (0..depth).map(|_| names[self.below(3) as usize]);
        parts.collect::<Vec<_>>().join("/")
    }
}

/// An operation drawn by chance, done on a disk; the answer as text.
fn step(disk: &dyn Disk, chance: &mut Chance) -> String {
    let (operation, a, b) = (chance.below(20), chance.path(), chance.path());
    let (offset, len) = (chance.below(1_500), chance.below(1_500));
    let data = vec![b'a' + chance.below(26) as u8; len as usize];
    let answer = match operation {
        0..=2 => disk.create_dir(&a),
        3 | 4 => disk.create(&a, &data),
        5 => disk.create_shared(&a, &data),
        6 => disk.write_at(&a, offset, &data),
        7 => disk.append(&a, &data),
        8 => disk.create_zeroed(&a, len),
        9 => disk.link(&a, &b),
        10 | 11 => disk.rename(&a, &b),
        12 => disk.exchange(&a, &b),
        13 => disk.remove_file(&a),
        14 => disk.remove_dir(&a),
        15 => disk.sync_file(&a),
        16 => disk.sync_dir(&a),
        17 => return format!("read {a}: {:?}", told(disk.read(&a, Wait::Yes))),
        18 => {
            let facts = |s: Stat| (s.kind, (s.kind == Kind::File).then_some((s.len, s.links)));
            return format!("stat {a}: {:?}", told(disk.stat(&a, Wait::Yes).map(facts)));
        }
        _ => disk.open(&a).and_then(|file| {
            file.write_at(offset, &data)?;
            file.sync_data()?;
            let mut buf = [0; 700];
            let read = file.read_at(3, &mut buf)?;
            assert_eq!(file.is_empty()?, file.len()? == 0);
            disk.append(&a, &buf[..read])
        }),
    };
    format!("{operation} {a} {b}: {:?}", told(answer))
}

/// An answer without what only people read.
fn told<T>(answer: io::Result<T>) -> Result<T, (ErrorKind, Option<i32>)> {
    answer.map_err(|e| (e.kind(), errno(&e)))
}

/// Everything on a disk, as its own listing and reading tell it.
fn contents(disk: &dyn Disk) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        let mut visit = |entry: DirEntry<'_>| {
            let name = String::from_utf8(entry.name.to_vec()).expect("our own name");
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            match entry.kind {
                Kind::Dir => {
                    found.insert(format!("{path}/"), Vec::new());
                    dirs.push(path);
                }
                _ => {
                    let content = disk.read(&path, Wait::Yes).expect("listed");
                    found.insert(path, content);
                }
            }
            true
        };
        assert!(disk.list(&dir, 0, &mut visit).expect("a directory"));
    }
    found
}

#[test]
fn both_disks_answer_alike() {
    for seed in 0..40 {
        let (_root, real) = real();
        let sim = SimDisk::new(SimSettings::default());
        let mut chances = [Chance(seed), Chance(seed)];
        for nth in 0..150 {
            let [one, other] = &mut chances;
            assert_eq!(step(&real, one), step(&sim, other), "seed {seed}, step {nth}");
        }
        let seen = contents(&sim);
        assert_eq!(contents(&real), seen, "seed {seed}");
        assert_eq!(sim.dump(""), seen, "seed {seed}");
    }
}
