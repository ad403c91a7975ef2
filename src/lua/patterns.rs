//! Lua's patterns, matched in steps that are counted, so that others can be served in between.
//!
//! ```text
//! x . %a [set]   one byte, behind it perhaps * + - ?    (...)  a capture     ()    its position
//! ^ $            the start (for who asks), the end      %1     that capture  %bxy  from x to its y
//! %f[set]        between a byte that is not in the set and one that is
//! ```
//!
//! All is as in Lua 5.1, where a pattern ends at its first NUL, and what is wrong with it is found
//! only where matching gets there. Choices that are left are kept in a list, so matching needs no
//! depth of the stack. Nothing here knows of Lua's values.

use smallvec::SmallVec;

/// A pattern has no more captures.
const CAPTURES_MAX: usize = 32;
/// So many repetitions and captures of a pattern may be open at a time.
const CHOICES_MAX: usize = 100_000;
/// After so many steps somebody is asked whether to go on.
const STEPS_PER_QUESTION: usize = 10_000;
/// So many bytes are compared in the time of a step,
const BYTES_PER_STEP: usize = 64;
/// and so many of a set looked through.
const SET_BYTES_PER_STEP: usize = 8;
/// A plain search asks after so many bytes, or as many as it searches for.
const PLAIN_BYTES_PER_QUESTION: usize = 64 << 10;
/// `string.find` takes a pattern without these as it is.
const SPECIALS: &[u8] = b"^$*+?.([%-";

/// Why matching ended before there was a result.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure<E> {
    /// The pattern is wrong: what Lua says.
    Malformed(&'static str),
    /// Who was asked wants it to end.
    Stopped(E),
}

/// What a pair of parentheses captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capture {
    /// It was not closed; where it began.
    Open(usize),
    /// `()`: where that was.
    Position(usize),
    /// Start and end.
    Text(usize, usize),
}

/// What else can be tried when what follows does not match, or has to be taken back first.
#[derive(Clone, Copy)]
enum Choice {
    /// `*`, `+`: one repetition fewer than `more`, and then the item at `then`.
    Fewer { from: usize, more: usize, then: usize },
    /// `-`: one repetition more of the byte at `item`, which ends at `end`.
    More { at: usize, item: usize, end: usize },
    /// `?`: without it.
    Without { at: usize, then: usize },
    /// The last capture goes.
    Opened,
    /// A capture, which began at `from`, is open again.
    Closed { capture: usize, from: usize },
}

/// Where matching goes on: in the text, and in the pattern.
type Point = (usize, usize);

/// A pattern, and the text in which it is looked for.
pub(super) struct Matcher<'a, P> {
    text: &'a [u8],
    pattern: &'a [u8],
    captures: SmallVec<[Capture; 8]>,
    choices: SmallVec<[Choice; 8]>,
    steps: usize,
    proceed: P,
}

/// A pattern without its anchor, and whether it had one.
pub(super) fn split_anchor(pattern: &[u8]) -> (bool, &[u8]) {
    pattern.strip_prefix(b"^").map_or((false, pattern), |rest| (true, rest))
}

/// Whether `string.find` has to match it.
pub(super) fn is_special(pattern: &[u8]) -> bool {
    until_nul(pattern).iter().any(|byte| SPECIALS.contains(byte))
}

/// Where `part` first is in `text`. Asks `proceed` now and then.
pub(super) fn find_plain<E>(
    text: &[u8],
    part: &[u8],
    mut proceed: impl FnMut() -> Result<(), E>,
) -> Result<Option<usize>, E> {
    let chunk = part.len().max(PLAIN_BYTES_PER_QUESTION);
    if text.len() <= chunk {
        return Ok(memchr::memmem::find(text, part));
    }
    let finder = memchr::memmem::Finder::new(part);
    for start in (0..text.len()).step_by(chunk) {
        let end = text.len().min(start + chunk + part.len());
        if let Some(at) = finder.find(&text[start..end]) {
            return Ok(Some(start + at));
        }
        proceed()?;
    }
    Ok(None)
}

fn until_nul(pattern: &[u8]) -> &[u8] {
    &pattern[..memchr::memchr(0, pattern).unwrap_or(pattern.len())]
}

impl<'a, E, P: FnMut() -> Result<(), E>> Matcher<'a, P> {
    /// A matcher that asks `proceed` now and then.
    pub(super) fn new(text: &'a [u8], pattern: &'a [u8], proceed: P) -> Self {
        let pattern = until_nul(pattern);
        let (captures, choices) = (SmallVec::new(), SmallVec::new());
        Self { text, pattern, captures, choices, steps: 0, proceed }
    }

    /// What the last match captured.
    pub(super) fn captures(&self) -> &[Capture] {
        &self.captures
    }

    /// The first match that starts at `from` or, unless it is anchored there, behind it: its start
    /// and end.
    pub(super) fn search(
        &mut self,
        from: usize,
        anchored: bool,
    ) -> Result<Option<(usize, usize)>, Failure<E>> {
        let last = if anchored { from } else { self.text.len() };
        for start in from..=last {
            if let Some(end) = self.match_at(start)? {
                return Ok(Some((start, end)));
            }
        }
        Ok(None)
    }

    /// So many more steps are done.
    fn count(&mut self, steps: usize) -> Result<(), Failure<E>> {
        self.steps += steps;
        if self.steps < STEPS_PER_QUESTION {
            return Ok(());
        }
        self.steps = 0;
        (self.proceed)().map_err(Failure::Stopped)
    }

    /// Where the match ends that starts here.
    fn match_at(&mut self, start: usize) -> Result<Option<usize>, Failure<E>> {
        self.captures.clear();
        self.choices.clear();
        let mut point = (start, 0);
        loop {
            self.count(1)?;
            let (at, item) = point;
            if item >= self.pattern.len() {
                return Ok(Some(at));
            }
            point = match self.match_item(at, item)? {
                Some(next) => next,
                None => match self.retry() {
                    Some(next) => next,
                    None => return Ok(None),
                },
            };
        }
    }

    /// Matches the item of the pattern at `item`; where to go on if it matches.
    fn match_item(&mut self, at: usize, item: usize) -> Result<Option<Point>, Failure<E>> {
        match (self.pattern[item], self.byte(item + 1)) {
            (b'(', b')') => {
                self.open(Capture::Position(at))?;
                Ok(Some((at, item + 2)))
            }
            (b'(', _) => {
                self.open(Capture::Open(at))?;
                Ok(Some((at, item + 1)))
            }
            (b')', _) => {
                self.close(at)?;
                Ok(Some((at, item + 1)))
            }
            (b'%', b'b') => Ok(self.balance(at, item + 2)?.map(|end| (end, item + 4))),
            (b'%', b'f') => self.frontier(at, item + 2),
            (b'%', digit @ b'0'..=b'9') => {
                Ok(self.captured_again(at, digit)?.map(|end| (end, item + 2)))
            }
            (b'$', 0) => Ok((at == self.text.len()).then_some((at, item + 1))),
            _ => self.repeat(at, item),
        }
    }

    /// One byte of the text, and how often it may be there.
    fn repeat(&mut self, at: usize, item: usize) -> Result<Option<Point>, Failure<E>> {
        let end = self.item_end(item)?;
        self.count(set_steps(item, end))?;
        match self.byte(end) {
            b'?' if self.is_one(at, item, end) => {
                self.choose(Choice::Without { at, then: end + 1 })?;
                Ok(Some((at + 1, end + 1)))
            }
            b'?' => Ok(Some((at, end + 1))),
            b'*' => self.expand(at, item, end).map(Some),
            b'+' if self.is_one(at, item, end) => self.expand(at + 1, item, end).map(Some),
            b'-' => {
                self.choose(Choice::More { at, item, end })?;
                Ok(Some((at, end + 1)))
            }
            b'+' => Ok(None),
            _ => Ok(self.is_one(at, item, end).then_some((at + 1, end))),
        }
    }

    /// As many repetitions as there are.
    fn expand(&mut self, from: usize, item: usize, end: usize) -> Result<Point, Failure<E>> {
        let mut at = from;
        while self.is_one(at, item, end) {
            at += 1;
            self.count(1 + set_steps(item, end))?;
        }
        if at > from {
            self.choose(Choice::Fewer { from, more: at - from, then: end + 1 })?;
        }
        Ok((at, end + 1))
    }

    /// The last choice that is left, with all taken back that was done since.
    fn retry(&mut self) -> Option<Point> {
        while let Some(choice) = self.choices.pop() {
            match choice {
                Choice::Fewer { from, more, then } => {
                    let more = more - 1;
                    if more > 0 {
                        self.choices.push(Choice::Fewer { from, more, then });
                    }
                    return Some((from + more, then));
                }
                Choice::More { at, item, end } if self.is_one(at, item, end) => {
                    self.steps += set_steps(item, end);
                    self.choices.push(Choice::More { at: at + 1, item, end });
                    return Some((at + 1, end + 1));
                }
                Choice::More { .. } => {}
                Choice::Without { at, then } => return Some((at, then)),
                Choice::Opened => drop(self.captures.pop()),
                Choice::Closed { capture, from } => self.captures[capture] = Capture::Open(from),
            }
        }
        None
    }

    fn choose(&mut self, choice: Choice) -> Result<(), Failure<E>> {
        if self.choices.len() >= CHOICES_MAX {
            return Err(Failure::Malformed("pattern too complex"));
        }
        self.choices.push(choice);
        Ok(())
    }

    fn open(&mut self, capture: Capture) -> Result<(), Failure<E>> {
        if self.captures.len() >= CAPTURES_MAX {
            return Err(Failure::Malformed("too many captures"));
        }
        self.captures.push(capture);
        self.choose(Choice::Opened)
    }

    fn close(&mut self, at: usize) -> Result<(), Failure<E>> {
        let open = self.captures.iter().enumerate().rev().find_map(|(index, capture)| {
            if let Capture::Open(from) = capture { Some((index, *from)) } else { None }
        });
        let (capture, from) = open.ok_or(Failure::Malformed("invalid pattern capture"))?;
        self.captures[capture] = Capture::Text(from, at);
        self.choose(Choice::Closed { capture, from })
    }

    /// `%bxy`: where the balance ends that starts here.
    fn balance(&mut self, at: usize, item: usize) -> Result<Option<usize>, Failure<E>> {
        let (open, close) = (self.byte(item), self.byte(item + 1));
        if open == 0 || close == 0 {
            return Err(Failure::Malformed("unbalanced pattern"));
        }
        if self.text.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for end in at + 1..self.text.len() {
            self.count(1)?;
            if self.text[end] == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(end + 1));
                }
            } else if self.text[end] == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`
    fn frontier(&mut self, at: usize, set: usize) -> Result<Option<Point>, Failure<E>> {
        if self.byte(set) != b'[' {
            return Err(Failure::Malformed("missing '[' after '%f' in pattern"));
        }
        let end = self.item_end(set)?;
        self.count(2 * set_steps(set, end))?;
        let before = if at == 0 { 0 } else { self.text[at - 1] };
        let behind = self.text.get(at).copied().unwrap_or(0);
        let matches = !self.is_in_set(before, set, end) && self.is_in_set(behind, set, end);
        Ok(matches.then_some((at, end)))
    }

    /// `%1`: where what was captured ends if it is here again. A position is nowhere.
    fn captured_again(&mut self, at: usize, digit: u8) -> Result<Option<usize>, Failure<E>> {
        let capture = usize::from(digit).checked_sub(usize::from(b'1'));
        let capture = capture.and_then(|index| self.captures.get(index));
        match capture {
            None | Some(Capture::Open(_)) => Err(Failure::Malformed("invalid capture index")),
            Some(Capture::Position(_)) => Ok(None),
            Some(&Capture::Text(start, end)) => {
                self.count((end - start) / BYTES_PER_STEP)?;
                let matches = self.text[at..].starts_with(&self.text[start..end]);
                Ok(matches.then_some(at + (end - start)))
            }
        }
    }

    /// A byte of the pattern; 0 at its end.
    fn byte(&self, index: usize) -> u8 {
        self.pattern.get(index).copied().unwrap_or(0)
    }

    /// The end of an item that is one byte of the text.
    fn item_end(&self, item: usize) -> Result<usize, Failure<E>> {
        match self.pattern[item] {
            b'%' if item + 1 >= self.pattern.len() => {
                Err(Failure::Malformed("malformed pattern (ends with '%')"))
            }
            b'%' => Ok(item + 2),
            b'[' => self.set_end(item),
            _ => Ok(item + 1),
        }
    }

    fn set_end(&self, set: usize) -> Result<usize, Failure<E>> {
        let mut end = set + 1;
        if self.byte(end) == b'^' {
            end += 1;
        }
        // The first byte is no end.
        loop {
            match self.byte(end) {
                0 => return Err(Failure::Malformed("malformed pattern (missing ']')")),
                b'%' if self.byte(end + 1) != 0 => end += 2,
                _ => end += 1,
            }
            if self.byte(end) == b']' {
                return Ok(end + 1);
            }
        }
    }

    /// Whether the byte of the text is one that the item, which ends at `end`, means.
    fn is_one(&self, at: usize, item: usize, end: usize) -> bool {
        let Some(&byte) = self.text.get(at) else { return false };
        match self.pattern[item] {
            b'.' => true,
            b'%' => is_in_class(byte, self.pattern[item + 1]),
            b'[' => self.is_in_set(byte, item, end),
            plain => plain == byte,
        }
    }

    /// Whether it is in the set that starts at `set` and ends before `end`.
    fn is_in_set(&self, byte: u8, set: usize, end: usize) -> bool {
        let close = end - 1;
        let wanted = self.pattern[set + 1] != b'^';
        let mut at = if wanted { set + 1 } else { set + 2 };
        while at < close {
            match self.pattern[at] {
                b'%' => {
                    at += 1;
                    if is_in_class(byte, self.pattern[at]) {
                        return wanted;
                    }
                }
                low if self.pattern[at + 1] == b'-' && at + 2 < close => {
                    at += 2;
                    if (low..=self.pattern[at]).contains(&byte) {
                        return wanted;
                    }
                }
                plain if plain == byte => return wanted,
                _ => {}
            }
            at += 1;
        }
        !wanted
    }
}

/// Steps beyond the first that a look at a set takes.
fn set_steps(set: usize, end: usize) -> usize {
    (end - set) / SET_BYTES_PER_STEP
}

/// Whether it is in the class of this letter, a capital being all others; other bytes mean
/// themselves.
fn is_in_class(byte: u8, class: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return byte == class,
    };
    is == class.is_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &[u8], part: &[u8]) -> (Option<usize>, u32) {
        let mut questions = 0;
        let found = find_plain(text, part, || {
            questions += 1;
            Ok::<(), ()>(())
        });
        (found.expect("nobody ends it"), questions)
    }

    #[test]
    fn plain_searches_find_what_lies_across_a_question() {
        for length in [1, 2, 100, PLAIN_BYTES_PER_QUESTION, PLAIN_BYTES_PER_QUESTION + 1, 200_000] {
            for near in [0, length, PLAIN_BYTES_PER_QUESTION, 2 * PLAIN_BYTES_PER_QUESTION] {
                for at in near.saturating_sub(2)..near + 3 {
                    let mut text = vec![b'a'; at];
                    text.resize(at + length, b'b');
                    text.resize(at + length + 100_000, b'a');
                    assert_eq!(find(&text, &text[at..at + length]).0, Some(at), "{length} {at}");
                }
            }
        }
        assert_eq!(find(b"", b""), (Some(0), 0));
        assert_eq!(find(b"a", b"ab"), (None, 0));
        assert_eq!(find(&[b'a'; 10 * PLAIN_BYTES_PER_QUESTION], b"b"), (None, 10));
    }

    #[test]
    fn all_steps_are_counted() {
        let (text, pattern) = ([b'a'; 100], b".-.-.-b");
        let mut questions = 0;
        let mut matcher = Matcher::new(&text, pattern, || {
            questions += 1;
            if questions < 10 { Ok(()) } else { Err("stopped") }
        });
        assert_eq!(matcher.search(0, false), Err(Failure::Stopped("stopped")));
        let mut matcher = Matcher::new(&text, b"(a)(.-)%1$", || Err(()));
        assert_eq!(matcher.search(98, false), Ok(Some((98, 100))));
        assert_eq!(matcher.captures(), [Capture::Text(98, 99), Capture::Text(99, 99)]);
    }
}
