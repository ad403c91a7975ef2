//! Typed values: what a key holds, in memory.
//!
//! Each type has its structure and its few mutators here. Only they change a value; the keyspace
//! records the op of each. *Loading what the ops made gives the value in memory* is the property
//! that everything rests on. Values know nothing of files, clients or time.

pub mod elements;
pub mod encoding;
pub mod hash;
pub mod order;
pub mod set;
pub mod string;
pub mod zset;

use crate::layout::op::Type;
pub use string::{Form, StringValue};

/// A value of any type, whole or in part.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string.
    String(StringValue),
}

impl Value {
    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Value::String(_) => Type::String,
        }
    }

    /// Bytes it holds in memory, about.
    pub fn bytes(&self) -> usize {
        match self {
            Value::String(string) => string.bytes(),
        }
    }
}
