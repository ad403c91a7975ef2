//! Checks of directories made by hand: what is found, at which level, and that nothing changes.

use super::{Kind, Level, Report, examine};
use crate::disk::Disk;
use crate::disk::real::RealDisk;
use crate::journal::{Group, Journal, Settings, recover};
use crate::layout::names;
use crate::layout::op::{Key, Op};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

/// A directory with one sound key.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    key(root.path(), "0/msg", &[("type", "string"), ("value", "Hello World")]);
    root
}

fn key(root: &Path, dir: &str, parts: &[(&str, &str)]) {
    let dir = root.join(dir);
    fs::create_dir_all(&dir).expect("a directory");
    for (name, content) in parts {
        fs::write(dir.join(name), content).expect("a file");
    }
}

fn check(root: &Path) -> Report {
    examine(root, &|_| {}).expect("a report")
}

/// Kind and path of all findings of a level, in the order of paths.
fn found(report: &Report, level: Level) -> Vec<(Kind, &str)> {
    let of = report.findings.iter().filter(|finding| finding.level == level);
    let mut found: Vec<_> = of.map(|finding| (finding.kind, &*finding.path)).collect();
    found.sort_by_key(|(_, path)| *path);
    found
}

#[test]
fn a_tree_made_by_hand_is_sound() {
    let root = root();
    key(root.path(), "3/%2E.%2Fx", &[("type", "string\n"), ("value", ""), ("expires", "12\n")]);
    let report = check(root.path());
    assert!(report.is_sound(), "{}", report.text());
    assert_eq!((report.databases[0].keys, report.databases[0].bytes), (1, 11));
    assert_eq!((report.databases[3].keys, report.databases[3].deadlines), (1, 1));
    assert!(report.journal.is_none());
    assert_eq!(report.json()["sound"], true);
}

#[test]
fn strangers_and_half_keys_are_problems() {
    let root = root();
    let at = root.path();
    key(at, "0/half", &[("value", "x")]);
    key(at, "0/no-value", &[("type", "string")]);
    key(at, "0/no-type-of-ours", &[("type", "queue"), ("value", "x")]);
    key(at, "0/when", &[("type", "string"), ("value", "x"), ("expires", "soon")]);
    key(at, "0/more", &[("type", "string"), ("value", "x"), ("value.old", "y")]);
    key(at, "0/%41", &[("type", "string"), ("value", "x")]);
    key(at, "16/k", &[("type", "string"), ("value", "x")]);
    fs::write(at.join("0/file"), "").expect("a file");
    fs::write(at.join("0/bell\x07"), "").expect("a file");
    symlink("msg", at.join("0/link")).expect("a link");
    fs::create_dir(at.join("0/linked")).expect("a directory");
    fs::write(at.join("0/linked/type"), "string").expect("a file");
    symlink("/etc/hostname", at.join("0/linked/value")).expect("a link");
    fs::write(at.join("notes.txt"), "").expect("a file");

    let report = check(at);
    let expect = [
        (Kind::Stranger, "0/%41"),
        (Kind::Stranger, "0/bell\\x07"),
        (Kind::Stranger, "0/file"),
        (Kind::HalfKey, "0/half"),
        (Kind::Stranger, "0/link"),
        (Kind::Damage, "0/linked"),
        (Kind::Stranger, "0/more/value.old"),
        (Kind::Damage, "0/no-type-of-ours"),
        (Kind::Damage, "0/no-value"),
        (Kind::Damage, "0/when"),
        (Kind::Stranger, "16"),
    ];
    assert_eq!(found(&report, Level::Problem), expect, "{}", report.text());
    assert!(found(&report, Level::Hint).contains(&(Kind::Stranger, "notes.txt")));
    assert_eq!(report.databases[0].keys, 2);
    assert!(report.text().ends_with("\n11 problems\n"));
}

#[test]
fn long_names_lead_to_their_keys() {
    let root = root();
    let at = root.path();
    let long = names::encode(&[b'l'; 10_000]);
    let parts: &[(&str, &str)] = &[("type", "string"), ("value", "x")];
    key(at, &format!("0/{}", long.as_str()), parts);
    let alone = found(&check(at), Level::Problem).len();
    let companion = format!("0/{}{}", long.as_str(), names::COMPANION);
    fs::write(at.join(&companion), "another").expect("a file");
    let another = found(&check(at), Level::Problem).len();
    fs::write(at.join(&companion), long.full().expect("a full name")).expect("a file");
    let right = check(at);
    assert_eq!((alone, another), (1, 1));
    assert!(right.is_sound() && right.databases[0].keys == 2, "{}", right.text());

    let refused = names::encode(b"refused").hashed();
    key(at, &format!("0/{}", refused.as_str()), parts);
    let companion = format!("0/{}{}", refused.as_str(), names::COMPANION);
    fs::write(at.join(&companion), "refused").expect("a file");
    let report = check(at);
    assert_eq!(report.count(Level::Problem), 1, "{}", report.text());
    fs::write(at.join("0/%!"), "").expect("a file");
    assert!(check(at).is_sound());
    key(at, "0/refused", parts);
    let report = check(at);
    assert_eq!(report.count(Level::Problem), 1, "{}", report.text());
    assert!(report.text().contains("the key is read from 0/refused"));

    fs::remove_dir_all(at.join("0").join(long.as_str())).expect("removed");
    let report = check(at);
    assert!(found(&report, Level::Hint).iter().any(|(kind, _)| *kind == Kind::Leftover));
}

#[test]
fn what_the_journal_will_mend_is_pending() {
    let root = root();
    let at = root.path();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(at).expect("a disk"));
    let settings = Settings { segment_bytes: 4096, ..Settings::default() };
    fs::create_dir(at.join("journal")).expect("a directory");
    let mut journal = recover(disk, settings, &mut |_| {}).expect("a journal").journal;
    let put = Op::Value(0, Key::from(&b"k"[..]), Key::from(&b"x"[..]));
    let mut group = Group::new();
    group.push(1, 0, &[put]);
    journal.append(&group).expect("appended");
    journal.sync().expect("synced");
    drop(journal);
    key(at, "0/k", &[("value", "")]);
    key(at, "0/other", &[("value", "")]);

    let report = check(at);
    assert_eq!(found(&report, Level::Pending), [(Kind::HalfKey, "0/k")], "{}", report.text());
    assert_eq!(found(&report, Level::Problem), [(Kind::HalfKey, "0/other")]);
    assert_eq!(report.journal.as_ref().map(|journal| journal.records), Some(1));
    assert!(report.text().contains("to replay at the next start"));
}

#[test]
fn a_damaged_journal_is_a_problem() {
    let root = root();
    fs::create_dir(root.path().join("journal")).expect("a directory");
    fs::write(root.path().join("journal/checkpoint"), "nonsense").expect("a file");
    fs::write(root.path().join("journal/segment.1"), [7; 4096]).expect("a file");
    let report = check(root.path());
    assert!(!report.is_sound());
    assert!(found(&report, Level::Problem).contains(&(Kind::Journal, "journal")));
}

#[test]
fn modes_and_leftovers_are_hints() {
    let root = root();
    let at = root.path();
    fs::set_permissions(at.join("0"), fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::set_permissions(at.join("0/msg"), fs::Permissions::from_mode(0o700)).expect("a mode");
    fs::set_permissions(at.join("0/msg/type"), fs::Permissions::from_mode(0o444)).expect("a mode");
    fs::set_permissions(at.join("0/msg/value"), fs::Permissions::from_mode(0o640)).expect("a mode");
    fs::create_dir_all(at.join(".dredis/tmp/5")).expect("a directory");
    fs::set_permissions(at.join(".dredis"), fs::Permissions::from_mode(0o700)).expect("a mode");
    let report = check(at);
    assert!(report.is_sound());
    let expect = [(Kind::Leftover, ".dredis/tmp"), (Kind::Mode, "0"), (Kind::Mode, "0/msg/value")];
    assert_eq!(found(&report, Level::Hint), expect);
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let root = root();
    let at = root.path();
    let lock = crate::disk::real::lock(at).expect("the lock");
    let refused = examine(at, &|_| {}).expect_err("a server runs");
    assert!(refused.starts_with("a server is using "), "{refused}");
    drop(lock);
    assert!(examine(at, &|_| {}).is_ok());
    let empty = tempfile::tempdir().expect("a directory");
    assert!(examine(empty.path(), &|_| {}).expect_err("empty").contains("holds no database"));
    assert!(examine(&empty.path().join("none"), &|_| {}).is_err());
    fs::write(at.join("incomplete"), "").expect("a file");
    assert!(found(&check(at), Level::Problem).contains(&(Kind::Incomplete, "incomplete")));
}
