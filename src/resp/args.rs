//! The arguments of one command: slices of one buffer, in the order they were sent.
//!
//! [`Args`] borrows and is two pointers wide per part, so it is passed by value. [`OwnedArgs`]
//! keeps the same for later (MULTI, a parked command, a script's call). Neither knows what the
//! arguments mean; the first is the command's name only by convention.

/// Where one argument lies in the buffer: bytes `start .. end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

/// Borrowed arguments of one command. Copying it copies no argument.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Arguments at `spans` of `bytes`. Panics later, on access, where a span is out of range.
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Self {
        Self { bytes, spans }
    }

    /// Number of arguments, the command's name included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `index`; panics at `len()` and beyond, as indexing a slice does.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        let span = self.spans[index];
        &self.bytes[span.start..span.end]
    }

    /// The argument at `index`, where there is one.
    #[inline]
    pub fn try_get(&self, index: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(index)?;
        Some(&self.bytes[span.start..span.end])
    }

    /// The arguments from `first` on; none where there are fewer.
    pub fn skip(&self, first: usize) -> Args<'a> {
        let spans = self.spans.get(first..).unwrap_or(&[]);
        Args { bytes: self.bytes, spans }
    }

    /// The first `count` arguments; all where there are fewer.
    pub fn take(&self, count: usize) -> Args<'a> {
        let spans = self.spans.get(..count).unwrap_or(self.spans);
        Args { bytes: self.bytes, spans }
    }

    /// All arguments in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |span| &bytes[span.start..span.end])
    }

    /// Sum of the arguments' lengths in bytes.
    pub fn total_bytes(&self) -> usize {
        self.spans.iter().map(|span| span.end - span.start).sum()
    }

    /// A copy to keep, in two allocations.
    pub fn to_owned_args(&self) -> OwnedArgs {
        let mut owned = OwnedArgs::with_capacity(self.len(), self.total_bytes());
        for arg in self.iter() {
            owned.push(arg);
        }
        owned
    }
}

impl std::ops::Index<usize> for Args<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        self.get(index)
    }
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

/// Arguments that own their bytes.
#[derive(Clone, Debug, Default)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedArgs {
    /// None yet, with room for so many arguments of so many bytes in all.
    pub fn with_capacity(args: usize, bytes: usize) -> OwnedArgs {
        OwnedArgs { bytes: Vec::with_capacity(bytes), spans: Vec::with_capacity(args) }
    }

    /// The arguments as handlers see them.
    pub fn args(&self) -> Args<'_> {
        Args { bytes: &self.bytes, spans: &self.spans }
    }

    /// Appends one argument.
    pub fn push(&mut self, arg: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(arg);
        self.spans.push(Span { start, end: self.bytes.len() });
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for OwnedArgs {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut owned = Self::default();
        for item in items {
            owned.push(item.as_ref());
        }
        owned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_arguments_are_the_ones_collected() {
        let owned: OwnedArgs = [&b"SET"[..], b"", b"v"].into_iter().collect();
        let args = owned.args();
        assert_eq!(args.len(), 3);
        assert_eq!((args.get(0), args.get(1), &args[2]), (&b"SET"[..], &b""[..], &b"v"[..]));
        assert_eq!(args.try_get(3), None);
        assert_eq!(args.skip(1).len(), 2);
        assert!(args.skip(9).is_empty());
        assert_eq!((args.take(2).len(), args.take(9).len()), (2, 3));
        let copy = args.skip(1).to_owned_args();
        assert_eq!(copy.args().iter().collect::<Vec<_>>(), [&b""[..], b"v"]);
    }
}
