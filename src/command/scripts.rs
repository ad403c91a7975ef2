//! Scripts: the interpreter that knows them, and whether one runs for long.

use crate::lua::Interpreter;
use corosensei::stack::DefaultStack;

/// Bytes of the stack that a script runs on; what it does not use takes no memory.
const STACK_BYTES: usize = 8 << 20;

/// The scripts of the server.
#[derive(Default)]
pub struct Scripts {
    /// The interpreter: none before the first script, and none while one runs.
    interpreter: Option<Interpreter>,
    /// The stack that the last script ran on.
    stack: Option<DefaultStack>,
    /// A script runs longer than `busy-reply-threshold`: others are told so.
    pub busy: bool,
    /// It is to end.
    pub killed: bool,
}

impl Scripts {
    /// The interpreter; a new one may take so many bytes. Call it while no script runs.
    pub fn interpreter(&mut self, bytes_max: u64) -> &mut Interpreter {
        self.interpreter.get_or_insert_with(|| Interpreter::new(bytes_max as usize))
    }

    /// Takes the interpreter to run a script; [`Scripts::take_stack`] has a stack for it.
    pub fn take(&mut self, bytes_max: u64) -> Interpreter {
        self.interpreter.take().unwrap_or_else(|| Interpreter::new(bytes_max as usize))
    }

    /// The stack that the last script ran on, or a new one.
    pub fn take_stack(&mut self) -> DefaultStack {
        let new = || DefaultStack::new(STACK_BYTES).expect("an address space has room for a stack");
        self.stack.take().unwrap_or_else(new)
    }

    /// Gives both back.
    pub fn give_back(&mut self, interpreter: Interpreter, stack: DefaultStack) {
        self.interpreter = Some(interpreter);
        self.stack = Some(stack);
    }

    /// Forgets all scripts.
    pub fn forget_all(&mut self) {
        self.interpreter = None;
    }

    /// Whether there is a script with this SHA-1.
    pub fn knows(&self, sha: &str) -> bool {
        self.interpreter.as_ref().is_some_and(|interpreter| interpreter.knows(sha))
    }

    /// Bytes that the interpreter takes.
    pub fn bytes(&self) -> usize {
        self.interpreter.as_ref().map_or(0, Interpreter::memory_bytes)
    }
}
