//! Reading: trees made by hand, damage, listings and samples.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;

use super::support::*;
use crate::disk::Wait;
use crate::layout::cursor;
use crate::layout::reader::What;

fn by_hand(tree: &Tree, name: &str, files: &[(&str, &[u8])]) {
    fs::create_dir(tree.path(&format!("0/{name}"))).expect("made");
    for (file, content) in files {
        fs::write(tree.path(&format!("0/{name}/{file}")), content).expect("written");
    }
}

#[test]
fn a_tree_made_by_hand_is_a_database() {
    let tree = Tree::new();
    by_hand(&tree, "k", &[("type", b"string\n"), ("value", b"v\n"), ("expires", b"12\n")]);
    let loaded = tree.load(b"k").expect("there");
    assert_eq!(loaded.expires, Some(12));
    assert_eq!(loaded.len, 2);
    assert_eq!(loaded.value.as_deref(), Some(&b"v\n"[..]));
    let len = tree.reader.load(0, b"k", What::Len, Wait::Yes).expect("loaded").expect("there");
    assert_eq!((len.len, len.value), (2, None));
    let meta = tree.reader.load(0, b"k", What::Meta, Wait::Yes).expect("loaded").expect("there");
    assert_eq!((meta.len, meta.expires), (0, Some(12)));
    assert!(tree.reader.is_key(0, b"k", Wait::Yes).expect("asked"));
    assert!(!tree.reader.is_key(1, b"k", Wait::Yes).expect("asked"));
}

#[test]
fn a_directory_without_type_is_no_key() {
    let tree = Tree::new();
    by_hand(&tree, "k", &[("value", b"v")]);
    assert_eq!(tree.load(b"k"), None);
    assert!(!tree.reader.is_key(0, b"k", Wait::Yes).expect("asked"));
}

#[test]
fn damage_is_an_error_that_says_where() {
    let tree = Tree::new();
    by_hand(&tree, "type", &[("type", b"strnig"), ("value", b"v")]);
    by_hand(&tree, "value", &[("type", b"string")]);
    by_hand(&tree, "empty", &[("type", b""), ("value", b"v")]);
    by_hand(&tree, "plus", &[("type", b"string"), ("value", b"v"), ("expires", b"+5")]);
    by_hand(&tree, "none", &[("type", b"string"), ("value", b"v"), ("expires", b"")]);
    for (name, says) in [
        ("type", "0/type/type: expected the name of a type, got strnig"),
        ("value", "0/value/value: expected the value of a string, got nothing"),
        ("empty", "0/empty/type: expected the name of a type, got nothing"),
        ("plus", "0/plus/expires: expected a Unix time in milliseconds, got +5"),
        ("none", "0/none/expires: expected a Unix time in milliseconds, got nothing"),
    ] {
        match tree.reader.load(0, name.as_bytes(), What::Value, Wait::Yes) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidData);
                assert_eq!(error.to_string(), says);
            }
            // Of a deadline the backlog may know better.
            Ok(loaded) => {
                let loaded = loaded.expect(name);
                assert_eq!((loaded.torn.as_deref(), loaded.expires), (Some(says), None));
            }
        }
    }
    std::os::unix::fs::symlink("/etc", tree.path("0/link")).expect("made");
    assert!(tree.reader.load(0, b"link", What::Value, Wait::Yes).is_err());
}

#[test]
fn listings_skip_strangers() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"k", string(b"v"))]);
    for name in ["0/%41", "0/.hidden", "0/x%~00"] {
        fs::create_dir(tree.path(name)).expect("made");
    }
    fs::write(tree.path("0/file"), b"").expect("written");
    assert_eq!(tree.keys(), [b"k"]);
    assert_eq!(tree.reader.count(0).expect("counted"), 1);
}

#[test]
fn a_walk_by_cursors_meets_every_key_once() {
    let mut tree = Tree::new();
    let names: Vec<String> = (0..500).map(|index| format!("key:{index}")).collect();
    tree.apply(names.iter().map(|name| (name.as_bytes(), string(b"v"))).collect());
    for limit in [1, 10, 499, 500, 5000] {
        let (mut seen, mut position) = (Vec::new(), 0);
        loop {
            let next = tree.reader.keys(0, position, Some(limit), &mut |name, _| {
                seen.push(name.to_vec());
                true
            });
            let Some(next) = next.expect("listed") else { break };
            let cursor = cursor::cursor_from_position(next);
            assert!(cursor < 1 << 53 && cursor > 0);
            position = cursor::position_from_cursor(cursor);
        }
        assert_eq!(seen.len(), 500, "limit {limit}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 500);
    }
}

#[test]
fn a_visitor_ends_a_walk_and_can_go_on() {
    let mut tree = Tree::new();
    let names: Vec<String> = (0..50).map(|index| index.to_string()).collect();
    tree.apply(names.iter().map(|name| (name.as_bytes(), string(b"v"))).collect());
    let (mut seen, mut position) = (BTreeSet::new(), Some(0));
    while let Some(from) = position {
        position = tree
            .reader
            .keys(0, from, None, &mut |name, _| {
                assert!(seen.insert(name.to_vec()));
                seen.len() % 7 != 0
            })
            .expect("listed");
    }
    assert_eq!(seen.len(), 50);
}

#[test]
fn samples_come_from_everywhere() {
    let mut tree = Tree::new();
    assert!(tree.reader.sample(0, 1, 64).expect("sampled").is_empty());
    tree.apply(vec![(b"only", string(b"v"))]);
    for seed in 0..40 {
        assert_eq!(tree.reader.sample(0, seed * 0x9E37_79B9, 64).expect("sampled").len(), 1);
    }
    let names: Vec<String> = (0..2000).map(|index| format!("k{index}")).collect();
    tree.apply(names.iter().map(|name| (name.as_bytes(), string(b"v"))).collect());
    let mut seen = BTreeSet::new();
    for seed in 1..400u64 {
        let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let keys = tree.reader.sample(0, seed, 64).expect("sampled");
        assert_eq!(keys.len(), 64);
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 64);
        seen.extend(keys.first().cloned());
    }
    assert!(seen.len() > 250, "{} first picks of 400", seen.len());
    assert_eq!(tree.reader.sample(0, 3, 5000).expect("sampled").len(), 2001);
}
