//! What is derived: expiry hints and sizes.

use std::fs;
use std::io::Write;
use std::time::Duration;

use super::support::*;
use crate::layout::op::Type;
use crate::layout::{hints, sizes};

#[test]
fn hints_are_read_back_in_parts() {
    let tree = Tree::new();
    let disk = &*tree.disk;
    let long = [b'l'; 70_000];
    hints::append(disk, &[(7, 0, b"a"), (7, 3, b"two\nlines"), (9, 0, b"")]).expect("appended");
    hints::append(disk, &[(7, 15, &long), (7, 0, b"a b")]).expect("appended");
    assert_eq!(hints::minutes(disk).expect("listed"), [7, 9]);
    let all = hints::read(disk, 7, 0, 100).expect("read");
    let expected =
        vec![(0, key(b"a")), (3, key(b"two\nlines")), (15, key(&long)), (0, key(b"a b"))];
    assert_eq!((&all.keys, all.next), (&expected, None));
    for limit in 1..4 {
        let (mut keys, mut next) = (Vec::new(), Some(0));
        while let Some(offset) = next {
            let part = hints::read(disk, 7, offset, limit).expect("read");
            assert!(part.keys.len() <= limit);
            keys.extend(part.keys);
            next = part.next;
        }
        assert_eq!(keys, expected);
    }
    hints::remove(disk, 7).expect("removed");
    hints::remove(disk, 7).expect("removed twice");
    assert_eq!(hints::read(disk, 7, 0, 9).expect("read"), hints::Hints::default());
    assert_eq!(hints::read(disk, 9, 0, 9).expect("read").keys, [(0, key(b""))]);
}

#[test]
fn a_hint_looks_as_the_layout_page_shows_it() {
    let tree = Tree::new();
    hints::append(&*tree.disk, &[(1, 0, b"session:42")]).expect("appended");
    let file = fs::read(tree.path(".dredis/expiry/1")).expect("there");
    assert_eq!(file, b"\nd4c99120 0 session:42\n");
}

#[test]
fn a_hint_torn_anywhere_spoils_no_other() {
    let tree = Tree::new();
    let disk = &*tree.disk;
    hints::append(disk, &[(1, 0, b"first")]).expect("appended");
    hints::append(disk, &[(1, 0, b"torn")]).expect("appended");
    let path = tree.path(".dredis/expiry/1");
    let whole = fs::read(&path).expect("there");
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).expect("written");
        hints::append(disk, &[(1, 2, b"last")]).expect("appended");
        let keys = hints::read(disk, 1, 0, 9).expect("read").keys;
        assert_eq!(keys.last(), Some(&(2, key(b"last"))), "torn at {end}");
        assert!(keys.iter().all(|(_, key)| [&b"first"[..], b"torn", b"last"].contains(&&key[..])));
    }
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("opened");
    file.write_all(b"\n00000000 0 wrong\n\0\0\0\0\nzz\n").expect("written");
    hints::append(disk, &[(1, 2, b"behind")]).expect("appended");
    assert_eq!(hints::read(disk, 1, 0, 9).expect("read").keys.last(), Some(&(2, key(b"behind"))));
}

#[test]
fn hints_are_incomplete_until_somebody_walked() {
    let tree = Tree::new();
    let disk = &*tree.disk;
    assert!(!hints::is_complete(disk).expect("asked"));
    for complete in [true, true, false, false] {
        hints::set_complete(disk, complete).expect("set");
        assert_eq!(hints::is_complete(disk).expect("asked"), complete);
    }
    assert!(hints::minutes(disk).expect("listed").is_empty());
}

#[test]
fn a_size_is_trusted_only_of_an_unchanged_directory() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"k", string(b"v"))]);
    assert!(!sizes::record(&*tree.disk, 0, 1).expect("recorded"), "changed just now");
    assert_eq!(sizes::trusted(&*tree.disk, 0).expect("asked"), None);
    std::thread::sleep(Duration::from_millis(1100));
    assert!(sizes::record(&*tree.disk, 0, 1).expect("recorded"));
    let tree = tree.reopen();
    assert_eq!(sizes::trusted(&*tree.disk, 0).expect("asked"), Some(1));
    assert_eq!(sizes::trusted(&*tree.disk, 1).expect("asked"), None);
    let path = tree.path(".dredis/sizes/0");
    let record = fs::read(&path).expect("there");
    for end in 0..record.len() {
        fs::write(&path, &record[..end]).expect("written");
        assert_eq!(sizes::trusted(&*tree.disk, 0).expect("asked"), None);
    }
    fs::write(&path, &record).expect("written");
    fs::create_dir(tree.path("0/other")).expect("made");
    assert_eq!(sizes::trusted(&*tree.disk, 0).expect("asked"), None);
}

#[test]
fn the_size_of_a_collection_is_trusted_while_its_directory_is_unchanged() {
    let mut tree = Tree::new();
    let members = |tree: &Tree| tree.reader.trusted_elements(0, b"s", Type::Set).expect("asked");
    let record = |tree: &Tree, count| {
        tree.reader.record_elements(0, b"s", Type::Set, count).expect("recorded")
    };
    assert!(!record(&tree, 0), "there is no such key");
    assert_eq!(members(&tree), None);
    let names: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let all = || names.iter().map(|name| member(name.as_bytes())).collect();
    tree.apply(vec![(b"s", made(Type::Set, all())), (b"t", made(Type::Set, all()))]);
    assert!(!record(&tree, 300), "changed just now");
    std::thread::sleep(Duration::from_millis(1100));
    assert!(record(&tree, 300));
    assert!(tree.reader.record_elements(0, b"t", Type::Set, 300).expect("recorded"));
    let mut tree = tree.reopen();
    assert_eq!(members(&tree), Some(300));
    assert_eq!(tree.reader.trusted_elements(0, b"s", Type::Hash).expect("asked"), None);
    tree.apply(vec![(b"s", change(vec![member(b"new")]))]);
    assert_eq!(members(&tree), None);
    let records = |tree: &Tree| fs::read_dir(tree.path(".dredis/counts")).expect("there").count();
    assert_eq!(records(&tree), 2);
    tree.apply(vec![(b"s", removed())]);
    assert_eq!((records(&tree), members(&tree)), (1, None));
    apply(&mut tree.writer, &(vec![0], Vec::new())).expect("cleared");
    assert_eq!(records(&tree), 0);
}
