//! What a check found, as text for people and as JSON for programs.
//!
//! Findings have a level: a problem is data that is lost, damaged or not seen by the server;
//! pending is what the next start brings in order from the journal; a hint is worth a look. Of each
//! kind at most [`LISTED_MAX`] findings are listed, all are counted. Knows nothing of how they were
//! found.

use crate::journal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// So many findings of one level and kind are listed.
pub const LISTED_MAX: u64 = 1_000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Lost, damaged, or not seen by the server.
    Problem,
    /// The next start brings it in order from the journal.
    Pending,
    /// Worth a look.
    Hint,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something that is not data, whatever its name says.
    Stranger,
    /// A directory without `type`.
    HalfKey,
    /// A key that cannot be read.
    Damage,
    /// A hashed name that does not lead to its key or element.
    LongName,
    /// The index of a sorted set.
    Index,
    /// The journal cannot be replayed.
    Journal,
    /// A copy that is not finished.
    Incomplete,
    /// The file system refused a look.
    Unreadable,
    /// What a crash left behind and the next start removes.
    Leftover,
    /// Others can read a file or directory.
    Mode,
}

impl Level {
    const ALL: [Level; 3] = [Level::Problem, Level::Pending, Level::Hint];

    const fn name(self) -> &'static str {
        match self {
            Level::Problem => "problems",
            Level::Pending => "pending",
            Level::Hint => "hints",
        }
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Stranger => "stranger",
            Kind::HalfKey => "half-key",
            Kind::Damage => "damage",
            Kind::LongName => "long-name",
            Kind::Index => "index",
            Kind::Journal => "journal",
            Kind::Incomplete => "incomplete",
            Kind::Unreadable => "unreadable",
            Kind::Leftover => "leftover",
            Kind::Mode => "mode",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub kind: Kind,
    /// Where: below ROOT_DIR, fit for a terminal.
    pub path: String,
    /// What it is, and what can be done.
    pub what: String,
}

/// What one database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// Keys that can be read.
    pub keys: u64,
    /// Those of them with a deadline.
    pub deadlines: u64,
    /// Elements of collections.
    pub elements: u64,
    /// Bytes of strings and of what elements hold.
    pub bytes: u64,
}

/// Everything that a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// ROOT_DIR, as it was given.
    pub root: String,
    /// The databases in their order.
    pub databases: Vec<Database>,
    /// The journal; none where there is no such folder.
    pub journal: Option<journal::Report>,
    /// The first findings of each level and kind, in the order of their discovery.
    pub findings: Vec<Finding>,
    counts: BTreeMap<(Level, Kind), u64>,
}

impl Report {
    /// An empty report of the directory `root`.
    pub fn new(root: String) -> Report {
        Report { root, ..Report::default() }
    }

    /// Adds a finding.
    pub fn add(&mut self, level: Level, kind: Kind, path: String, what: impl Into<String>) {
        let count = self.counts.entry((level, kind)).or_default();
        *count += 1;
        if *count <= LISTED_MAX {
            self.findings.push(Finding { level, kind, path, what: what.into() });
        }
    }

    /// How many findings there are of a level, the unlisted ones too.
    pub fn count(&self, level: Level) -> u64 {
        self.counts.iter().filter(|((of, _), _)| *of == level).map(|(_, count)| count).sum()
    }

    /// Whether nothing is lost or damaged.
    pub fn is_sound(&self) -> bool {
        self.count(Level::Problem) == 0
    }

    fn of(&self, level: Level) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.level == level)
    }

    /// The report as lines of text.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n\n", self.root);
        self.text_of_databases(&mut out);
        self.text_of_journal(&mut out);
        for level in Level::ALL {
            self.text_of_level(level, &mut out);
        }
        let verdict = match self.count(Level::Problem) {
            0 => "sound".to_owned(),
            1 => "1 problem".to_owned(),
            problems => format!("{problems} problems"),
        };
        let _ = writeln!(out, "\n{verdict}");
        out
    }

    fn text_of_databases(&self, out: &mut String) {
        let heads = ["database", "keys", "with a deadline", "elements", "bytes of values"];
        let mut rows = vec![heads.map(str::to_owned)];
        for (db, of) in self.databases.iter().enumerate().filter(|(_, of)| of.keys > 0) {
            rows.push([
                db.to_string(),
                thousands(of.keys),
                thousands(of.deadlines),
                thousands(of.elements),
                thousands(of.bytes),
            ]);
        }
        if rows.len() == 1 {
            out.push_str("no keys\n");
            return;
        }
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(width);
        for [db, keys, deadlines, elements, bytes] in &rows {
            let _ = write!(out, "{db:>a$}  {keys:>b$}  {deadlines:>c$}  ");
            let _ = writeln!(out, "{elements:>d$}  {bytes:>e$}");
        }
    }

    fn text_of_journal(&self, out: &mut String) {
        let Some(journal) = &self.journal else {
            out.push_str("no journal: the tree is all there is\n");
            return;
        };
        let (records, bytes) = (thousands(journal.records), thousands(journal.bytes));
        let _ = write!(
            out,
            "journal: {} segments, checkpoint {}, ",
            journal.segments, journal.checkpoint
        );
        let _ = match journal.records {
            0 => writeln!(out, "nothing to replay"),
            1 => writeln!(out, "1 record ({bytes} bytes) to replay at the next start"),
            _ => writeln!(out, "{records} records ({bytes} bytes) to replay at the next start"),
        };
        if journal.from_backup {
            out.push_str("journal: this is a copy made by a backup\n");
        }
    }

    pub(super) fn text_of_level(&self, level: Level, out: &mut String) {
        let total = self.count(level);
        if total == 0 {
            return;
        }
        let _ = writeln!(out, "\n{} ({}):", level.name(), thousands(total));
        let kinds = self.of(level).map(|finding| finding.kind.name().len()).max().unwrap_or(0);
        let paths = self.of(level).map(|finding| finding.path.chars().count());
        let paths = paths.max().unwrap_or(0).min(40);
        for Finding { kind, path, what, .. } in self.of(level) {
            let _ = writeln!(out, "  {:kinds$}  {path:paths$}  {what}", kind.name());
        }
        let listed = self.of(level).count() as u64;
        if listed < total {
            let _ = writeln!(out, "  and {} more", thousands(total - listed));
        }
    }

    /// The report as a JSON value: counts hold all findings, lists the first ones of each kind.
    pub fn json(&self) -> Value {
        let databases: serde_json::Map<String, Value> = self
            .databases
            .iter()
            .enumerate()
            .filter(|(_, of)| of.keys > 0)
            .map(|(db, of)| {
                let row = json!({
                    "keys": of.keys, "deadlines": of.deadlines, "elements": of.elements,
                    "value_bytes": of.bytes,
                });
                (db.to_string(), row)
            })
            .collect();
        let journal = self.journal.as_ref().map(|journal| {
            json!({
                "segments": journal.segments,
                "checkpoint": journal.checkpoint,
                "last": journal.last,
                "records": journal.records,
                "record_bytes": journal.bytes,
                "from_backup": journal.from_backup,
            })
        });
        let mut out = json!({
            "root": self.root,
            "sound": self.is_sound(),
            "databases": databases,
            "journal": journal,
            "counts": {},
        });
        for level in Level::ALL {
            out["counts"][level.name()] = json!(self.count(level));
            let list = self.of(level).map(|Finding { kind, path, what, .. }| {
                json!({ "kind": kind.name(), "path": path, "what": what })
            });
            out[level.name()] = list.collect();
        }
        out
    }
}

/// A number with its thousands set apart.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        for (number, expect) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(thousands(number), expect);
        }
    }

    #[test]
    fn what_is_not_listed_is_counted() {
        let mut report = Report::default();
        for at in 0..LISTED_MAX + 5 {
            report.add(Level::Hint, Kind::Mode, format!("0/{at}"), "mode 0644");
        }
        assert!(report.is_sound());
        assert_eq!(report.count(Level::Hint), LISTED_MAX + 5);
        assert_eq!(report.findings.len() as u64, LISTED_MAX);
        assert!(report.text().contains("hints (1,005):") && report.text().contains("and 5 more"));
        assert_eq!(report.json()["counts"]["hints"], 1005);
    }
}
