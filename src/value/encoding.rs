//! In which form Redis 7.2 would keep a collection: what OBJECT ENCODING replies.
//!
//! A form follows from what a key has held, not only from what it holds: Redis goes to a larger
//! form when an element does not fit, and never back while the key lives. So it is a mark that
//! only grows, kept up with each insertion. The limits are those of Redis' default configuration.

use crate::base::number::parse_i64;

/// Most members of an intset: `set-max-intset-entries`.
const INTSET_ELEMENTS_MAX: u64 = 512;
/// Most elements of a listpack: `set-max-listpack-entries` and `zset-max-listpack-entries`.
pub const LISTPACK_ELEMENTS_MAX: u64 = 128;
/// Most fields of a listpack: `hash-max-listpack-entries`.
pub const LISTPACK_FIELDS_MAX: u64 = 512;
/// Longest element of a listpack, in bytes: `set-max-listpack-value` and its like.
const LISTPACK_ELEMENT_BYTES_MAX: usize = 64;

/// The form of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not known: the collection was never in memory as a whole. Shown as [`Encoding::Table`].
    Unknown,
    /// A sorted array of integers; only of sets.
    Intset,
    /// A short list of short elements.
    Listpack,
    /// The form for all else, which has a name of its own in each type.
    Table,
}

impl Encoding {
    /// The name that OBJECT ENCODING replies; `table` is that of [`Encoding::Table`].
    pub fn name(self, table: &'static str) -> &'static str {
        match self {
            Encoding::Intset => "intset",
            Encoding::Listpack => "listpack",
            Encoding::Unknown | Encoding::Table => table,
        }
    }

    /// Grows to a form that can hold this member, field or value.
    pub fn fit(&mut self, element: &[u8]) {
        *self = match *self {
            Encoding::Unknown => Encoding::Unknown,
            Encoding::Intset if parse_i64(element).is_some() => Encoding::Intset,
            Encoding::Intset | Encoding::Listpack
                if element.len() <= LISTPACK_ELEMENT_BYTES_MAX =>
            {
                Encoding::Listpack
            }
            _ => Encoding::Table,
        }
    }

    /// Grows to a form that can hold so many elements, of which a listpack takes `listpack_max`.
    pub fn hold(&mut self, count: u64, listpack_max: u64) {
        let count_max = match self {
            Encoding::Intset => INTSET_ELEMENTS_MAX,
            Encoding::Listpack => listpack_max,
            Encoding::Unknown | Encoding::Table => u64::MAX,
        };
        if count > count_max {
            *self = Encoding::Table;
        }
    }

    /// The form that starts as this one and has been given all of `elements`, `count` in number.
    pub fn grown<'a>(
        mut self,
        count: u64,
        listpack_max: u64,
        elements: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let mut elements = elements.into_iter();
        self.hold(count, listpack_max);
        while self != Encoding::Table
            && let Some(element) = elements.next()
        {
            self.fit(element);
            self.hold(count, listpack_max);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_grow_as_in_redis() {
        let (long, longest) = ("x".repeat(65), "x".repeat(64));
        let (start, list, table) = (Encoding::Intset, Encoding::Listpack, Encoding::Table);
        for (from, count, element, expect) in [
            (start, 1, "1", start),
            (start, 512, "-9223372036854775808", start),
            (start, 513, "1", table),
            (start, 1, "9223372036854775808", list),
            (start, 128, "01", list),
            (start, 129, "a", table),
            (start, 1, &long, table),
            (list, 1, "1", list),
            (list, 128, &longest, list),
            (list, 129, "1", table),
            (list, 1, &long, table),
            (table, 1, "1", table),
            (Encoding::Unknown, 1, "1", Encoding::Unknown),
        ] {
            let mut form = from;
            form.fit(element.as_bytes());
            form.hold(count, LISTPACK_ELEMENTS_MAX);
            assert_eq!(form, expect, "{from:?}, {count} with {element}");
            assert_eq!(from.grown(count, LISTPACK_ELEMENTS_MAX, [element.as_bytes()]), expect);
        }
        assert_eq!(
            start.grown(2, LISTPACK_ELEMENTS_MAX, [&b"1"[..], b"b"]).name("hashtable"),
            "listpack"
        );
        assert_eq!(
            start.grown(600, LISTPACK_ELEMENTS_MAX, [&b"1"[..]]).name("hashtable"),
            "hashtable"
        );
        assert_eq!(start.grown(0, LISTPACK_ELEMENTS_MAX, []).name("hashtable"), "intset");
        assert_eq!(Encoding::Unknown.name("skiplist"), "skiplist");
    }
}
