//! Score groups: the members of a sorted set that share a score.
//!
//! ```text
//! file  = *line                          <key>/scores/<score>, up to FILE_BYTES_MAX bytes
//! line  = name LF                        the encoding of a member's bytes, plain or hashed
//! ```
//!
//! Example: `ann\nbob\n` in `scores/1.5`. A group of more members than fit is a directory of that
//! name with an empty file a member; it becomes a file again below [`DIR_BYTES_MIN`] bytes of
//! lines. The full name of a hashed line is in the companion of the same name in `values/`. What is
//! not a whole line of a canonical name is what a power cut left of one: it says nothing. Pure
//! functions.

use crate::layout::names::{self, Entry};

/// A file of this size takes no further line: the group becomes a directory.
pub const FILE_BYTES_MAX: usize = 4096;
/// A directory of fewer bytes of lines becomes a file.
pub const DIR_BYTES_MIN: usize = 1024;

/// The names in the lines of a group's file, in their order; one may come twice where people wrote
/// them.
pub fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = content.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
    content[..whole].split(|&byte| byte == b'\n').filter(|line| is_line(line))
}

fn is_line(line: &[u8]) -> bool {
    matches!(names::classify(line), Entry::Plain(_) | Entry::Hashed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_of_names_count() {
        for (content, expect) in [
            (&b""[..], &[][..]),
            (b"ann\nbob\n", &[&b"ann"[..], b"bob"]),
            (b"ann\nbo", &[b"ann"]),
            (b"ann", &[]),
            (b"\n", &[]),
            (b"ann\n\nbob\n", &[b"ann", b"bob"]),
            (b"ann\n\0\0\0\n", &[b"ann"]),
            (b"\0\0b\na b\n%\n%41\n../x\n", &[b"a b", b"%"]),
        ] {
            let found: Vec<&[u8]> = lines(content).collect();
            assert_eq!(found, expect, "{}", content.escape_ascii());
        }
    }
}
