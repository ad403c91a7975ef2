//! Cursors: positions in a directory as numbers that a client can keep in a double.
//!
//! A file system's directory positions are numbers below 2^63: on ext4 hashes that fill that
//! range, elsewhere small. A cursor is below 2^[`CURSOR_BITS`], so that the caller has one bit
//! below 2^53 for its own use. Positions below 2^51 are their own cursors; of larger ones the
//! lower 12 bits are dropped. A walk therefore ends only where the cursor changes ([`may_end`]):
//! then nothing before the cursor's position is unread and nothing behind it has been read.
//! Pure functions; knows nothing of names.

/// Bits of a cursor.
pub const CURSOR_BITS: u32 = 52;

const LARGE: u64 = 1 << (CURSOR_BITS - 1);
const DROPPED_BITS: u32 = 63 - (CURSOR_BITS - 1);

/// The cursor of a directory position (below 2^63). Growing positions have cursors that do not
/// shrink; only position 0 has cursor 0.
pub fn cursor_from_position(position: u64) -> u64 {
    if position < LARGE {
        position
    } else {
        LARGE | (position.min(i64::MAX as u64) >> DROPPED_BITS)
    }
}

/// The lowest position that has this cursor. Any number is taken: a client may send what it likes.
pub fn position_from_cursor(cursor: u64) -> u64 {
    let cursor = cursor & ((1 << CURSOR_BITS) - 1);
    if cursor < LARGE { cursor } else { LARGE.max((cursor ^ LARGE) << DROPPED_BITS) }
}

/// Whether a walk may end between an entry at `position` and the one at `next`.
pub fn may_end(position: u64, next: u64) -> bool {
    cursor_from_position(position) != cursor_from_position(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_positions_are_exact() {
        for position in [0, 1, 12, 4096, (1 << 40) + 7, LARGE - 1] {
            assert_eq!(position_from_cursor(cursor_from_position(position)), position);
        }
    }

    #[test]
    fn large_positions_are_rounded_down_and_keep_their_order() {
        let step = (i64::MAX as u64) / 9973;
        let mut before = 0;
        for index in 1..=9973u64 {
            let position = index * step + index % 4096;
            let cursor = cursor_from_position(position);
            assert!(cursor < 1 << CURSOR_BITS && cursor > before);
            let back = position_from_cursor(cursor);
            assert!(back <= position && position - back < 1 << DROPPED_BITS);
            assert_eq!(cursor_from_position(back), cursor);
            before = cursor;
        }
    }

    #[test]
    fn every_cursor_a_client_sends_is_a_position() {
        for cursor in [u64::MAX, 1 << 53, LARGE, LARGE + 1, LARGE - 1, (1 << 52) - 1] {
            assert!(position_from_cursor(cursor) < 1 << 63);
        }
    }

    #[test]
    fn a_walk_ends_only_where_the_cursor_changes() {
        assert!(may_end(3, 4));
        let large = 0x1234_5678_9abc_d000;
        assert!(!may_end(large, large + 1));
        assert!(may_end(large, large + (1 << DROPPED_BITS)));
    }
}
