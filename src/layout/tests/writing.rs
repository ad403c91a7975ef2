//! Writing: the tree that changes leave, on fresh, newer and half-made trees.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::support::*;
use crate::layout::op::Type;
use crate::layout::writer::Sweeper;

#[test]
fn the_tree_of_the_design() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"msg", string(b"Hello World"))]);
    let dump = tree.dump();
    let shown: Vec<(&str, &[u8])> = dump.iter().map(|(p, c)| (p.as_str(), &c[..])).collect();
    assert_eq!(
        shown,
        [("0/msg/", &b""[..]), ("0/msg/type", b"string"), ("0/msg/value", b"Hello World")]
    );
    let entries = |dir: &str| {
        let names = fs::read_dir(tree.path(dir)).expect("a directory");
        let mut names: Vec<_> =
            names.map(|e| e.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    };
    assert_eq!(
        entries(".dredis"),
        ["README", "counts", "expiry", "links", "sizes", "tmp", "trash"]
    );
    assert_eq!(entries("").len(), 17);
    let meta = |path: &str| fs::metadata(tree.path(path)).expect("there");
    assert_eq!(meta("0/msg/type").ino(), meta(".dredis/links/string.1").ino());
    assert_eq!(meta("0/msg/type").permissions().mode() & 0o777, 0o444);
    assert_eq!(meta("0/msg/value").permissions().mode() & 0o777, 0o600);
    assert_eq!(meta("0/msg").permissions().mode() & 0o777, 0o700);
    tree.assert_tidy();
}

#[test]
fn a_new_key_costs_three_calls_and_a_removal_three() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"first", string(b"makes the shared inode"))]);
    let calls = |tree: &Tree| tree.disk.calls.load(std::sync::atomic::Ordering::Relaxed);
    let before = calls(&tree);
    tree.apply(vec![(b"msg", string(b"one"))]);
    assert_eq!(calls(&tree) - before, 3);
    tree.apply(vec![(b"msg", change(vec![value(b"two")]))]);
    assert_eq!(calls(&tree) - before, 4);
    tree.apply(vec![(b"msg", removed())]);
    assert_eq!(calls(&tree) - before, 7);
    assert_eq!(tree.keys(), [b"first"]);
}

#[test]
fn overwrites_go_in_place_where_they_may() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"k", string(b"0123456789"))]);
    let inode = |tree: &Tree| fs::metadata(tree.path("0/k/value")).expect("there").ino();
    let first = inode(&tree);
    let mut overwrite = |bytes: &[u8]| {
        tree.apply(vec![(b"k", change(vec![value(bytes)]))]);
        assert_eq!(tree.value(b"k").as_deref(), Some(bytes));
        tree.assert_tidy();
        inode(&tree)
    };
    assert_eq!(overwrite(b"abcdefghij"), first);
    assert_eq!(overwrite(b"abcdefghijk"), first);
    let shorter = overwrite(b"short");
    assert_ne!(shorter, first);
    assert_ne!(overwrite(&[b'x'; 5000]), shorter);
}

#[test]
fn a_file_with_other_names_is_not_written_in_place() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"k", string(b"old"))]);
    fs::hard_link(tree.path("0/k/value"), tree.path("copy")).expect("linked");
    tree.apply(vec![(b"k", change(vec![value(b"new")]))]);
    assert_eq!(tree.value(b"k").as_deref(), Some(&b"new"[..]));
    fs::hard_link(tree.path("0/k/value"), tree.path("copy2")).expect("linked");
    tree.apply(vec![(b"k", change(vec![patch(1, b"XYZ")]))]);
    assert_eq!(tree.value(b"k").as_deref(), Some(&b"nXYZ"[..]));
    assert_eq!(fs::read(tree.path("copy")).expect("there"), b"old");
    assert_eq!(fs::read(tree.path("copy2")).expect("there"), b"new");
    tree.assert_tidy();
}

#[test]
fn patches_change_what_is_there_and_fill_gaps_with_zeros() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"k", string(b"Hello World"))]);
    tree.apply(vec![(b"k", change(vec![patch(6, b"Redis")]))]);
    tree.apply(vec![(b"k", change(vec![patch(13, b"!")]))]);
    assert_eq!(tree.value(b"k").as_deref(), Some(&b"Hello Redis\0\0!"[..]));
    tree.apply(vec![(b"k", made(Type::String, vec![patch(2, b"x")]))]);
    assert_eq!(tree.value(b"k").as_deref(), Some(&b"\0\0x"[..]));
    tree.apply(vec![(b"new", made(Type::String, vec![patch(1, b"x")]))]);
    assert_eq!(tree.value(b"new").as_deref(), Some(&b"\0x"[..]));
}

#[test]
fn deadlines_come_and_go() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"k", string(b"v"))]);
    tree.apply(vec![(b"k", change(vec![expires(Some(1_763_720_000_000))]))]);
    assert_eq!(tree.load(b"k").expect("there").expires, Some(1_763_720_000_000));
    tree.apply(vec![(b"k", change(vec![value(b"w"), expires(None)]))]);
    assert_eq!(tree.load(b"k").expect("there").expires, None);
    tree.apply(vec![(b"k", change(vec![expires(Some(5))]))]);
    tree.apply(vec![(b"k", removed())]);
    assert!(tree.dump().is_empty());
    tree.apply(vec![(b"k", string(b"v"))]);
    tree.apply(vec![(b"k", removed())]);
    assert!(tree.dump().is_empty());
}

#[test]
fn replacing_a_key_keeps_its_directory_and_removes_the_rest() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"k", string(b"v"))]);
    tree.apply(vec![(b"k", change(vec![expires(Some(5))]))]);
    fs::create_dir_all(tree.path("0/k/values/x")).expect("made");
    fs::create_dir_all(tree.path("0/k/fields")).expect("made");
    (0..200).for_each(|n| fs::write(tree.path(&format!("0/k/fields/{n}")), b"").expect("made"));
    let inode = |tree: &Tree| fs::metadata(tree.path("0/k")).expect("there").ino();
    let before = inode(&tree);
    tree.apply(vec![(b"k", string(b"w"))]);
    assert_eq!(inode(&tree), before);
    assert_eq!(tree.dump().keys().collect::<Vec<_>>(), ["0/k/", "0/k/type", "0/k/value"]);
    assert_eq!(tree.value(b"k").as_deref(), Some(&b"w"[..]));
    tree.assert_tidy();
    let sweeper = Sweeper::new(tree.disk.clone());
    assert_eq!(sweeper.sweep(1).expect("swept"), 1);
    assert_eq!(sweeper.sweep(1000).expect("swept"), 0);
    assert_eq!(fs::read_dir(tree.path(".dredis/trash")).expect("there").count(), 0);
}

#[test]
fn a_key_with_many_files_goes_by_a_rename_and_strangers_stay() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"k", string(b"v")), (b"s", string(b"v"))]);
    for index in 0..1500 {
        fs::write(tree.path(&format!("0/k/{index}")), b"").expect("made");
    }
    fs::write(tree.path("0/s/.DS_Store"), b"").expect("made");
    tree.apply(vec![(b"k", removed()), (b"s", removed())]);
    assert_eq!(tree.dump().keys().collect::<Vec<_>>(), ["0/s/", "0/s/.DS_Store"]);
    assert_eq!(tree.load(b"s"), None);
    let sweeper = Sweeper::new(tree.disk.clone());
    assert_eq!(sweeper.sweep(700).expect("swept"), 1);
    while sweeper.sweep(700).expect("swept") > 0 {}
    assert_eq!(fs::read_dir(tree.path(".dredis/trash")).expect("there").count(), 0);
}

#[test]
fn what_was_there_goes_from_among_many_strangers() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"k", made(Type::Hash, vec![field(b"old", b"1")]))]);
    for index in 0..250 {
        fs::write(tree.path(&format!("0/k/.{index}")), b"").expect("made");
    }
    tree.apply(vec![(b"k", made(Type::Hash, vec![field(b"new", b"2")]))]);
    let fields = fs::read_dir(tree.path("0/k/fields")).expect("fields");
    let fields: Vec<_> = fields.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(fields, ["new"]);
    assert_eq!(fs::read_dir(tree.path("0/k")).expect("there").count(), 252);
}

#[test]
fn a_cleared_database_is_empty_before_newer_keys_come() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"old", string(b"v"))]);
    let (_, changes) = batch(vec![(b"new", string(b"w"))]);
    apply(&mut tree.writer, &(vec![0, 5], changes)).expect("applied");
    assert_eq!(tree.keys(), [b"new"]);
    tree.disk.full.store(true, std::sync::atomic::Ordering::Relaxed);
    apply(&mut tree.writer, &(vec![0], Vec::new())).expect("applied on a full disk");
    assert!(tree.dump().is_empty());
    tree.assert_tidy();
}

#[test]
fn hostile_and_long_names_lie_in_their_database() {
    let mut tree = Tree::new();
    let long = vec![b'x'; 10_240];
    let all: [&[u8]; 8] = [b"../x", b"a/b", b"\0", b"", b"%", b".", b"/etc/passwd", &long];
    for name in all {
        tree.apply(vec![(name, string(name))]);
    }
    for name in all {
        assert_eq!(tree.value(name).as_deref(), Some(name));
    }
    let mut sorted: Vec<Vec<u8>> = all.iter().map(|name| name.to_vec()).collect();
    sorted.sort();
    assert_eq!(tree.keys(), sorted);
    assert_eq!(tree.reader.count(0).expect("counted"), 8);
    assert_eq!(fs::read_dir(tree.path("")).expect("there").count(), 17);
    for name in all {
        tree.apply(vec![(name, removed())]);
    }
    assert!(tree.dump().is_empty());
}

#[test]
fn shared_inodes_have_a_thousand_names() {
    let mut tree = Tree::new();
    let names: Vec<String> = (0..1005).map(|index| format!("k{index}")).collect();
    tree.apply(names.iter().map(|name| (name.as_bytes(), string(b"v"))).collect());
    let links =
        |name: &str| fs::metadata(tree.path(&format!("0/{name}/type"))).expect("there").nlink();
    assert_eq!(links("k0"), 1000);
    assert_eq!(links("k1004"), 6);
    let mut tree = tree.reopen();
    // Only those for the keys to come: one a type, and one for members.
    assert_eq!(fs::read_dir(tree.path(".dredis/links")).expect("there").count(), 5);
    // Its type has the shared mode and may have one name: it is replaced, not written to.
    tree.apply(vec![(b"k1004", string(b"w"))]);
    assert_eq!(tree.value(b"k1004").as_deref(), Some(&b"w"[..]));
    tree.assert_tidy();
}

#[test]
fn applying_again_changes_nothing() {
    let mut tree = Tree::new();
    let changes =
        || vec![(&b"a"[..], string(b"1")), (b"b", removed()), (b"c", change(vec![patch(3, b"x")]))];
    tree.apply(changes());
    let dump = tree.dump();
    tree.apply(changes());
    assert_eq!(tree.dump(), dump);
    let mut tree = tree.reopen();
    tree.apply(changes());
    assert_eq!(tree.dump(), dump);
    tree.assert_tidy();
}

#[test]
fn a_torn_tree_is_written_anew() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"k", string(b"value"))]);
    let dump = tree.dump();
    for part in ["type", "value"] {
        let path = tree.path(&format!("0/k/{part}"));
        fs::remove_file(&path).expect("removed");
        fs::write(&path, b"").expect("written");
        tree.apply(vec![(b"k", string(b"value"))]);
        assert_eq!(tree.dump(), dump);
    }
    fs::remove_file(tree.path("0/k/value")).expect("removed");
    fs::create_dir_all(tree.path("0/k/value/x")).expect("made");
    tree.apply(vec![(b"k", string(b"value"))]);
    assert_eq!(tree.dump(), dump);
    tree.assert_tidy();
}
