//! What LATENCY says to people: DOCTOR's text and GRAPH's columns, see
//! <https://redis.io/commands/latency-doctor/> and <https://redis.io/commands/latency-graph/>.

use crate::command::profile::Event;
use std::fmt::Write;

/// Rows of a graph.
const ROWS: usize = 4;
/// How high a column reaches into its topmost row.
const TOPS: [char; 3] = ['_', 'o', '#'];
/// What a column is made of below that.
const BODY: char = '|';
/// Columns of a graph, and the length of the line above it.
const COLUMNS: usize = 80;

/// What the events tell, and what to do about each.
pub fn doctor<'a>(
    events: impl Iterator<Item = (&'a str, &'a Event)>,
    threshold_ms: u64,
    now_s: u64,
) -> String {
    if threshold_ms == 0 {
        return "Nothing is watched: CONFIG SET latency-monitor-threshold <milliseconds> has \
                events noted that take so long.\n"
            .into();
    }
    let mut out = String::new();
    for (number, (name, event)) in (1..).zip(events) {
        let all: Vec<u64> = event.samples.iter().map(|(_, ms)| *ms).collect();
        let count = all.len().max(1) as u64;
        let mean = all.iter().sum::<u64>() / count;
        let deviation = all.iter().map(|ms| ms.abs_diff(mean)).sum::<u64>() / count;
        let since_s = event.samples.front().map_or(0, |(time_s, _)| now_s.saturating_sub(*time_s));
        let line = format!(
            "{number}. {name}: {} seconds with a sample in the last {since_s} s, {mean} ms on \
             average (mean deviation {deviation} ms), at most {} ms.\n   {}\n",
            all.len(),
            event.max_ms,
            advice(name),
        );
        out.push_str(&line);
    }
    match out.is_empty() {
        true => format!("No event has taken {threshold_ms} ms or more.\n"),
        false => out,
    }
}

fn advice(name: &str) -> &'static str {
    match name {
        "aof-fsync-always" => {
            "The disk took so long to sync the journal: see what else writes to it, and \
             journal_sync_us in INFO dredis."
        }
        "fast-command" => {
            "A command that takes no time by itself: the processor was busy with something else."
        }
        _ => "SLOWLOG GET lists the commands: ask for less at a time, with SCAN and its like.",
    }
}

/// The newest samples of an event as columns, the oldest first, and below each how long ago it was.
pub fn graph(name: &str, event: &Event, now_s: u64) -> String {
    let skipped = event.samples.len().saturating_sub(COLUMNS);
    let shown: Vec<(u64, u64)> = event.samples.iter().skip(skipped).copied().collect();
    let high = shown.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
    let low = shown.iter().map(|(_, ms)| *ms).min().unwrap_or(0);
    let mut out = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        event.max_ms,
        "-".repeat(COLUMNS)
    );
    let steps = (ROWS * TOPS.len()) as u64 - 1;
    let heights: Vec<usize> =
        shown.iter().map(|(_, ms)| ((ms - low) * steps / (high - low).max(1)) as usize).collect();
    for row in (0..ROWS).rev() {
        let column = |height: &usize| match (height / TOPS.len()).cmp(&row) {
            std::cmp::Ordering::Less => ' ',
            std::cmp::Ordering::Equal => TOPS[height % TOPS.len()],
            std::cmp::Ordering::Greater => BODY,
        };
        push_line(&mut out, heights.iter().map(column).collect());
    }
    let ages: Vec<Vec<char>> = shown
        .iter()
        .map(|(time_s, _)| age(now_s.saturating_sub(*time_s)).chars().collect())
        .collect();
    out.push('\n');
    for row in 0..ages.iter().map(Vec::len).max().unwrap_or(0) {
        let letter = |age: &Vec<char>| age.get(row).copied().unwrap_or(' ');
        push_line(&mut out, ages.iter().map(letter).collect());
    }
    out
}

fn push_line(out: &mut String, line: String) {
    writeln!(out, "{}", line.trim_end()).expect("a string takes any text");
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(samples: &[(u64, u64)]) -> Event {
        let max_ms = samples.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
        Event { samples: samples.iter().copied().collect(), max_ms }
    }

    #[test]
    fn columns_are_as_high_as_samples_are_long() {
        let event = event(&[(0, 10), (7_000, 20), (9_940, 40), (9_999, 43)]);
        let head = "command - high 43 ms, low 10 ms (all time high 43 ms)";
        let line = "-".repeat(80);
        let rows = ["  o#", "  ||", " _||", "_|||", "", "2511", "h0ms", " m"];
        let expect = [&[head, &line], &rows[..]].concat();
        assert_eq!(graph("command", &event, 10_000).lines().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn the_doctor_says_what_is_to_be_done() {
        let slow = event(&[(90, 10), (95, 30)]);
        let none = std::iter::empty();
        assert!(doctor(none.clone(), 0, 100).contains("CONFIG SET latency-monitor-threshold"));
        assert_eq!(doctor(none, 5, 100), "No event has taken 5 ms or more.\n");
        let text = doctor([("command", &slow)].into_iter(), 5, 100);
        assert!(text.starts_with(
            "1. command: 2 seconds with a sample in the last 10 s, 20 ms on average (mean \
             deviation 10 ms), at most 30 ms.\n   SLOWLOG GET"
        ));
    }
}
