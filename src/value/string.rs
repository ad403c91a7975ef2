//! A string: bytes, loaded or not.

use crate::backlog::patched;
use crate::base::number::parse_i64;
use crate::layout::op::Content;

/// The longest value that OBJECT ENCODING calls `embstr`, as in Redis.
const EMBSTR_BYTES_MAX: usize = 44;

/// In which form Redis would keep a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// In that which fits its content best.
    #[default]
    Best,
    /// As text, though it may be an integer: what INCRBYFLOAT makes.
    Text,
    /// In a buffer that can grow: what APPEND and SETRANGE make.
    Raw,
}

/// A string of bytes. Its content may be missing: then only its existence is known.
#[derive(Clone, Debug, Default)]
pub struct StringValue {
    content: Option<Content>,
    form: Form,
}

impl StringValue {
    /// A string with this content.
    pub fn new(content: Content) -> StringValue {
        StringValue { content: Some(content), form: Form::Best }
    }

    /// A string of which only the existence is known.
    pub fn unloaded() -> StringValue {
        StringValue::default()
    }

    /// The content, where it is loaded.
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// Replaces the content.
    pub fn put(&mut self, content: Content) {
        *self = StringValue::new(content);
    }

    /// Writes `data` at `offset`, with zeros in a gap before it. The content must be loaded.
    pub fn patch(&mut self, offset: u64, data: Content) {
        let content = self.content.take().expect("a string is loaded before it is patched");
        self.content = Some(patched(content, &[(offset, data)]));
        self.form = Form::Raw;
    }

    /// Notes in which form it is kept.
    pub fn keep_as(&mut self, form: Form) {
        self.form = form;
    }

    /// What OBJECT ENCODING replies: as Redis stores it, for what is known of its history.
    pub fn encoding(&self) -> &'static str {
        let Some(content) = &self.content else { return "raw" };
        match () {
            () if self.form == Form::Raw => "raw",
            () if self.form == Form::Best
                && content.len() <= 20
                && parse_i64(content).is_some() =>
            {
                "int"
            }
            () if content.len() <= EMBSTR_BYTES_MAX => "embstr",
            () => "raw",
        }
    }

    /// Bytes it holds in memory, about.
    pub fn bytes(&self) -> usize {
        let shared = self.content.as_ref().filter(|content| content.is_allocated());
        shared.map_or(0, |content| content.capacity() + 40)
    }
}
