//! Collections: what is written of sets, hashes and sorted sets, and what is read of them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use super::support::*;
use crate::base::bytes::Bytes;
use crate::disk::Wait;
use crate::layout::collections::Whole;
use crate::layout::cursor;
use crate::layout::op::{Content, Type};
use crate::layout::writer::Sweeper;

fn shown(dump: &Dump) -> Vec<(&str, &str)> {
    let text = |content| std::str::from_utf8(content).expect("text");
    dump.iter().map(|(path, content)| (path.as_str(), text(content))).collect()
}

fn elements(tree: &Tree, name: &[u8], kind: Type, of: &[&[u8]]) -> Vec<Option<Content>> {
    let of: Vec<Bytes> = of.iter().map(|name| key(name)).collect();
    let waiting = tree.reader.elements(0, name, kind, &of, Wait::Yes).expect("read");
    match tree.reader.elements(0, name, kind, &of, Wait::No) {
        Ok(at_once) => assert_eq!(at_once, waiting),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
    }
    waiting
}

fn names(tree: &Tree, name: &[u8], kind: Type) -> Vec<Bytes> {
    let mut found = Vec::new();
    let end = tree.reader.list_elements(0, name, kind, 0, None, false, &mut |name, content| {
        assert_eq!(content, None);
        found.push(name);
        true
    });
    assert_eq!(end.expect("listed"), None);
    found.sort();
    found
}

#[test]
fn the_trees_of_the_design() {
    let mut tree = Tree::new();
    tree.apply(vec![
        (b"h", made(Type::Hash, vec![field(b"name", b"ada"), field(b"a/b", b"")])),
        (b"s", made(Type::Set, vec![member(b"one"), member(b"two")])),
        (b"z", zset(&[(b"ann", 1.5), (b"bob", 1.5), (b"eve", -1e21)])),
    ]);
    let expect = [
        ("0/h/", ""),
        ("0/h/fields/", ""),
        ("0/h/fields/a%2Fb", ""),
        ("0/h/fields/name", "ada"),
        ("0/h/type", "hash"),
        ("0/s/", ""),
        ("0/s/type", "set"),
        ("0/s/values/", ""),
        ("0/s/values/one", ""),
        ("0/s/values/two", ""),
        ("0/z/", ""),
        ("0/z/scores/", ""),
        ("0/z/scores/-1e+21", "eve\n"),
        ("0/z/scores/1.5", "ann\nbob\n"),
        ("0/z/type", "zset"),
        ("0/z/values/", ""),
        ("0/z/values/ann", "1.5"),
        ("0/z/values/bob", "1.5"),
        ("0/z/values/eve", "-1e+21"),
    ];
    assert_eq!(shown(&tree.dump()), expect);
    let inode = |path: &str| fs::metadata(tree.path(path)).expect("there").ino();
    assert_eq!(inode("0/s/values/one"), inode("0/s/values/two"));
    assert_ne!(inode("0/h/fields/a%2Fb"), inode("0/s/values/two"));
    for (name, kind) in [(b"h", Type::Hash), (b"s", Type::Set), (b"z", Type::Zset)] {
        let loaded = tree.load(name).expect("there");
        assert_eq!((loaded.kind, loaded.expires, loaded.value, loaded.len), (kind, None, None, 0));
    }
    tree.apply(vec![(b"h", removed()), (b"s", removed()), (b"z", removed())]);
    assert!(tree.dump().is_empty());
    tree.assert_tidy();
}

#[test]
fn elements_come_and_go() {
    let mut tree = Tree::new();
    tree.apply(vec![
        (b"h", made(Type::Hash, vec![field(b"a", b"1"), field(b"b", b"2")])),
        (b"s", made(Type::Set, vec![member(b"a"), member(b"b")])),
        (b"z", zset(&[(b"a", 1.0), (b"b", 1.0), (b"c", 2.0)])),
    ]);
    let mut moved = scored(b"a", 3.0, Some(1.0));
    moved.extend(unscored(b"c", 2.0));
    tree.apply(vec![
        (
            b"h",
            change(vec![field(b"a", b"longer"), no_field(b"b"), no_field(b"x"), field(b"c", b"3")]),
        ),
        (b"s", change(vec![no_member(b"a"), member(b"c"), member(b"b"), no_member(b"x")])),
        (b"z", change(moved)),
    ]);
    let expect = [
        ("0/h/", ""),
        ("0/h/fields/", ""),
        ("0/h/fields/a", "longer"),
        ("0/h/fields/c", "3"),
        ("0/h/type", "hash"),
        ("0/s/", ""),
        ("0/s/type", "set"),
        ("0/s/values/", ""),
        ("0/s/values/b", ""),
        ("0/s/values/c", ""),
        ("0/z/", ""),
        ("0/z/scores/", ""),
        ("0/z/scores/1", "b\n"),
        ("0/z/scores/3", "a\n"),
        ("0/z/type", "zset"),
        ("0/z/values/", ""),
        ("0/z/values/a", "3"),
        ("0/z/values/b", "1"),
    ];
    assert_eq!(shown(&tree.dump()), expect);
    let content = |bytes: &[u8]| Some(Content::from(bytes));
    let found = elements(&tree, b"h", Type::Hash, &[b"a", b"b", b"c", b"../x"]);
    assert_eq!(found, [content(b"longer"), None, content(b"3"), None]);
    let found = elements(&tree, b"s", Type::Set, &[b"a", b"b", &[b'l'; 300]]);
    assert_eq!(found, [None, content(b""), None]);
    assert_eq!(elements(&tree, b"z", Type::Zset, &[b"a", b"c"]), [content(b"3"), None]);
    assert_eq!(elements(&tree, b"none", Type::Zset, &[b"a"]), [None]);
    assert_eq!(names(&tree, b"z", Type::Zset), [key(b"a"), key(b"b")]);
    assert!(names(&tree, b"none", Type::Hash).is_empty());
    tree.assert_tidy();
}

#[test]
fn a_set_of_one_costs_four_calls_and_a_member_more_costs_one() {
    let mut tree = Tree::new();
    let calls = |tree: &Tree| tree.disk.calls.load(Ordering::Relaxed);
    let before = calls(&tree);
    tree.apply(vec![(b"s", made(Type::Set, vec![member(b"a")]))]);
    assert_eq!(calls(&tree) - before, 4);
    tree.apply(vec![(b"s", change(vec![member(b"b")]))]);
    assert_eq!(calls(&tree) - before, 5);
    tree.apply(vec![(b"h", made(Type::Hash, vec![field(b"a", b"1")]))]);
    assert_eq!(calls(&tree) - before, 9);
    tree.apply(vec![(b"z", zset(&[(b"a", 1.0)]))]);
    assert_eq!(calls(&tree) - before, 15);
    // The member, a line more, and a group more: no sync.
    tree.apply(vec![(b"z", change(scored(b"b", 1.0, None)))]);
    tree.apply(vec![(b"z", change(scored(b"c", 2.0, None)))]);
    assert_eq!(calls(&tree) - before, 19);
    // The member and a group less; a group more.
    tree.apply(vec![(b"z", change(scored(b"c", 3.0, Some(2.0))))]);
    assert_eq!(calls(&tree) - before, 22);
    // A line less: a new file, synced and renamed.
    tree.apply(vec![(b"z", change(unscored(b"b", 1.0)))]);
    assert_eq!(calls(&tree) - before, 26);
}

#[test]
fn one_sync_serves_all_lines_that_go_at_once() {
    let mut tree = Tree::new();
    let all: Vec<String> = (0..100).map(|n| format!("m{n}")).collect();
    let members: Vec<(&[u8], f64)> =
        all.iter().enumerate().map(|(n, name)| (name.as_bytes(), (n / 10) as f64)).collect();
    tree.apply(vec![(b"z", zset(&members)), (b"y", zset(&members))]);
    let before = tree.disk.syncs.load(Ordering::Relaxed);
    let gone = || change(members.iter().step_by(3).flat_map(|(m, s)| unscored(m, *s)).collect());
    tree.apply(vec![(b"z", gone()), (b"y", gone())]);
    assert_eq!(tree.disk.syncs.load(Ordering::Relaxed) - before, 1);
    assert_eq!(tree.reader.group(0, b"y", score(9.0)).expect("read").len(), 6);
    tree.assert_tidy();
}

#[test]
fn applying_again_changes_nothing() {
    let mut tree = Tree::new();
    let mut moved = scored(b"a", 3.0, Some(1.0));
    moved.extend(unscored(b"c", 2.0));
    let all = [
        batch(vec![
            (b"h", made(Type::Hash, vec![field(b"a", b"1"), field(b"b", b"2")])),
            (b"s", made(Type::Set, vec![member(b"a"), member(&[b'l'; 400])])),
            (b"z", zset(&[(b"a", 1.0), (b"b", 1.0), (b"c", 2.0), (&[b'l'; 400], 1.0)])),
            (b"again", string(b"it was a string")),
        ]),
        batch(vec![
            (b"h", change(vec![field(b"a", b"longer"), no_field(b"b")])),
            (b"s", change(vec![no_member(&[b'l'; 400]), member(b"c")])),
            (b"z", change(moved)),
            (b"again", made(Type::Hash, vec![field(b"f", b"v")])),
        ]),
        batch(vec![(b"again", made(Type::Set, vec![member(b"m")])), (b"s", removed())]),
    ];
    let mut expect = None;
    for _ in 0..3 {
        for batch in &all {
            apply(&mut tree.writer, batch).expect("applied");
        }
        let dump = tree.dump();
        assert_eq!(expect.get_or_insert(dump.clone()), &dump);
        tree.assert_tidy();
        tree = tree.reopen();
    }
    let dump = expect.expect("a dump");
    assert_eq!(dump.keys().filter(|path| path.starts_with("0/again/")).count(), 4);
    assert!(!dump.keys().any(|path| path.starts_with("0/s/")));
    // Of the key alone, on a tree that has nothing of it.
    let mut tree = Tree::new();
    tree.apply(vec![(b"h", change(vec![field(b"a", b"1"), no_field(b"x")]))]);
    tree.apply(vec![(b"s", change(vec![no_member(b"x")])), (b"z", change(unscored(b"a", 1.0)))]);
    assert_eq!(tree.dump().keys().collect::<Vec<_>>(), ["0/h/", "0/h/fields/", "0/h/fields/a"]);
    assert_eq!(tree.load(b"h"), None);
}

#[test]
fn a_tree_made_by_hand_is_read() {
    let tree = Tree::new();
    for (path, content) in [
        ("h/type", "hash\n"),
        ("h/fields/f", "v\n"),
        ("h/fields/.hidden", ""),
        ("s/type", "set\n"),
        ("s/values/m", "whatever"),
        ("s/values/%41", ""),
        ("z/type", "zset"),
        ("z/values/m", "1.50\n"),
        ("z/expires", "99\n"),
    ] {
        let path = tree.path(&format!("0/{path}"));
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, content).expect("written");
    }
    fs::create_dir(tree.path("0/s/values/dir")).expect("made");
    let content = |bytes: &[u8]| Some(Content::from(bytes));
    assert_eq!(elements(&tree, b"h", Type::Hash, &[b"f"]), [content(b"v\n")]);
    assert_eq!(elements(&tree, b"s", Type::Set, &[b"m", b"A"]), [content(b""), None]);
    assert_eq!(elements(&tree, b"z", Type::Zset, &[b"m"]), [content(b"1.50\n")]);
    assert_eq!(names(&tree, b"h", Type::Hash), [key(b"f")]);
    assert_eq!(names(&tree, b"s", Type::Set), [key(b"m")]);
    assert_eq!(tree.load(b"z").expect("there").expires, Some(99));
    assert_eq!(tree.reader.scores(0, b"z").expect("read"), None);
    assert_eq!(tree.reader.scores(0, b"none").expect("read"), None);
    let wrong = tree.reader.elements(0, b"s", Type::Set, &[key(b"dir")], Wait::Yes);
    assert!(wrong.expect_err("a directory").to_string().starts_with("0/s/values/dir: expected"));
    assert!(tree.reader.elements(0, b"z", Type::Hash, &[key(b"m")], Wait::Yes).is_ok());
}

/// A part of an index would be believed to be all of it.
#[test]
fn a_missing_index_stays_missing() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"z", zset(&[(b"a", 1.0), (b"b", 2.0)]))]);
    fs::remove_dir_all(tree.path("0/z/scores")).expect("removed");
    tree.apply(vec![(b"z", change(scored(b"c", 3.0, None)))]);
    tree.apply(vec![(b"z", change(scored(b"a", 4.0, Some(1.0))))]);
    assert_eq!(tree.reader.scores(0, b"z").expect("read"), None);
    assert_eq!(names(&tree, b"z", Type::Zset), [key(b"a"), key(b"b"), key(b"c")]);
    fs::write(tree.path("0/z/scores"), b"in the way").expect("written");
    tree.apply(vec![(b"z", change(scored(b"c", 4.0, Some(3.0))))]);
    assert_eq!(tree.reader.scores(0, b"z").expect("read"), None);
    tree.apply(vec![(b"z", zset(&[(b"a", 1.0)]))]);
    assert_eq!(tree.reader.scores(0, b"z").expect("read").map(|groups| groups.len()), Some(1));
}

#[test]
fn what_is_in_the_way_of_elements_goes() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"h", made(Type::Hash, vec![field(b"f", b"v")]))]);
    fs::remove_dir_all(tree.path("0/h/fields")).expect("removed");
    fs::write(tree.path("0/h/fields"), b"a file").expect("written");
    assert_eq!(elements(&tree, b"h", Type::Hash, &[b"f"]), [None]);
    tree.apply(vec![(b"h", change(vec![no_field(b"f")]))]);
    tree.apply(vec![(b"h", change(vec![field(b"f", b"w")]))]);
    assert_eq!(elements(&tree, b"h", Type::Hash, &[b"f"]), [Some(Content::from(&b"w"[..]))]);
    fs::create_dir_all(tree.path("0/h/fields/g/x")).expect("made");
    tree.apply(vec![(b"h", change(vec![field(b"g", b"v")]))]);
    tree.apply(vec![(b"s", made(Type::Set, vec![member(b"m")]))]);
    fs::create_dir(tree.path("0/s/values/n")).expect("made");
    tree.apply(vec![(b"s", change(vec![member(b"n")]))]);
    assert_eq!(names(&tree, b"h", Type::Hash), [key(b"f"), key(b"g")]);
    assert_eq!(names(&tree, b"s", Type::Set), [key(b"m"), key(b"n")]);
    tree.assert_tidy();
}

#[test]
fn long_and_refused_names_of_elements_are_hashed() {
    let mut tree = Tree::new();
    let long = vec![b'x'; 10_240];
    let all: [&[u8]; 7] = [b"../x", b"\0", b"", b"%", b"plain", b"!refused", &long];
    let sorted: Vec<Bytes> = {
        let set: BTreeSet<Bytes> = all.iter().map(|name| key(name)).collect();
        set.into_iter().collect()
    };
    for (name, kind) in [(&b"h"[..], Type::Hash), (b"s", Type::Set), (b"z", Type::Zset)] {
        let put = |name: &[u8]| match kind {
            Type::Hash => vec![field(name, b"v")],
            Type::Set => vec![member(name)],
            _ => scored(name, 0.0, None),
        };
        tree.apply(vec![(name, made(kind, put(b"plain")))]);
        tree.apply(vec![(name, change(all.iter().flat_map(|name| put(name)).collect()))]);
        let first = tree.dump();
        tree.apply(vec![(name, change(all.iter().flat_map(|name| put(name)).collect()))]);
        assert_eq!(tree.dump(), first);
        assert!(elements(&tree, name, kind, &all).iter().all(Option::is_some));
        assert_eq!(names(&tree, name, kind), sorted);
        assert_eq!(tree.reader.count_elements(0, name, kind).expect("counted"), 7);
        assert_eq!(tree.reader.sample_elements(0, name, kind, 5, 64).expect("sampled").len(), 7);
        let whole = tree.reader.whole(0, name, kind, 100).expect("read");
        assert!(whole.complete && whole.elements.len() == 7);
        let gone = |name: &[u8]| match kind {
            Type::Hash => vec![no_field(name)],
            Type::Set => vec![no_member(name)],
            _ => unscored(name, 0.0),
        };
        if kind == Type::Zset {
            let mut members = tree.reader.group(0, name, score(0.0)).expect("read");
            members.sort();
            assert_eq!(members, sorted);
        }
        tree.apply(vec![(name, change(all.iter().flat_map(|name| gone(name)).collect()))]);
        assert!(names(&tree, name, kind).is_empty());
        let left: Vec<String> = tree.dump().into_keys().filter(|path| path.contains('%')).collect();
        assert_eq!(left.len(), 1, "only the marker: {left:?}");
        tree.apply(vec![(name, removed())]);
        assert!(tree.dump().is_empty());
    }
    tree.assert_tidy();
}

#[test]
fn walks_meet_every_element_once() {
    let mut tree = Tree::new();
    let all: Vec<String> = (0..700).map(|index| format!("field:{index}")).collect();
    let fields = all.iter().map(|name| field(name.as_bytes(), name.as_bytes()));
    tree.apply(vec![(b"h", made(Type::Hash, fields.collect()))]);
    for limit in [1, 10, 700, 5000] {
        let (mut seen, mut position) = (BTreeSet::new(), 0);
        loop {
            let next = tree.reader.list_elements(
                0,
                b"h",
                Type::Hash,
                position,
                Some(limit),
                true,
                &mut |name, content| {
                    assert_eq!(content.as_ref(), Some(&name));
                    assert!(seen.insert(name));
                    true
                },
            );
            let Some(next) = next.expect("listed") else { break };
            position = cursor::position_from_cursor(cursor::cursor_from_position(next));
        }
        assert_eq!(seen.len(), 700, "limit {limit}");
    }
    let reader = &tree.reader;
    for (limit, expect) in [(0, (0, false)), (699, (699, false)), (700, (700, true))] {
        assert_eq!(reader.count_upto(0, b"h", Type::Hash, limit).expect("counted"), expect);
        let Whole { elements, complete } =
            reader.whole(0, b"h", Type::Hash, limit as usize).expect("read");
        assert_eq!((elements.len() as u64, complete), expect);
    }
    assert_eq!(reader.count_upto(0, b"none", Type::Set, 5).expect("counted"), (0, true));
    assert!(reader.whole(0, b"none", Type::Set, 5).expect("read").complete);
    let mut seen = BTreeSet::new();
    for seed in 1..200u64 {
        let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let names = reader.sample_elements(0, b"h", Type::Hash, seed, 64).expect("sampled");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 64);
        seen.extend(names.into_iter().take(1));
    }
    assert!(seen.len() > 100, "{} first picks of 200", seen.len());
    assert!(reader.sample_elements(0, b"none", Type::Hash, 1, 64).expect("sampled").is_empty());
}

#[test]
fn large_collections_go_by_a_rename_and_strangers_in_small_ones_stay() {
    let mut tree = Tree::new();
    let many: Vec<String> = (0..500).map(|index| index.to_string()).collect();
    let members = || many.iter().map(|name| member(name.as_bytes())).collect();
    tree.apply(vec![
        (b"large", made(Type::Set, members())),
        (b"again", made(Type::Set, members())),
        (b"small", made(Type::Set, vec![member(b"m")])),
    ]);
    fs::write(tree.path("0/small/values/.DS_Store"), b"").expect("written");
    let before = tree.disk.calls.load(Ordering::Relaxed);
    tree.apply(vec![
        (b"large", removed()),
        (b"again", made(Type::Hash, vec![field(b"f", b"v")])),
        (b"small", removed()),
    ]);
    assert!(tree.disk.calls.load(Ordering::Relaxed) - before < 40);
    let expect = [
        "0/again/",
        "0/again/fields/",
        "0/again/fields/f",
        "0/again/type",
        "0/small/",
        "0/small/values/",
        "0/small/values/.DS_Store",
    ];
    assert_eq!(tree.dump().keys().collect::<Vec<_>>(), expect);
    let sweeper = Sweeper::new(tree.disk.clone());
    while sweeper.sweep(100).expect("swept") > 0 {}
    assert_eq!(fs::read_dir(tree.path(".dredis/trash")).expect("there").count(), 0);
    tree.apply(vec![(b"small", made(Type::Set, vec![member(b"n")]))]);
    assert_eq!(names(&tree, b"small", Type::Set), [key(b"n")]);
}

#[test]
fn a_full_disk_takes_removals_and_nothing_else() {
    let mut tree = Tree::new();
    tree.apply(vec![
        (b"h", made(Type::Hash, vec![field(b"f", b"long"), field(b"g", b"v")])),
        (b"z", zset(&[(b"a", 1.0), (b"b", 2.0)])),
    ]);
    let before = tree.dump();
    tree.disk.full.store(true, Ordering::Relaxed);
    let changes = batch(vec![
        (b"new", made(Type::Set, vec![member(b"m")])),
        (b"h", change(vec![field(b"new", b"v")])),
    ]);
    let applied = apply(&mut tree.writer, &changes).expect("applied");
    assert_eq!((applied.failed.len(), applied.keys), (2, 0));
    assert_eq!(tree.dump(), before);
    tree.apply(vec![(b"h", change(vec![no_field(b"f")])), (b"z", change(unscored(b"a", 1.0)))]);
    assert_eq!(names(&tree, b"h", Type::Hash), [key(b"g")]);
    assert_eq!(names(&tree, b"z", Type::Zset), [key(b"b")]);
    tree.disk.full.store(false, Ordering::Relaxed);
    apply(&mut tree.writer, &changes).expect("applied");
    assert_eq!(names(&tree, b"new", Type::Set), [key(b"m")]);
    assert_eq!(names(&tree, b"h", Type::Hash), [key(b"g"), key(b"new")]);
    tree.assert_tidy();
}

#[test]
fn refused_links_become_plain_members() {
    let mut tree = Tree::new();
    tree.disk.links_refused.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        tree.apply(vec![(b"s", made(Type::Set, vec![member(b"a")]))]);
        tree.apply(vec![(b"s", change(vec![member(b"a"), member(b"b")]))]);
        assert_eq!(names(&tree, b"s", Type::Set), [key(b"a"), key(b"b")]);
    }
    assert_eq!(fs::metadata(tree.path("0/s/values/a")).expect("there").nlink(), 1);
    tree.assert_tidy();
}
