//! A database as files: every key with its value and its deadline, and what must not be there.
//!
//! Reads a dump of the disk by the grammar of `docs/LAYOUT.md` and uses nothing of the server but
//! the encoding of names. A sorted set's `scores/` has to say what its `values/` say. Knows no
//! values in memory and no journal; [`shown`] makes the same values of what a client is told.

use crate::support::words::{bulks, show};
use dredis::layout::names::{self, Entry};
use std::collections::{BTreeMap, BTreeSet};

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Bytes.
    String(Vec<u8>),
    /// Values by their fields.
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// Members.
    Set(BTreeSet<Vec<u8>>),
    /// Scores, as Rust writes them, by their members.
    Zset(BTreeMap<Vec<u8>, String>),
}

/// Value and deadline of a key.
pub type Content = (Value, Option<u64>);
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
        let below = |dir| path.strip_prefix(dir).is_some_and(|name| !name.is_empty());
        let moving = below("journal/moves/") && !path.ends_with(".stashed");
        if below(".dredis/tmp/") || moving || path == "journal/making" {
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
        // What else there is, is looked at with its key.
        if part.is_empty() {
            let key = key(dump, db, name)?;
            if state.insert((db, key), content(dump, db, name)?).is_some() {
                return Err(format!("the key at {path} is there twice"));
            }
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
    let dir = format!("{db}/{name}/");
    let mut parts = below(dump, &dir);
    let take = |parts: &mut Dump, part: &str| parts.remove(part);
    let Some(kind) = take(&mut parts, "type") else { return Err(format!("{dir} has no type")) };
    let deadline = take(&mut parts, "expires").map(|text| {
        let text = std::str::from_utf8(&text).ok();
        text.and_then(|text| text.parse().ok()).ok_or(format!("{dir} has a bad deadline"))
    });
    let value = match &*kind {
        b"string" => {
            let value = take(&mut parts, "value").ok_or_else(|| format!("{dir} has no value"))?;
            Value::String(value)
        }
        b"hash" => Value::Hash(take_named(&mut parts, "fields/")?),
        b"set" => {
            let members = take_named(&mut parts, "values/")?;
            if let Some((name, _)) = members.iter().find(|(_, content)| !content.is_empty()) {
                return Err(format!("{dir}: the member {} holds something", show(name)));
            }
            Value::Set(members.into_keys().collect())
        }
        b"zset" => Value::Zset(take_scores(&mut parts).map_err(|e| format!("{dir}: {e}"))?),
        kind => return Err(format!("{dir} has the type '{}'", show(kind))),
    };
    match parts.keys().next() {
        Some(part) => Err(format!("{dir}{part} is no part of a {}", show(&kind))),
        None if size(&value) == 0 => Err(format!("{dir} is a {} of nothing", show(&kind))),
        None => Ok((value, deadline.transpose()?)),
    }
}

/// How many elements a value has.
fn size(value: &Value) -> usize {
    match value {
        Value::String(_) => 1,
        Value::Hash(fields) => fields.len(),
        Value::Set(members) => members.len(),
        Value::Zset(members) => members.len(),
    }
}

/// What lies below a directory, by its path from there.
fn below(dump: &Dump, dir: &str) -> Dump {
    let inside = dump.range(dir.to_owned()..).take_while(|(path, _)| path.starts_with(dir));
    let rest = inside.map(|(path, content)| (path[dir.len()..].to_owned(), content.clone()));
    rest.filter(|(path, _)| !path.is_empty()).collect()
}

/// Takes a directory of names out of the parts of a key: contents by the names they lie under.
fn take_named(parts: &mut Dump, dir: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let files = below(parts, dir);
    parts.retain(|path, _| !path.starts_with(dir));
    let mut found = BTreeMap::new();
    for (name, content) in &files {
        let member = match names::classify(name.as_bytes()) {
            Entry::Plain(member) => member.into_owned(),
            Entry::Hashed => full_name(&files, name)?,
            Entry::Marker => continue,
            Entry::Companion if name.strip_suffix("%n").is_some_and(|n| files.contains_key(n)) => {
                continue;
            }
            _ => return Err(format!("{dir}{name} belongs to nothing")),
        };
        if found.insert(member, content.clone()).is_some() {
            return Err(format!("{dir}{name} is there twice"));
        }
    }
    Ok(found)
}

fn full_name(files: &Dump, hashed: &str) -> Result<Vec<u8>, String> {
    let full = files.get(&format!("{hashed}%n"));
    let name = full.and_then(|full| names::resolve(hashed.as_bytes(), full));
    name.map(|name| name.into_owned()).ok_or_else(|| format!("{hashed} is the name of nothing"))
}

/// Takes the members of a sorted set out of the parts of a key: both directories say the same.
fn take_scores(parts: &mut Dump) -> Result<BTreeMap<Vec<u8>, String>, String> {
    let companions = below(parts, "values/");
    let mut members = BTreeMap::new();
    for (member, content) in take_named(parts, "values/")? {
        let score = number(&content).ok_or_else(|| format!("a score is '{}'", show(&content)))?;
        members.insert(member, score);
    }
    let scores = below(parts, "scores/");
    if parts.remove("scores/").is_none() {
        return Ok(members); // The index may be missing as a whole.
    }
    parts.retain(|path, _| !path.starts_with("scores/"));
    let mut indexed = BTreeMap::new();
    let groups = scores.keys().map(|path| path.split('/').next().unwrap_or_default());
    for group in groups.collect::<BTreeSet<_>>() {
        let score =
            number(group.as_bytes()).ok_or_else(|| format!("scores/{group} is no score"))?;
        let found: Vec<Vec<u8>> = match scores.get(group) {
            Some(lines) => {
                let lines = lines.strip_suffix(b"\n").ok_or(format!("scores/{group} is torn"))?;
                let lines = lines.split(|byte| *byte == b'\n');
                lines.map(|line| member_of(&companions, line)).collect::<Result<_, _>>()?
            }
            None => {
                let mut parts = scores.clone();
                take_named(&mut parts, &format!("{group}/"))?.into_keys().collect()
            }
        };
        if found.is_empty() {
            return Err(format!("scores/{group} is empty"));
        }
        for member in found {
            if indexed.insert(member, score.clone()).is_some() {
                return Err(format!("a member of scores/{group} is there twice"));
            }
        }
    }
    if indexed != members {
        let (of_scores, of_values) = (tell_scores(&indexed), tell_scores(&members));
        return Err(format!("scores/ says {of_scores}, and values/ say {of_values}"));
    }
    Ok(members)
}

fn member_of(companions: &Dump, line: &[u8]) -> Result<Vec<u8>, String> {
    match names::classify(line) {
        Entry::Plain(member) => Ok(member.into_owned()),
        Entry::Hashed => full_name(companions, &String::from_utf8_lossy(line)),
        _ => Err(format!("a group has the line '{}'", show(line))),
    }
}

fn number(text: &[u8]) -> Option<String> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(number.to_string())
}

/// What a client was told of a key by `command`; `None` where it is not there.
///
/// # Errors
/// That is not how the command replies.
pub fn shown(command: &str, reply: &[u8]) -> Result<Option<Value>, String> {
    if command == "GET" {
        return match reply {
            b"$-1\r\n" => Ok(None),
            [b'$', ..] => {
                let value = bulks(&[b"*1\r\n", reply].concat()).remove(0);
                Ok(Some(Value::String(value)))
            }
            _ => Err(format!("GET replied {}", show(reply))),
        };
    }
    if !reply.starts_with(b"*") {
        return Err(format!("{command} replied {}", show(reply)));
    }
    let words = bulks(reply);
    let pairs = || words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    let value = match command {
        "HGETALL" => Value::Hash(pairs().collect()),
        "SMEMBERS" => Value::Set(words.iter().cloned().collect()),
        _ => {
            let scored = pairs().map(|(member, score)| Some((member, number(&score)?)));
            let scored: Option<BTreeMap<_, _>> = scored.collect();
            Value::Zset(scored.ok_or("ZRANGE replied a score that is no number")?)
        }
    };
    let count = size(&value) * if matches!(value, Value::Set(_)) { 1 } else { 2 };
    if count != words.len() {
        return Err(format!("{command} replied an element twice: {}", show(reply)));
    }
    Ok((count > 0).then_some(value))
}

/// The request whose reply [`shown`] understands, for a key of the type that TYPE replies.
pub fn request_for(kind: &[u8]) -> &'static [&'static str] {
    match kind {
        b"hash" => &["HGETALL"],
        b"set" => &["SMEMBERS"],
        b"zset" => &["ZRANGE", "0", "-1", "WITHSCORES"],
        _ => &["GET"],
    }
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
        let (key, value) = (brief(key), tell_value(value));
        let deadline = deadline.map(|ms| format!(" until {ms}")).unwrap_or_default();
        format!("    {db}/{key}: {value}{deadline}")
    };
    let lines: Vec<String> = state.iter().map(line).collect();
    if lines.is_empty() { "    (nothing)".into() } else { lines.join("\n") }
}

/// A value for people.
pub fn tell_value(value: &Value) -> String {
    match value {
        Value::String(value) => brief(value),
        Value::Hash(fields) => {
            let told = fields.iter().map(|(name, value)| (brief(name), brief(value)));
            tell_elements("hash", told.map(|(name, value)| format!("{name}={value}")))
        }
        Value::Set(members) => tell_elements("set", members.iter().map(|member| brief(member))),
        Value::Zset(members) => tell_scores(members),
    }
}

fn tell_scores(members: &BTreeMap<Vec<u8>, String>) -> String {
    tell_elements("zset", members.iter().map(|(name, score)| format!("{}={score}", brief(name))))
}

fn tell_elements(kind: &str, elements: impl Iterator<Item = String>) -> String {
    let elements: Vec<String> = elements.collect();
    format!("{kind} of {} ({})", elements.len(), elements.join(" "))
}

fn brief(bytes: &[u8]) -> String {
    let shown = show(&bytes[..bytes.len().min(20)]);
    if bytes.len() > 20 { format!("{shown}.. ({})", bytes.len()) } else { shown }
}
