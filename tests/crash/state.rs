//! A database as files: every key with its value and its deadline, and what must not be there.
//!
//! Reads a dump of the disk by the grammar of `docs/LAYOUT.md` and uses nothing of the server but
//! the encoding of names. Knows no values in memory and no journal.

use crate::support::words::show;
use dredis::layout::names::{self, Entry};
use std::collections::BTreeMap;

/// Value and deadline of a key.
pub type Content = (Vec<u8>, Option<u64>);
/// Keys by database and name.
pub type State = BTreeMap<(u16, Vec<u8>), Content>;
/// Files by their path; directories end in a slash.
pub type Dump = BTreeMap<String, Vec<u8>>;

/// All keys of a tree that is at rest.
///
/// # Errors
/// Says what is there that is no whole key, or is temporary.
pub fn read(dump: &Dump) -> Result<State, String> {
    let mut state = State::new();
    for path in dump.keys() {
        let temporary = path.strip_prefix(".dredis/tmp/").is_some_and(|name| !name.is_empty());
        if temporary || path == "journal/making" {
            return Err(format!("{path} is left over"));
        }
        let Some((db, rest)) = path.split_once('/') else { continue };
        let Ok(db) = db.parse::<u16>() else { continue };
        let (name, part) = match rest.split_once('/') {
            Some(found) => found,
            None if rest.is_empty() => continue,
            None => {
                check_file(dump, db, rest)?;
                continue;
            }
        };
        match part {
            "" => {
                let key = key(dump, db, name)?;
                if state.insert((db, key), content(dump, db, name)?).is_some() {
                    return Err(format!("the key at {path} is there twice"));
                }
            }
            "type" | "value" | "expires" => {}
            _ => return Err(format!("{path} is part of no string")),
        }
    }
    Ok(state)
}

/// A file beside the directories of keys: a marker, or the full name of one of them.
fn check_file(dump: &Dump, db: u16, name: &str) -> Result<(), String> {
    let owner = name.strip_suffix("%n").map(|owner| format!("{db}/{owner}/"));
    match names::classify(name.as_bytes()) {
        Entry::Marker => Ok(()),
        Entry::Companion if owner.is_some_and(|owner| dump.contains_key(&owner)) => Ok(()),
        _ => Err(format!("{db}/{name} belongs to no key")),
    }
}

fn key(dump: &Dump, db: u16, name: &str) -> Result<Vec<u8>, String> {
    let key = match names::classify(name.as_bytes()) {
        Entry::Plain(key) => Some(key),
        Entry::Hashed => {
            let full = dump.get(&format!("{db}/{name}%n"));
            full.and_then(|full| names::resolve(name.as_bytes(), full))
        }
        _ => None,
    };
    key.map(|key| key.into_owned()).ok_or_else(|| format!("{db}/{name} is the name of no key"))
}

fn content(dump: &Dump, db: u16, name: &str) -> Result<Content, String> {
    let part = |part: &str| dump.get(&format!("{db}/{name}/{part}"));
    match part("type") {
        None => return Err(format!("{db}/{name} has no type")),
        Some(kind) if kind != b"string" => {
            return Err(format!("{db}/{name} has the type '{}'", show(kind)));
        }
        Some(_) => {}
    }
    let Some(value) = part("value") else { return Err(format!("{db}/{name} has no value")) };
    let deadline = part("expires").map(|text| {
        let text = std::str::from_utf8(text).ok();
        text.and_then(|text| text.parse().ok()).ok_or(format!("{db}/{name} has a bad deadline"))
    });
    Ok((value.clone(), deadline.transpose()?))
}

/// What is left of a state at this time.
pub fn at(state: &State, now_ms: u64) -> State {
    let lives = |(_, deadline): &Content| deadline.is_none_or(|ms| ms > now_ms);
    let kept = state.iter().filter(|(_, content)| lives(content));
    kept.map(|(key, content)| (key.clone(), content.clone())).collect()
}

/// The files of the databases alone.
pub fn databases(mut dump: Dump) -> Dump {
    dump.retain(|path, _| path.as_bytes()[0].is_ascii_digit());
    dump
}

/// A state for people.
pub fn tell(state: &State) -> String {
    let line = |((db, key), (value, deadline)): (&(u16, Vec<u8>), &Content)| {
        let (key, len) = (show(&key[..key.len().min(20)]), value.len());
        let value = show(&value[..len.min(24)]);
        let deadline = deadline.map(|ms| format!(" until {ms}")).unwrap_or_default();
        format!("    {db}/{key}: {value} ({len}){deadline}")
    };
    let lines: Vec<String> = state.iter().map(line).collect();
    if lines.is_empty() { "    (nothing)".into() } else { lines.join("\n") }
}
