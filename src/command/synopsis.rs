//! The arguments of a command as a tree, read from the line that documents them.
//!
//! ```text
//! either   = sequence { "|" sequence }
//! sequence = { word | TOKEN | "<" either ">" [ "..." ] | "[" either "]" | repeat }
//! repeat   = "[" the words before it "..." "]"
//! ```
//!
//! As in `key [NX | XX] [LIMIT offset count] score member [score member ...]`: what stands in `[]`
//! may be left out, what stands before `...` may come again, `<>` only holds together. A word in
//! capitals is sent as it is; the words behind it, up to a `[` or the next such word, belong to it.
//!
//! Knows what Redis 7.2 calls an argument and of which type it says that it is. Deliberately does
//! not know how arguments are told to clients, nor what handlers make of them.

use super::Command;
use std::iter::Peekable;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any bytes.
    Text,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Double,
    /// A key.
    Key,
    /// A pattern, as KEYS takes it.
    Pattern,
    /// A Unix time, in whichever unit.
    UnixTime,
    /// A word that is sent as it is.
    Token,
    /// One of its arguments.
    OneOf,
    /// All of its arguments, in their order.
    Block,
}

impl Kind {
    /// The name that COMMAND DOCS has for it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::Key => "key",
            Kind::Pattern => "pattern",
            Kind::UnixTime => "unix-time",
            Kind::Token => "pure-token",
            Kind::OneOf => "oneof",
            Kind::Block => "block",
        }
    }

    /// Whether it holds other arguments.
    pub fn is_group(self) -> bool {
        matches!(self, Kind::OneOf | Kind::Block)
    }
}

/// An argument, or a group of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name, in small letters.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What help shows; a group has none.
    pub text: String,
    /// Which of the command's key specifications finds it.
    pub key_spec: Option<usize>,
    /// The word that is sent before it, or that it is.
    pub token: Option<&'static str>,
    /// Whether it may be left out.
    pub is_optional: bool,
    /// Whether it may come again; its token comes once.
    pub is_multiple: bool,
    /// What a group holds.
    pub arguments: Vec<Argument>,
}

/// Types by the name of the argument; what is not here is a text.
const KINDS: &[(&str, Kind)] = &[
    ("key key1 key2 newkey source destination src dst", Kind::Key),
    ("numkeys cursor count offset limit start stop end min-match-len", Kind::Integer),
    ("index index1 index2 db destination-db client-id protover timeout", Kind::Integer),
    ("seconds milliseconds increment decrement weight", Kind::Integer),
    ("score min max", Kind::Double),
    ("unix-time-seconds unix-time-milliseconds", Kind::UnixTime),
    ("pattern", Kind::Pattern),
];

/// Where an argument of some commands has another type.
const OTHER_KINDS: &[(&str, &str, Kind)] = &[
    ("incrbyfloat hincrbyfloat", "increment", Kind::Double),
    ("zrange", "start stop", Kind::Text),
    ("zrangestore", "min max", Kind::Text),
    ("zlexcount zrangebylex zrevrangebylex zremrangebylex", "min max", Kind::Text),
];

/// Tokens that have other names than themselves.
const TOKEN_NAMES: &[(&str, &str)] = &[("CH", "change"), ("INCR", "increment")];

/// How groups are called whose arguments begin so. The others have the name of their token, or are
/// the `data` that comes again and again.
const GROUP_NAMES: &[(&str, &str)] = &[
    ("nx xx", "condition"),
    ("gt lt", "comparison"),
    ("seconds milliseconds", "expiration"),
    ("byscore bylex", "sortby"),
    ("min max", "where"),
    ("async sync", "flush-type"),
    ("count with", "options"),
    ("protover auth", "arguments"),
    ("on off skip", "action"),
    ("on off", "enabled"),
    ("write all", "mode"),
    ("yes sync", "mode"),
    ("timeout error", "unblock-type"),
    ("nosave save", "save-selector"),
    ("libname libver", "attr"),
    ("normal master", "client-type"),
    ("client-id client-type", "new-format"),
    ("old-format new-format", "filter"),
];

/// The arguments of a command. A line that cannot be read is an assertion: each is written by us.
pub fn arguments(command: &Command) -> Vec<Argument> {
    let mut line = Line { symbols: symbols(command.synopsis).peekable(), command };
    let mut arguments = line.either();
    assert_eq!(line.symbols.next(), None, "no bracket opens this: {}", command.synopsis);
    let mut keys = 0;
    for argument in &mut arguments {
        argument.complete(command, &mut keys);
    }
    arguments
}

/// The words and brackets of a line.
fn symbols(line: &'static str) -> impl Iterator<Item = &'static str> {
    const ENDS: [char; 6] = [' ', '[', ']', '<', '>', '|'];
    let parts = line.split_inclusive(ENDS).flat_map(|part| {
        let word = part.trim_end_matches(ENDS);
        [word, part[word.len()..].trim()]
    });
    parts.filter(|symbol| !symbol.is_empty())
}

/// A line that is being read.
struct Line<'a, I: Iterator<Item = &'static str>> {
    symbols: Peekable<I>,
    command: &'a Command,
}

impl<I: Iterator<Item = &'static str>> Line<'_, I> {
    /// A sequence, or the one group of which one is chosen.
    fn either(&mut self) -> Vec<Argument> {
        let first = self.sequence();
        if self.symbols.peek() != Some(&"|") {
            return first;
        }
        let mut choices = vec![one(first)];
        while self.symbols.next_if_eq(&"|").is_some() {
            choices.push(one(self.sequence()));
        }
        vec![Argument { arguments: choices, ..named(String::new(), Kind::OneOf) }]
    }

    fn sequence(&mut self) -> Vec<Argument> {
        let mut found = Vec::new();
        while let Some(symbol) =
            self.symbols.next_if(|symbol| !["|", "]", ">", "..."].contains(symbol))
        {
            match symbol {
                "<" => {
                    let held = one(self.either());
                    self.expect(">");
                    let is_multiple = self.symbols.next_if_eq(&"...").is_some();
                    found.push(Argument { is_multiple, ..held });
                }
                "[" => {
                    let inner = self.either();
                    match self.symbols.next_if_eq(&"...") {
                        Some(_) => repeat(&mut found, &inner),
                        None => found.push(Argument { is_optional: true, ..one(inner) }),
                    }
                    self.expect("]");
                }
                word => found.push(self.word(word)),
            }
        }
        behind_tokens(found)
    }

    fn expect(&mut self, bracket: &str) {
        let line = self.command.synopsis;
        assert_eq!(self.symbols.next(), Some(bracket), "a bracket is open: {line}");
    }

    fn word(&self, word: &'static str) -> Argument {
        if word.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return named(word.to_owned(), kind(self.command.name, word));
        }
        let other = TOKEN_NAMES.iter().find(|(token, _)| *token == word);
        let name = other.map_or_else(|| word.to_ascii_lowercase(), |(_, name)| (*name).to_owned());
        Argument { token: Some(word), ..named(name, Kind::Token) }
    }
}

/// The type of an argument of a command.
fn kind(command: &str, word: &str) -> Kind {
    let is_in = |words: &str, word| words.split(' ').any(|each| each == word);
    let other = OTHER_KINDS.iter().find(|row| is_in(row.0, command) && is_in(row.1, word));
    let kind = other.map(|row| row.2);
    let usual = || KINDS.iter().find(|row| is_in(row.0, word)).map(|row| row.1);
    kind.or_else(usual).unwrap_or(Kind::Text)
}

fn named(name: String, kind: Kind) -> Argument {
    let text = if kind.is_group() { String::new() } else { name.clone() };
    Argument {
        name,
        kind,
        text,
        key_spec: None,
        token: None,
        is_optional: false,
        is_multiple: false,
        arguments: Vec::new(),
    }
}

/// A sequence as one argument: a block where there are several.
fn one(mut sequence: Vec<Argument>) -> Argument {
    match sequence.len() {
        1 => sequence.remove(0),
        _ => Argument { arguments: sequence, ..named(String::new(), Kind::Block) },
    }
}

/// Has the last arguments come again, given what the line repeats of them.
fn repeat(found: &mut Vec<Argument>, again: &[Argument]) {
    let words = found.split_off(found.len().saturating_sub(again.len()));
    assert_eq!(words, again, "only what stands before a bracket is repeated in it");
    found.push(Argument { is_multiple: true, ..one(words) });
}

/// Gives each token that has to be sent the arguments behind it.
fn behind_tokens(found: Vec<Argument>) -> Vec<Argument> {
    let mut bound = Vec::new();
    let mut rest = found.into_iter().peekable();
    while let Some(argument) = rest.next() {
        let mut behind = Vec::new();
        if argument.kind == Kind::Token && !argument.is_optional {
            let is_its = |next: &Argument| !next.is_optional && next.kind != Kind::Token;
            behind.extend(std::iter::from_fn(|| rest.next_if(is_its)));
        }
        bound.push(match behind.is_empty() {
            true => argument,
            false => Argument { token: argument.token, ..one(behind) },
        });
    }
    bound
}

impl Argument {
    /// Fills in what depends on the arguments before and within, given how many keys came before.
    fn complete(&mut self, command: &Command, keys: &mut usize) {
        for argument in &mut self.arguments {
            argument.complete(command, keys);
        }
        match self.kind {
            Kind::Key => {
                self.key_spec = Some((*keys).min(command.access.len() - 1));
                *keys += 1;
            }
            Kind::OneOf | Kind::Block => self.name = self.group_name(),
            // Names have no colon: what stands in the line is only shown.
            _ if self.name.contains(':') => {
                self.name = self.token.unwrap_or("old-format").to_ascii_lowercase();
            }
            _ => {}
        }
    }

    fn group_name(&self) -> String {
        let names: Vec<_> = self.arguments.iter().map(|argument| argument.name.as_str()).collect();
        let names = names.join(" ");
        if let Some((_, name)) = GROUP_NAMES.iter().find(|(begin, _)| names.starts_with(begin)) {
            return (*name).to_owned();
        }
        assert!(self.token.is_some() || self.is_multiple, "a group without a name: {names}");
        self.token.unwrap_or("data").to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table::{KEY1, READ, row};
    use crate::command::{Cx, Done, Result};

    fn run(_: &mut Cx<'_, '_>) -> Result {
        Ok(Done)
    }

    /// An argument as `name:type`, with `@` and its key specification, `=` and its token, `?`
    /// where it may be left out, `*` where it may come again, and what it holds.
    fn show(arguments: &[Argument]) -> String {
        let shown = arguments.iter().map(|argument| {
            let Argument { name, kind, .. } = argument;
            let mut shown = format!("{name}:{}", kind.name());
            shown.extend(argument.key_spec.map(|index| format!("@{index}")));
            shown.extend(argument.token.map(|token| format!("={token}")));
            shown.extend(argument.is_optional.then_some('?'));
            shown.extend(argument.is_multiple.then_some('*'));
            if kind.is_group() {
                shown += &format!("({})", show(&argument.arguments));
            }
            shown
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    fn read(name: &'static str, synopsis: &'static str) -> Vec<Argument> {
        arguments(&row(name, -1, KEY1, READ, run, synopsis).access(&["RO", "OW"]))
    }

    #[test]
    fn lines_become_trees() {
        let check = |synopsis, expect: &str| assert_eq!(show(&read("test", synopsis)), expect);
        check("", "");
        check("message", "message:string");
        check("[pattern]", "pattern:pattern?");
        check("NO ONE", "no:pure-token=NO one:pure-token=ONE");
        check("source destination", "source:key@0 destination:key@1");
        check("key1 key2 key", "key1:key@0 key2:key@1 key:key@1");
        check("numkeys key [key ...]", "numkeys:integer key:key@0*");
        check("[arg [arg ...]]", "arg:string?*");
        check("[CH] score", "change:pure-token=CH? score:double");
        check("[ID client-id [client-id ...]]", "client-id:integer=ID?*");
        check("field value [field value ...]", "data:block*(field:string value:string)");
        check(
            "[LIMIT offset count] [REV]",
            "limit:block=LIMIT?(offset:integer count:integer) rev:pure-token=REV?",
        );
        check("ON | OFF", "enabled:oneof(on:pure-token=ON off:pure-token=OFF)");
        check(
            "numkeys <MIN | MAX> [COUNT count]",
            "numkeys:integer where:oneof(min:pure-token=MIN max:pure-token=MAX) \
             count:integer=COUNT?",
        );
        check(
            "[AGGREGATE <SUM | MIN>]",
            "aggregate:oneof=AGGREGATE?(sum:pure-token=SUM min:pure-token=MIN)",
        );
        check(
            "[EX seconds | PX milliseconds | KEEPTTL]",
            "expiration:oneof?(seconds:integer=EX milliseconds:integer=PX \
             keepttl:pure-token=KEEPTTL)",
        );
        check(
            "[count [WITHSCORES]]",
            "options:block?(count:integer withscores:pure-token=WITHSCORES?)",
        );
        check("[GROUP <[A a] | b> ...]", "group:oneof=GROUP?*(a:string=A? b:string)");
    }

    #[test]
    fn types_depend_on_the_command() {
        let check = |name, synopsis, expect: &str| assert_eq!(show(&read(name, synopsis)), expect);
        check("incrby", "increment", "increment:integer");
        check("incrbyfloat", "increment", "increment:double");
        check("zcount", "min max", "min:double max:double");
        check("zlexcount", "min max", "min:string max:string");
    }

    #[test]
    fn what_stands_in_the_line_is_shown() {
        let [argument] = &read("test", "[ADDR ip:port]")[..] else { panic!("one argument") };
        assert_eq!((&argument.name[..], &argument.text[..]), ("addr", "ip:port"));
    }

    #[test]
    fn lines_that_are_wrong_are_found() {
        for synopsis in ["[a", "a]", "<a", "a>", "a [b ...]", "a ...", "[a b]", "[ON | OFF>"] {
            let read = std::panic::catch_unwind(|| read("test", synopsis));
            assert!(read.is_err(), "{synopsis}");
        }
    }
}
