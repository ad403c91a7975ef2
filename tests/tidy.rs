//! Checks of the sources themselves: layers, lengths, words, and documents that derive from code.
//!
//! They read the files of the repository and know Rust only as `rustfmt` writes it: a function ends
//! with a brace at its own indentation, and unit tests are the end of a file. What a check cannot
//! see that way it leaves to the compiler and to clippy.

use dredis::command::Command;
use dredis::command::table::{self, Flags};
use dredis::{commands, config};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 1_000;
const LINE_CHARS_MAX: usize = 100;

/// A source file, its path below the repository.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines that are built into the server, numbered from 1: no tests, no comments.
    fn code(&self) -> Vec<(usize, &str)> {
        let is_test = self.path.starts_with("tests/") || self.path.contains("/tests");
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|two| {
            two[0] == "#[cfg(test)]" && two[1].starts_with("mod ") && two[1].ends_with('{')
        });
        let end = if is_test { 0 } else { tests.unwrap_or(lines.len()) };
        let numbered = lines[..end].iter().enumerate().map(|(at, line)| (at + 1, *line));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//")).collect()
    }

    /// The first part of the path below `src`: a module of the crate, or `main`.
    fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let first = below.split('/').next().unwrap_or(below);
        first.strip_suffix(".rs").unwrap_or(first)
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let read = fs::read_to_string(repository().join(path));
    read.unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// All Rust files in `src` and `tests`, in the order of their paths.
fn sources() -> Vec<Source> {
    let mut paths: Vec<PathBuf> = ["src", "tests"]
        .iter()
        .flat_map(|dir| walkdir::WalkDir::new(repository().join(dir)))
        .map(|entry| entry.expect("a listing of the sources").into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let below = path.strip_prefix(repository()).expect("below the repository");
            let path = below.to_str().expect("a plain name").to_owned();
            Source { text: read(&path), path }
        })
        .collect()
}

/// Fails with all complaints at once.
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The cells of each row of the tables in a document.
fn rows(document: &str) -> Vec<Vec<String>> {
    let rows = document.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    rows.map(|row| row.split('|').map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

/// What the table of layers says.
#[derive(Default)]
struct Layers {
    /// The layer of each module.
    of: BTreeMap<String, u32>,
    /// Modules that may use another one of their own layer.
    within: BTreeSet<(String, String)>,
}

impl Layers {
    /// Rows of: layer, modules, what they use of their own layer (`a → b, c; d → b`), what they
    /// know.
    fn read() -> Layers {
        let mut layers = Layers::default();
        for row in rows(&read("docs/ARCHITECTURE.md")) {
            let [layer, modules, within, _] = &row[..] else { continue };
            let Ok(layer) = layer.parse() else { continue };
            layers.of.extend(modules.split(", ").map(|module| (module.to_owned(), layer)));
            for (user, used) in within.split("; ").filter_map(|one| one.split_once(" → ")) {
                let pairs = used.split(", ").map(|used| (user.to_owned(), used.to_owned()));
                layers.within.extend(pairs);
            }
        }
        layers
    }

    fn complaint(&self, user: &str, used: &str) -> Option<String> {
        let pair = (user.to_owned(), used.to_owned());
        match (self.of.get(user), self.of.get(used)) {
            _ if user == used || self.within.contains(&pair) => None,
            (Some(above), Some(below)) if above > below => None,
            (None, _) => Some(format!("{user} is in no layer")),
            (_, None) => Some(format!("{used} is in no layer")),
            _ => Some(format!("{user} must not use {used}")),
        }
    }
}

/// The modules of the crate that a line names, behind `crate::` or `dredis::`.
fn named(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "dredis::"] {
        for (at, _) in line.match_indices(root) {
            let rest = &line[at + root.len()..];
            let many = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
            let paths = many.map_or(vec![rest], |many| many.split(", ").collect());
            for path in paths {
                let end = path.find(|c: char| !c.is_ascii_lowercase() && c != '_');
                found.push(path[..end.unwrap_or(path.len())].to_owned());
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn each_module_uses_only_lower_layers() {
    let layers = Layers::read();
    let mut complaints = Vec::new();
    let mut used_within = BTreeSet::new();
    for source in sources() {
        let module = source.module().to_owned();
        if module == "lib" {
            continue;
        }
        for (line, text) in source.code() {
            for used in named(text) {
                let complaint = layers.complaint(&module, &used);
                complaints.extend(complaint.map(|what| format!("{}:{line}: {what}", source.path)));
                used_within.insert((module.clone(), used));
            }
        }
    }
    for (user, used) in layers.within.difference(&used_within) {
        complaints.push(format!("ARCHITECTURE.md: {user} does not use {used} any more"));
    }
    none(&complaints);
}

#[test]
fn every_module_is_in_the_table_of_layers() {
    let layers = Layers::read();
    let lib = read("src/lib.rs");
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let mut found: BTreeSet<&str> = modules.collect();
    found.insert("main");
    let told: BTreeSet<&str> = layers.of.keys().map(String::as_str).collect();
    assert_eq!(told, found);
}

/// Name, first line and length of each function of a file.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let bare = line.trim_start();
        let indent = &line[..line.len() - bare.len()];
        let Some(before) = bare.find("fn ") else { continue };
        let qualifiers = bare[..before].split_whitespace();
        let is_function = qualifiers.into_iter().all(|word| {
            word.starts_with("pub") || ["const", "unsafe", "extern", "async"].contains(&word)
        });
        if !is_function {
            continue;
        }
        let opens = lines[at..].iter().position(|line| line.ends_with(['{', ';', '}']));
        let Some(opens) = opens.filter(|opens| lines[at + opens].ends_with('{')) else { continue };
        let brace = format!("{indent}}}");
        let closes = lines[at + opens..].iter().position(|line| *line == brace);
        let name = bare[before + 3..].split(['(', '<']).next().unwrap_or(bare);
        let length = closes.map_or(lines.len() - at, |closes| opens + closes + 1);
        found.push((name.to_owned(), at + 1, length));
    }
    found
}

#[test]
fn functions_files_and_lines_are_short() {
    let mut complaints = Vec::new();
    for Source { path, text } in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            complaints.push(format!("{path}: {lines} lines"));
        }
        for (at, line) in text.lines().enumerate() {
            let chars = line.chars().count();
            if chars > LINE_CHARS_MAX {
                complaints.push(format!("{path}:{}: {chars} columns", at + 1));
            }
        }
        for (name, line, length) in functions(&text) {
            if length > FUNCTION_LINES_MAX {
                complaints.push(format!("{path}:{line}: {name} has {length} lines"));
            }
        }
    }
    none(&complaints);
}

#[test]
fn functions_are_measured() {
    let text = "impl A {\n    pub const fn a(\n        b: u8,\n    ) {\n    }\n\n    fn c();\n}\n";
    assert_eq!(functions(text), [("a".to_owned(), 2, 4)]);
}

#[test]
fn each_file_says_what_it_is() {
    let sources = sources();
    let without = sources.iter().filter(|source| !source.text.starts_with("//! "));
    none(&without.map(|source| format!("{}: no //! at its top", source.path)).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_to_do_and_nothing_from_outside_is_trusted() {
    // Written so that this file does not contain them.
    let everywhere = ["TO DO", "FIX ME", "X X X", "to do!(", "unimpl emented!(", "d bg!("];
    let in_code = [".unw rap()"];
    let joined = |words: &[&str]| words.iter().map(|w| w.replace(' ', "")).collect::<Vec<_>>();
    let (everywhere, in_code) = (joined(&everywhere), joined(&in_code));
    let mut complaints = Vec::new();
    for source in sources() {
        let all = source.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let words = all.flat_map(|line| everywhere.iter().map(move |word| (line, word)));
        let code = source.code();
        let code = code.into_iter().flat_map(|line| in_code.iter().map(move |word| (line, word)));
        for ((line, text), word) in words.chain(code) {
            if text.contains(word.as_str()) {
                complaints.push(format!("{}:{line}: {word}", source.path));
            }
        }
    }
    none(&complaints);
}

#[test]
fn unsafe_code_has_one_place() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.path != "src/base/sys.rs") {
        for (line, text) in source.code() {
            let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            if words.contains(&"unsafe") || text.contains("allow(unsafe_code)") {
                complaints.push(format!("{}:{line}: {text}", source.path));
            }
        }
    }
    none(&complaints);
}

/// The names of a command's flags, as COMMAND INFO has them, and those of ours.
fn flag_names(flags: Flags) -> String {
    let names = [
        (table::WRITE, "write"),
        (table::READ, "readonly"),
        (table::DENYOOM, "denyoom"),
        (table::ADMIN, "admin"),
        (table::NOSCRIPT, "noscript"),
        (table::LOADING, "loading"),
        (table::STALE, "stale"),
        (table::FAST, "fast"),
        (table::NO_AUTH, "no_auth"),
        (table::ALLOW_BUSY, "allow_busy"),
        (table::NO_MULTI, "no_multi"),
        (table::FREES, "frees"),
    ];
    let set = names.iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, name)| *name);
    set.collect::<Vec<_>>().join(" ")
}

/// A row of COMMANDS.md for each command, its subcommands behind it.
fn command_row(out: &mut String, container: &str, command: &Command) {
    let name = format!("{container}{}", command.name.to_ascii_uppercase());
    let synopsis = command.synopsis.replace('|', "\\|");
    let arity = command.arity;
    let (flags, summary) = (flag_names(command.flags), command.summary);
    let call = if synopsis.is_empty() { String::new() } else { format!(" `{synopsis}`") };
    writeln!(out, "| {name}{call} | {arity} | {flags} | {} | {summary} |", command.since)
        .expect("a string takes any text");
    for subcommand in command.subcommands {
        command_row(out, &format!("{name} "), subcommand);
    }
}

fn commands_document() -> String {
    let mut groups: BTreeMap<&str, Vec<&Command>> = BTreeMap::new();
    for command in commands::all() {
        groups.entry(command.group).or_default().push(command);
    }
    let mut out = String::from(
        "# Commands\n\n\
         Made from the command table (`src/commands`) by `BLESS=1 cargo test commands_document`; \
         a test compares it.\n\n\
         Arity counts the arguments with the command's name; a negative one means at least so \
         many. Flags are those of\nCOMMAND INFO, and `frees`: runs while the backlog or the disk \
         is full. Since is the version of Redis that had the\ncommand first, or `dredis` for our \
         own.\n",
    );
    for (group, mut commands) in groups {
        commands.sort_by_key(|command| command.name);
        writeln!(out, "\n## {group}\n\n| command | arity | flags | since | what it does |")
            .expect("a string takes any text");
        out.push_str("|---|--:|---|---|---|\n");
        for command in commands {
            command_row(&mut out, "", command);
        }
    }
    out
}

#[test]
fn commands_document_is_up_to_date() {
    let path = repository().join("docs/COMMANDS.md");
    let expect = commands_document();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &expect).expect("docs/COMMANDS.md is written");
    }
    let came = fs::read_to_string(&path).unwrap_or_default();
    assert!(came == expect, "docs/COMMANDS.md differs: BLESS=1 cargo test commands_document");
}

#[test]
fn every_command_is_documented() {
    let mut complaints = Vec::new();
    let subcommands = commands::all().flat_map(|command| command.subcommands);
    for command in commands::all().chain(subcommands) {
        let Command { name, summary, since, group, .. } = command;
        if summary.is_empty() || since.is_empty() || group.is_empty() || !summary.ends_with('.') {
            complaints.push(format!("{name}: expected a sentence, a version and a group"));
        }
    }
    none(&complaints);
}

#[test]
fn documents_name_files_that_are_there() {
    let docs = fs::read_dir(repository().join("docs")).expect("a listing of docs/");
    let docs = docs.map(|entry| entry.expect("an entry").path());
    let mut complaints = Vec::new();
    for document in docs.chain([repository().join("README.md")]) {
        let text = fs::read_to_string(&document).expect("a document");
        let quoted = text.split('`').skip(1).step_by(2);
        let words = quoted.filter_map(|quoted| quoted.split_whitespace().next());
        let is_path = |word: &&str| {
            let dirs = ["src/", "tests/", "scripts/", "docs/"];
            dirs.iter().any(|dir| word.starts_with(dir)) && !word.contains('*')
        };
        let missing = words.filter(is_path).filter(|path| !repository().join(path).exists());
        complaints
            .extend(missing.map(|path| format!("{}: there is no {path}", document.display())));
    }
    none(&complaints);
}

#[test]
fn readme_lists_every_variable_and_its_default() {
    let help = config::load(["dredis", "--help"].map(OsString::from)).expect_err("a help text");
    let told: BTreeMap<String, String> = rows(&read("README.md"))
        .into_iter()
        .filter_map(|row| Some((row.first()?.clone(), row.get(1)?.clone())))
        .collect();
    let mut complaints = Vec::new();
    for line in help.text.lines().filter(|line| line.trim_start().starts_with("--")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, present) = (words[1], words[2].trim_matches(['(', ')']));
        match told.get(name) {
            None => complaints.push(format!("README.md lacks {name}")),
            Some(default) if default != present && std::env::var_os(name).is_none() => {
                complaints.push(format!("README.md: {name} is {present}, not {default}"));
            }
            Some(_) => {}
        }
    }
    let known: Vec<&str> = help.text.split_whitespace().collect();
    let extra = told.keys().filter(|name| name.starts_with("DREDIS_"));
    let extra = extra.filter(|name| !known.contains(&name.as_str()));
    complaints.extend(extra.map(|name| format!("README.md: there is no {name}")));
    none(&complaints);
}
