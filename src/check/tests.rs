//! Checks of directories made by hand: what is found, at which level, and that nothing changes.

use super::repair::Repaired;
use super::{Finding, Kind, Level, Report, examine};
use crate::disk::Disk;
use crate::disk::real::RealDisk;
use crate::journal::{Group, Journal, Settings, recover};
use crate::layout::names;
use crate::layout::op::{Key, Op};
use std::collections::BTreeSet;
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
    pending_record(at);
    key(at, "0/k", &[("value", "")]);
    key(at, "0/other", &[("value", "")]);

    let report = check(at);
    assert_eq!(found(&report, Level::Pending), [(Kind::HalfKey, "0/k")], "{}", report.text());
    assert_eq!(found(&report, Level::Problem), [(Kind::HalfKey, "0/other")]);
    assert_eq!(report.journal.as_ref().map(|journal| journal.records), Some(1));
    assert!(report.text().contains("to replay at the next start"));
}

/// A journal with one record, which speaks of the key `k`.
fn pending_record(at: &Path) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(at).expect("a disk"));
    let settings = Settings { segment_bytes: 4096, ..Settings::default() };
    fs::create_dir(at.join("journal")).expect("a directory");
    let mut journal = recover(disk, settings, &mut |_| {}).expect("a journal").journal;
    let put = Op::Value(0, Key::from(&b"k"[..]), Key::from(&b"x"[..]));
    let mut group = Group::new();
    group.push(1, 0, &[put]);
    journal.append(&group).expect("appended");
    journal.sync().expect("synced");
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

/// A hash, a set and a sorted set, as a person makes them.
fn collections(root: &Path) {
    key(root, "0/h", &[("type", "hash"), ("expires", "99")]);
    key(root, "0/h/fields", &[("name", "ada"), ("%", "")]);
    key(root, "0/s", &[("type", "set\n")]);
    key(root, "0/s/values", &[("m", ""), ("n", "whatever")]);
    key(root, "0/z", &[("type", "zset")]);
    key(root, "0/z/values", &[("a", "1.50\n"), ("b", "1.5"), ("c", "-2")]);
    key(root, "0/z/scores", &[("1.5", "a\nb\n")]);
    key(root, "0/z/scores/-2", &[("c", "")]);
}

#[test]
fn collections_made_by_hand_are_sound() {
    let root = root();
    collections(root.path());
    let report = check(root.path());
    assert!(report.is_sound(), "{}", report.text());
    let counts = report.databases[0];
    assert_eq!((counts.keys, counts.deadlines, counts.elements), (4, 1, 7));
    assert_eq!(counts.bytes, 11 + 3 + 5 + 3 + 2);
    assert_eq!(report.json()["databases"]["0"]["elements"], 7);
    fs::remove_dir_all(root.path().join("0/z/scores")).expect("removed");
    let report = check(root.path());
    assert!(report.is_sound() && report.text().contains("missing: derived from values/"));
    assert!(found(&report, Level::Hint).contains(&(Kind::Index, "0/z/scores")));
}

#[test]
fn what_is_wrong_in_a_collection_is_told() {
    let root = root();
    let at = root.path();
    collections(at);
    let long = names::encode(&[b'l'; 999]);
    let refused = names::encode(b"refused").hashed();
    key(at, "0/h/fields", &[(".hidden", ""), ("%41", ""), (long.as_str(), "x")]);
    key(at, "0/h/fields", &[(refused.as_str(), "x")]);
    key(at, "0/h/fields", &[(&format!("{}%n", refused.as_str()), "refused")]);
    key(at, "0/h", &[("value", "x")]);
    key(at, "0/h/values", &[("m", "")]);
    fs::create_dir(at.join("0/s/values/dir")).expect("a directory");
    key(at, "0/z/values", &[("bad", "one")]);
    key(at, "0/z/scores", &[("1.50", "a\n")]);
    key(at, "0/z/scores/-2", &[(".hidden", "")]);
    key(at, "0/none", &[("type", "set")]);
    key(at, "0/file", &[("type", "hash"), ("fields", "x")]);
    let report = check(at);
    let long = format!("0/h/fields/{}", long.as_str());
    let refused = format!("0/h/fields/{}", refused.as_str());
    let expect = [
        (Kind::Damage, "0/file"),
        (Kind::Damage, "0/file/fields"),
        (Kind::Stranger, "0/h/fields/%41"),
        (Kind::Stranger, "0/h/fields/.hidden"),
        (Kind::LongName, &long),
        (Kind::LongName, &refused),
        (Kind::Stranger, "0/h/value"),
        (Kind::Stranger, "0/h/values"),
        (Kind::Damage, "0/none"),
        (Kind::Stranger, "0/s/values/dir"),
        (Kind::Stranger, "0/z/scores/-2/.hidden"),
        (Kind::Stranger, "0/z/scores/1.50"),
        (Kind::Damage, "0/z/values/bad"),
    ];
    assert_eq!(found(&report, Level::Problem), expect, "{}", report.text());
}

#[test]
fn an_index_that_says_something_else_is_a_problem_and_made_anew() {
    let wrong: [(&str, Option<&str>, &str); 8] = [
        ("1.5", Some("a\n"), "has 2 members, and values/ has 3"),
        ("1.5", None, "has 1 members, and values/ has 3"),
        ("1.5", Some("a\nb\nc\n"), "1.5 has c, and values/c says -2"),
        ("1.5", Some("a\nb\nd\n"), "1.5 has d, and values/d is missing"),
        ("1.5", Some("a\nb\na\n"), "1.5 has a twice"),
        ("1.5", Some("a\nb"), "1.5 has lines that are no names"),
        ("3", Some(""), "3 has no members"),
        ("3", Some("a\n"), "3 has a, and values/a says 1.5"),
    ];
    for (name, content, says) in wrong {
        let root = root();
        let at = root.path();
        collections(at);
        let path = at.join("0/z/scores").join(name);
        match content {
            Some(content) => fs::write(path, content).expect("a file"),
            None => fs::remove_file(path).expect("removed"),
        }
        let report = check(at);
        assert_eq!(found(&report, Level::Problem), [(Kind::Index, "0/z/scores")], "{says}");
        assert!(report.text().contains(says), "{says}: {}", report.text());

        let repaired = repair(at);
        assert_eq!(done(&repaired), ["0/z/scores"]);
        assert!(repaired.report.is_sound(), "{}", repaired.text());
        let mut lines = fs::read_to_string(at.join("0/z/scores/1.5")).expect("lines");
        lines = lines.lines().map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect();
        assert_eq!(lines, "ab");
        assert_eq!(fs::read_dir(at.join("0/z/scores")).expect("groups").count(), 2);
        assert!(done(&repair(at)).is_empty());
    }
    let root = root();
    let at = root.path();
    collections(at);
    fs::write(at.join("0/z/scores/3"), "").expect("a file");
    fs::write(at.join("0/z/scores/.notes"), "mine").expect("a file");
    assert_eq!(done(&repair(at)), ["0/z/scores"]);
    assert_eq!(fs::read(at.join("0/z/scores/.notes")).expect("there"), b"mine");
}

fn repair(root: &Path) -> Repaired {
    super::repair::repair(root, &|_| {}).expect("repaired")
}

fn done(repaired: &Repaired) -> Vec<&str> {
    let mut paths: Vec<&str> = repaired.done.iter().map(|(path, _)| &**path).collect();
    assert_eq!(paths.len() as u64, repaired.count);
    paths.sort();
    paths
}

#[test]
fn half_keys_of_one_type_only_get_their_type() {
    let root = root();
    let at = root.path();
    key(at, "0/string", &[("value", "x"), ("expires", "99999999999999")]);
    key(at, "0/torn", &[("value", "x"), ("type", "")]);
    key(at, "0/hash/fields", &[("f", "v")]);
    key(at, "0/set/values", &[("m", "")]);
    key(at, "0/zset/values", &[("m", "5")]);
    fs::create_dir(at.join("0/zset/scores")).expect("a directory");
    fs::create_dir(at.join("0/nothing")).expect("a directory");
    fs::create_dir_all(at.join("0/empty/fields")).expect("a directory");
    key(at, "0/late", &[("expires", "5")]);
    key(at, "0/no-elements", &[("type", "hash"), ("expires", "5")]);
    fs::create_dir(at.join("0/no-elements/fields")).expect("a directory");
    // These are left.
    key(at, "1/both", &[("value", "x")]);
    key(at, "1/both/fields", &[("f", "v")]);
    key(at, "1/scores-alone/values", &[("m", "5")]);
    key(at, "1/not-a-score/values", &[("m", "five")]);
    fs::create_dir(at.join("1/not-a-score/scores")).expect("a directory");
    key(at, "1/stranger", &[("value", "x"), ("notes.txt", "")]);
    key(at, "1/wrong-kind", &[("fields", "")]);
    key(at, "1/hidden", &[("type", "hash")]);
    key(at, "1/hidden/fields", &[(".hidden", "")]);
    key(at, "1/lost", &[("type", "zset")]);
    key(at, "1/lost/scores", &[("5", "m\n")]);
    key(at, "1/unknown", &[("type", "queue")]);
    key(at, "1/no-value", &[("type", "string")]);

    key(at, ".dredis/sizes", &[("0", "a record"), ("1", "a record")]);
    fs::create_dir(at.join(".dredis/expiry")).expect("a directory");
    fs::write(at.join(".dredis/expiry/complete"), "").expect("a file");
    let repaired = repair(at);
    // What is derived of the databases counts no more.
    assert!(!at.join(".dredis/sizes/0").exists() && at.join(".dredis/sizes/1").exists());
    assert!(!at.join(".dredis/expiry/complete").exists());
    let expect = [
        "0/empty",
        "0/hash/type",
        "0/late",
        "0/no-elements",
        "0/nothing",
        "0/set/type",
        "0/string/type",
        "0/torn/type",
        "0/zset/scores",
        "0/zset/type",
    ];
    assert_eq!(done(&repaired), expect, "{}", repaired.text());
    assert_eq!(repaired.report.databases[0].keys, 6);
    let type_of = |name: &str| fs::read_to_string(at.join("0").join(name).join("type"));
    for kind in ["string", "hash", "set", "zset"] {
        assert_eq!(type_of(kind).expect("a type"), kind);
    }
    assert_eq!(fs::read(at.join("0/zset/scores/5")).expect("a group"), b"m\n");
    assert!(!at.join("0/empty").exists() && !at.join("0/no-elements").exists());
    let left = found(&repaired.report, Level::Problem);
    assert!(left.iter().all(|(_, path)| path.starts_with("1/")), "{}", repaired.text());
    assert_eq!(repaired.report.databases[1].keys, 2, "{}", repaired.text());
    assert!(at.join("1/hidden/fields/.hidden").exists() && at.join("1/lost/scores/5").exists());
    let json = repaired.json();
    assert_eq!((&json["mended_count"], &json["sound"]), (&10.into(), &false.into()));
    assert!(repaired.text().contains("\n10 mended\n"));

    let again = repair(at);
    assert!(done(&again).is_empty(), "{}", again.text());
    assert_eq!(found(&again.report, Level::Problem), left);
}

#[test]
fn a_key_with_what_is_of_another_type_is_left() {
    let root = root();
    let at = root.path();
    key(at, "0/a", &[("type", "hash"), ("value", "x")]);
    key(at, "0/b", &[("type", "hash")]);
    key(at, "0/b/values", &[("m", "")]);
    key(at, "0/c", &[("type", "hash")]);
    symlink("elsewhere", at.join("0/c/fields")).expect("a link");
    key(at, "0/d", &[("value", "x")]);
    let repaired = repair(at);
    assert_eq!(done(&repaired), ["0/d/type"], "{}", repaired.text());
    assert!(at.join("0/a/value").exists() && at.join("0/b/values/m").exists());
    let says = "a hash without any element, beside what is none: 'dredis repair' leaves it";
    for path in ["0/a", "0/b"] {
        let of = |finding: &&Finding| finding.path == path && finding.kind == Kind::Damage;
        assert_eq!(repaired.report.findings.iter().find(of).expect("a finding").what, says);
    }
}

#[test]
fn only_the_directory_that_was_looked_at_is_removed() {
    let root = root();
    let at = root.path();
    fs::write(at.join("0/%!"), "").expect("a file");
    fs::create_dir(at.join("0/kk")).expect("a directory");
    let hashed = format!("0/{}", names::encode(b"kk").hashed().as_str());
    key(at, &hashed, &[("value", "x")]);
    fs::write(at.join(format!("{hashed}%n")), "kk").expect("a file");
    assert_eq!(done(&repair(at)), ["0/kk"]);
    assert_eq!(fs::read(at.join(hashed).join("value")).expect("there"), b"x");
}

#[test]
fn what_cannot_be_repaired_is_refused() {
    let root = root();
    let at = root.path();
    let refusal = || super::repair::repair(at, &|_| {}).map(|_| ()).expect_err("refused");
    let lock = crate::disk::real::lock(at).expect("the lock");
    assert!(refusal().starts_with("a server is using "));
    drop(lock);
    pending_record(at);
    let before = fs::read_dir(at.join("0")).expect("keys").count();
    assert!(refusal().contains("start and stop the server first"), "{}", refusal());
    assert_eq!(fs::read_dir(at.join("0")).expect("keys").count(), before);
    fs::remove_dir_all(at.join("journal")).expect("removed");
    assert!(done(&repair(at)).is_empty());
    fs::write(at.join("incomplete"), "").expect("a file");
    assert!(refusal().contains("interrupted"));
    let empty = tempfile::tempdir().expect("a directory");
    assert!(super::repair::repair(empty.path(), &|_| {}).is_err());
}
