//! Scripts: the interpreter, which works on a stack of its own, and how the server talks with it.
//!
//! The interpreter is a coroutine that lives as long as its scripts are known. It is given orders,
//! and while it carries one out it asks: for commands, and whether it may go on. So a script
//! borrows nothing of the server, and can stay suspended for as long as others are served.

use crate::lua::{Called, Ended, Flags, Host, Interpreter, LogLevel, NO_MEMORY, STACK_BYTES_MIN};
use crate::resp::{OwnedArgs, Protocol, Reply};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use hashbrown::HashMap;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Bytes of the interpreter's stack; what it does not use takes no memory.
const STACK_BYTES: usize = 2 * STACK_BYTES_MIN;

/// The interpreter on its stack.
pub type Routine = Coroutine<Answer, Ask, (), DefaultStack>;

/// What the interpreter asks for when it leaves its stack.
pub enum Ask {
    /// For the next order: this came of the last one.
    Order(Done),
    /// To run this command, and its reply in this protocol.
    Call(OwnedArgs, Protocol),
    /// Whether there is such a command, and it may be run.
    MayCall(OwnedArgs),
    /// To let others be served.
    Pause,
}

/// What it finds when it goes on.
pub enum Answer {
    /// This is to be done.
    Order(Order),
    /// The reply to its command.
    Reply(Vec<u8>),
    /// Whether it may run that command.
    May(Option<bool>),
    /// It may go on until then before it pauses again.
    Until(Instant),
    /// The script ends, or, where none runs, the interpreter.
    Stop,
}

/// What the interpreter is to do.
pub enum Order {
    /// Compile a script and keep it under its SHA-1.
    Compile(String, Vec<u8>),
    /// Forget the scripts with these.
    Forget(Vec<String>),
    /// Run a script that is kept.
    Run(Box<Run>),
}

/// A run of a script.
pub struct Run {
    /// The script's SHA-1.
    pub sha: String,
    /// Its keys and, behind so many, its arguments.
    pub args: OwnedArgs,
    /// How many of them are keys.
    pub keys: usize,
    /// The protocol of the reply,
    pub protocol: Protocol,
    /// and how many bytes it may have.
    pub reply_max: usize,
    /// It may run until then before it pauses.
    pub until: Instant,
}

/// What came of an order.
pub struct Done {
    /// The result.
    pub outcome: Outcome,
    /// Bytes that the interpreter takes now.
    pub bytes: usize,
}

/// The result of an order.
pub enum Outcome {
    /// The script's flags, or the error's text from its code on.
    Compiled(Result<Flags, Vec<u8>>),
    /// They are forgotten.
    Forgot,
    /// How the run ended, and its reply.
    Ran(Ended, Vec<u8>),
}

/// The interpreter's link to the server.
struct Link<'y> {
    yielder: &'y Yielder<Answer, Ask>,
    until: &'y Cell<Instant>,
    stopping: Arc<AtomicUsize>,
}

impl Host for Link<'_> {
    fn call(&mut self, args: OwnedArgs, protocol: Protocol) -> Called {
        match self.yielder.suspend(Ask::Call(args, protocol)) {
            Answer::Reply(reply) => Called::Reply(reply),
            _ => Called::Stop,
        }
    }

    fn may_call(&mut self, args: OwnedArgs) -> Option<bool> {
        match self.yielder.suspend(Ask::MayCall(args)) {
            Answer::May(may) => may,
            _ => None,
        }
    }

    fn proceed(&mut self) -> bool {
        let stopping = self.stopping.load(Ordering::Relaxed) > 0;
        if Instant::now() < self.until.get() && !stopping {
            return true;
        }
        match self.yielder.suspend(Ask::Pause) {
            Answer::Until(until) => self.until.set(until),
            _ => return false,
        }
        true
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        let level = match level {
            LogLevel::Debug => log::Level::Trace,
            LogLevel::Verbose => log::Level::Debug,
            LogLevel::Notice => log::Level::Info,
            LogLevel::Warning => log::Level::Warn,
        };
        log::log!(level, "script: {}", String::from_utf8_lossy(text));
    }
}

/// Carries out orders until there is none.
fn work(
    bytes_max: usize,
    stopping: Arc<AtomicUsize>,
    yielder: &Yielder<Answer, Ask>,
    first: Answer,
) {
    let until = Cell::new(Instant::now());
    let mut link = Link { yielder, until: &until, stopping };
    Interpreter::new(bytes_max).open(&mut link, |lua| {
        let mut answer = first;
        while let Answer::Order(order) = answer {
            let outcome = match order {
                Order::Compile(sha, text) => Outcome::Compiled(lua.compile(&sha, &text)),
                Order::Forget(shas) => {
                    lua.forget(&shas);
                    Outcome::Forgot
                }
                Order::Run(run) => {
                    until.set(run.until);
                    let (keys, args) = (run.args.args().take(run.keys), run.args.args());
                    let mut bytes = Vec::new();
                    let mut reply = Reply::new(&mut bytes, run.protocol);
                    let given = [keys, args.skip(run.keys)];
                    let ended = lua.run(&run.sha, given, run.reply_max, &mut reply);
                    Outcome::Ran(ended, bytes)
                }
            };
            answer = yielder.suspend(Ask::Order(Done { outcome, bytes: lua.memory_bytes() }));
        }
    });
}

/// A script that the interpreter keeps.
struct Known {
    flags: Flags,
    /// SCRIPT LOAD has asked for it: only SCRIPT FLUSH has it forgotten.
    loaded: bool,
    /// The higher, the later it was used.
    used: u64,
}

/// The scripts of the server.
#[derive(Default)]
pub struct Scripts {
    /// The interpreter: none before the first script, and none while one runs.
    interpreter: Option<Routine>,
    /// The scripts that it keeps, by their SHA-1.
    known: HashMap<String, Known>,
    /// How often one was used.
    uses: u64,
    /// Bytes that it takes.
    bytes: usize,
    /// A script runs longer than `busy-reply-threshold`: others are told so.
    pub busy: bool,
    /// It is to end.
    pub killed: bool,
    /// How often the server was told to stop: scripts pause then, so that it can.
    pub stopping: Arc<AtomicUsize>,
}

impl Scripts {
    /// Has a script compiled and kept under its SHA-1; the interpreter may take so many bytes.
    /// Where that is not enough, those are forgotten that were not used for the longest time, but
    /// not what SCRIPT LOAD has asked for. The error is the text of a reply, from its code on. Call
    /// it while no script runs.
    pub fn compile(&mut self, bytes_max: u64, sha: &str, text: &[u8]) -> Result<(), Vec<u8>> {
        loop {
            let order = Order::Compile(sha.to_owned(), text.to_vec());
            let Outcome::Compiled(compiled) = self.carry_out(bytes_max, order) else {
                unreachable!("it was to compile")
            };
            match compiled {
                Err(error) if error == NO_MEMORY && self.forget_half(bytes_max) => {}
                compiled => {
                    let flags = compiled?;
                    let known = Known { flags, loaded: false, used: self.uses };
                    self.known.insert(sha.to_owned(), known);
                    return Ok(());
                }
            }
        }
    }

    /// Forgets the half of the scripts of EVAL that was not used for longer than the other one.
    /// Answers whether there was any.
    fn forget_half(&mut self, bytes_max: u64) -> bool {
        let evaluated = self.known.iter().filter(|(_, known)| !known.loaded);
        let mut by_use: Vec<_> = evaluated.map(|(sha, known)| (known.used, sha.clone())).collect();
        by_use.sort_unstable();
        by_use.truncate(by_use.len().div_ceil(2));
        let shas: Vec<_> = by_use.into_iter().map(|(_, sha)| sha).collect();
        for sha in &shas {
            self.known.remove(sha);
        }
        let any = !shas.is_empty();
        if any {
            self.carry_out(bytes_max, Order::Forget(shas));
        }
        any
    }

    /// Has an order carried out that asks for nothing.
    fn carry_out(&mut self, bytes_max: u64, order: Order) -> Outcome {
        let mut interpreter = self.take(bytes_max);
        let CoroutineResult::Yield(Ask::Order(done)) = interpreter.resume(Answer::Order(order))
        else {
            unreachable!("only a script asks for anything")
        };
        self.give_back(interpreter, done.bytes);
        done.outcome
    }

    /// Takes the interpreter, to run a script.
    pub fn take(&mut self, bytes_max: u64) -> Routine {
        self.interpreter.take().unwrap_or_else(|| {
            let stack = DefaultStack::new(STACK_BYTES);
            let stack = stack.expect("an address space has room for a stack");
            let stopping = self.stopping.clone();
            Routine::with_stack(stack, move |yielder, first| {
                work(bytes_max as usize, stopping, yielder, first);
            })
        })
    }

    /// Gives it back; it takes so many bytes now.
    pub fn give_back(&mut self, interpreter: Routine, bytes: usize) {
        self.interpreter = Some(interpreter);
        self.bytes = bytes;
    }

    /// Forgets all scripts.
    pub fn forget_all(&mut self) {
        if let Some(mut interpreter) = self.interpreter.take() {
            end(&mut interpreter);
        }
        self.known.clear();
        self.bytes = 0;
    }

    /// The flags of the script with this SHA-1, if there is one.
    pub fn flags(&self, sha: &str) -> Option<Flags> {
        self.known.get(sha).map(|known| known.flags)
    }

    /// Notes that the script with this SHA-1 is used now, or, with `loaded`, that it is to stay.
    /// Answers its flags, if there is one.
    pub fn note(&mut self, sha: &str, loaded: bool) -> Option<Flags> {
        self.uses += 1;
        let known = self.known.get_mut(sha)?;
        known.used = self.uses;
        known.loaded |= loaded;
        Some(known.flags)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Bytes that the interpreter takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Ends an interpreter, and first the script that it runs: its stack cannot be dropped as it is.
pub fn end(interpreter: &mut Routine) {
    while !interpreter.done() {
        interpreter.resume(Answer::Stop);
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        self.forget_all();
    }
}
