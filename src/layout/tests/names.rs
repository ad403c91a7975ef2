//! Names: every byte, every pair, random bytes and characters, long names, strangers.

use std::collections::HashSet;

use crate::layout::names::*;

/// A small generator of numbers that differ (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

fn check(bytes: &[u8], name: &str) {
    assert_eq!(encode(bytes).as_str(), name);
    assert_eq!(decode(name.as_bytes()).as_deref(), Some(bytes), "{name}");
}

fn round(bytes: &[u8]) -> String {
    let full = encode_full(bytes);
    assert_eq!(decode_full(full.as_bytes()).as_deref(), Some(bytes), "{full}");
    let name = encode(bytes);
    let text = name.as_str();
    assert!(!text.is_empty() && text.len() <= NAME_BYTES_MAX);
    assert!(!text.starts_with('.') && !text.contains(['/', '\0']));
    match name.full() {
        None => assert!(matches!(classify(text.as_bytes()), Entry::Plain(back) if *back == *bytes)),
        Some(full) => {
            assert_eq!(classify(text.as_bytes()), Entry::Hashed);
            assert_eq!(resolve(text.as_bytes(), full.as_bytes()).as_deref(), Some(bytes));
        }
    }
    full
}

#[test]
fn names_as_the_design_shows_them() {
    check(b"msg", "msg");
    check(b"user:1", "user:1");
    check(b"Hello World", "Hello World");
    check(b"", "%");
    check(b"%", "%25");
    check(b"a/b", "a%2Fb");
    check(b"../x", "%2E.%2Fx");
    check(b".", "%2E");
    check(b"..", "%2E.");
    check(b"a.b", "a.b");
    check(b"\0", "%00");
    check(b"a\nb\x7f", "a%0Ab%7F");
    for itself in ["Müller", "東京", "Ελλάδα", "Привет", "서울", "Đà Nẵng"] {
        check(itself.as_bytes(), itself);
    }
    check(b"\xff\xfe", "%FF%FE");
    check(b"caf\xc3", "caf%C3");
    check("e\u{301}".as_bytes(), "e%CC%81");
    check("\u{202e}x".as_bytes(), "%E2%80%AEx");
    check("\u{e000}".as_bytes(), "%EE%80%80");
}

#[test]
fn every_one_and_two_bytes_have_names_of_their_own() {
    let mut seen = HashSet::new();
    assert!(seen.insert(round(b"")));
    for first in 0..=255u8 {
        assert!(seen.insert(round(&[first])));
        for second in 0..=255u8 {
            assert!(seen.insert(round(&[first, second])));
        }
    }
}

#[test]
fn every_character_round_trips() {
    for one in '\0'..=char::MAX {
        let text = format!("a{one}");
        let full = encode_full(text.as_bytes());
        assert_eq!(decode_full(full.as_bytes()).as_deref(), Some(text.as_bytes()));
        if full == text && !one.is_ascii() {
            assert!(one.is_alphanumeric(), "{one:?}");
        }
    }
    assert!(RANGES.windows(2).all(|pair| pair[0].1 < pair[1].0));
}

#[test]
fn random_bytes_round_trip() {
    let mut random = Random(7);
    let mut seen = HashSet::new();
    let mut bytes_seen = HashSet::new();
    let alphabet = b"%.~!n0aF/\xc3\xa9\xe6\x9d\xb1\xf0\x9f\x98\x80\0 ";
    for turn in 0..60_000 {
        let len = random.next() % if turn % 20 == 0 { 400 } else { 9 };
        let any = turn % 2 == 0;
        let bytes: Vec<u8> = (0..len)
            .map(|_| match any {
                true => random.next() as u8,
                false => alphabet[random.next() as usize % alphabet.len()],
            })
            .collect();
        let full = round(&bytes);
        assert_eq!(seen.insert(full), bytes_seen.insert(bytes));
    }
}

#[test]
fn random_names_are_canonical_or_strangers() {
    let mut random = Random(11);
    let alphabet = b"%%%%0123456789ABCDEFabcdef.~!nx\xc3\xa9\xff/";
    for _ in 0..60_000 {
        let len = random.next() % 12;
        let name: Vec<u8> =
            (0..len).map(|_| alphabet[random.next() as usize % alphabet.len()]).collect();
        if let Some(bytes) = decode(&name) {
            assert_eq!(encode(&bytes).as_str().as_bytes(), name);
        }
    }
}

#[test]
fn what_is_not_canonical_is_a_stranger() {
    for name in [
        &b""[..],
        b".",
        b"..",
        b".x",
        b"%4",
        b"%zz",
        b"%2f",
        b"%41",
        b"a%",
        b"a/b",
        b"x%!",
        b"%~",
        b"%n",
        b"x%n",
        b"\xff",
        b"\xc3\xa9\xcc\x81",
        b"a\nb",
        b"%C3%A9",
        b"x%~00",
    ] {
        assert_eq!(decode(name), None, "{name:?}");
        assert_eq!(classify(name), Entry::Stranger, "{name:?}");
    }
    assert_eq!(classify(b"%!"), Entry::Marker);
    assert_eq!(classify(&[b'a'; 256]), Entry::Stranger);
}

#[test]
fn long_names_are_hashed() {
    assert!(!encode(&[b'a'; 255]).is_hashed());
    for bytes in [vec![b'a'; 256], vec![0; 86], vec![b'x'; 10_240], "東".repeat(99).into_bytes()] {
        let name = encode(&bytes);
        round(&bytes);
        assert!(name.is_hashed() && name.hashed() == name);
        let companion = format!("{}{COMPANION}", name.as_str());
        assert!(companion.len() <= NAME_BYTES_MAX);
        assert_eq!(classify(companion.as_bytes()), Entry::Companion);
        assert_eq!(resolve(name.as_str().as_bytes(), b"other"), None);
        assert_eq!(resolve(name.as_str().as_bytes(), b""), None);
    }
    assert_ne!(encode(&[b'a'; 256]), encode(&[b'a'; 257]));
}

#[test]
fn a_hashed_prefix_keeps_escapes_and_characters_whole() {
    for shift in 0..4 {
        let mut bytes = vec![b'a'; 124 + shift];
        bytes.extend([0; 60]);
        let name = encode(&bytes);
        let (prefix, _) = name.as_str().split_once("%~").expect("hashed");
        assert!(decode(prefix.as_bytes()).is_some(), "{prefix}");
        let mut bytes = vec![b'a'; 124 + shift];
        bytes.extend("東".repeat(60).bytes());
        round(&bytes);
    }
}

#[test]
fn a_refused_name_can_be_hashed() {
    for bytes in [&b"msg"[..], b"", b"\0", b"a%"] {
        let name = encode(bytes).hashed();
        assert_eq!(classify(name.as_str().as_bytes()), Entry::Hashed);
        let full = name.full().expect("hashed");
        assert_eq!(resolve(name.as_str().as_bytes(), full.as_bytes()).as_deref(), Some(bytes));
    }
    // printf msg | sha256sum
    let sum = "e46b320165eec91e6344fa10340d5b3208304d6cad29d0d5aed18466d1d9d80e";
    assert_eq!(encode(b"msg").hashed().as_str(), format!("msg%~{sum}"));
}

#[test]
fn the_layout_page_has_every_range() {
    let page = include_str!("../../../docs/LAYOUT.md");
    let rows = page.lines().skip_while(|line| !line.starts_with("| script"));
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let cells: String = rows.filter_map(|row| row.split('|').nth(2)).collect::<Vec<_>>().join(",");
    let mut listed: Vec<&str> = cells.split(',').map(str::trim).collect();
    let ranges: Vec<String> = RANGES
        .iter()
        .map(|&(first, last)| match (u32::from(first), u32::from(last)) {
            (first, last) if first == last => format!("{first:04X}"),
            (first, last) => format!("{first:04X}-{last:04X}"),
        })
        .collect();
    let mut expected: Vec<&str> = ranges.iter().map(String::as_str).collect();
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
}
