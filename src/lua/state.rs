//! What the functions that scripts see share with the interpreter: memory, the way to the host,
//! and how errors are raised.
//!
//! Rust code must not meet the limit on memory: Lua raises its error by a jump that skips Rust's
//! clean-up. Every function here is therefore made by [`function`] or [`handler`], which lifts the
//! limit while the function runs and looks at what is used when it ends.

use super::INSTRUCTIONS_PER_LOOK;
use super::convert::Answer;
use super::host::{LogLevel, Question};
use super::random::Random;
use crate::resp::Protocol;
use rlua::{
    Error, FromLuaMulti, Function, HookTriggers, IntoLua, IntoLuaMulti, Lua, RegistryKey, Result,
    Table, Thread, Value,
};
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What Lua may take beyond the limit, so that results fit that a function pushes when it ends.
const SLACK_BYTES: usize = 1 << 20;
/// Coroutines count instructions from 0 each time they go on: after so many the host is asked.
const SWITCHES_PER_QUESTION: u32 = 100;

/// After so many questions that could not be asked the script ends.
const UNHEARD_MAX: u32 = 10_000;
/// The host is asked no more often than that.
const TIME_PER_QUESTION: Duration = Duration::from_millis(1);
/// A long work of Rust asks the host every so many steps.
const STEPS_PER_QUESTION: u32 = 10_000;
/// What Lua says.
const OUT_OF_MEMORY: &[u8] = b"not enough memory";

/// What all functions of one interpreter share.
pub(super) struct State {
    bytes_max: usize,
    lifted: Cell<u32>,
    running: Cell<bool>,
    stopped: Cell<bool>,
    switches: Cell<u32>,
    watched: Cell<bool>,
    /// How many questions in a row could not be asked.
    unheard: Cell<u32>,
    /// When the host was last asked whether to go on.
    asked: Cell<Instant>,
    bridge: RegistryKey,
    question: RefCell<Option<Question>>,
    answer: RefCell<Option<Answer>>,
    /// The protocol that the script chose with `redis.setresp`.
    pub(super) protocol: Cell<Protocol>,
    /// What `math.random` goes on from.
    pub(super) random: Cell<Random>,
    /// The prelude's function that shows a number as it is, see [`State::exact`].
    exact: OnceCell<RegistryKey>,
}

/// What a function raises.
#[derive(Clone, Debug)]
pub(super) enum Raised {
    /// A string.
    Text(Vec<u8>),
    /// A table `{err = ...}`.
    Table(Vec<u8>),
    /// The same for an error that a command replied with.
    Reply(Vec<u8>),
    /// Nothing that a script could catch.
    Stop,
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raised::Text(text) | Raised::Table(text) | Raised::Reply(text) => {
                f.write_str(&String::from_utf8_lossy(text))
            }
            Raised::Stop => f.write_str("the script is to end"),
        }
    }
}

impl std::error::Error for Raised {}

impl From<Raised> for Error {
    fn from(raised: Raised) -> Error {
        Error::external(raised)
    }
}

impl State {
    /// The state of a new interpreter that may take so many bytes.
    pub(super) fn new(lua: &Lua, bytes_max: usize) -> Result<State> {
        Ok(State {
            bytes_max,
            lifted: Cell::new(0),
            running: Cell::new(false),
            stopped: Cell::new(false),
            switches: Cell::new(0),
            watched: Cell::new(false),
            unheard: Cell::new(0),
            asked: Cell::new(Instant::now()),
            bridge: lua.create_registry_value(true)?,
            question: RefCell::new(None),
            answer: RefCell::new(None),
            protocol: Cell::new(Protocol::Resp2),
            random: Cell::new(Random::default()),
            exact: OnceCell::new(),
        })
    }

    /// From now on `bridge` is called when a question is there.
    pub(super) fn connect(&self, lua: &Lua, bridge: Function<'_>) -> Result<()> {
        lua.replace_registry_value(&self.bridge, bridge)
    }

    /// Makes all as it is before a script.
    pub(super) fn begin(&self) {
        self.stopped.set(false);
        self.switches.set(0);
        self.unheard.set(0);
        self.protocol.set(Protocol::Resp2);
    }

    /// The script is to end: raise this.
    pub(super) fn stop(&self) -> Error {
        self.stopped.set(true);
        Raised::Stop.into()
    }

    /// Has `run` work without the limit on memory. Fails where it leaves too much in use.
    pub(super) fn unlimited<T>(&self, lua: &Lua, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let _lifted = Lifted::new(self, lua);
        let result = run()?;
        self.check_memory(lua)?;
        Ok(result)
    }

    /// Sets the function that [`State::exact`] asks.
    pub(super) fn set_exact(&self, function: RegistryKey) {
        let set = self.exact.set(function);
        debug_assert!(set.is_ok());
    }

    /// The number that `table` has at `key` where `value`, taken from there, is 0: the crate takes
    /// numbers up to 2^-52 for 0, so Lua is asked. 0 for all other values.
    pub(super) fn exact<'lua>(
        &self,
        lua: &'lua Lua,
        value: &Value<'lua>,
        table: &Table<'lua>,
        key: impl IntoLua<'lua>,
    ) -> Result<f64> {
        let (Value::Integer(0), Some(exact)) = (value, self.exact.get()) else { return Ok(0.0) };
        let exact: Function<'_> = lua.registry_value(exact)?;
        let text: Option<rlua::String<'_>> = exact.call((table.clone(), key))?;
        let text = text.as_ref().and_then(|text| text.to_str().ok());
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0.0))
    }

    /// Has `run` work with the limit on memory.
    pub(super) fn limited<T>(&self, lua: &Lua, run: impl FnOnce() -> T) -> Result<T> {
        self.running.set(true);
        lua.set_memory_limit(self.bytes_max + SLACK_BYTES)?;
        let result = run();
        self.running.set(false);
        lua.set_memory_limit(0)?;
        Ok(result)
    }

    /// Whether the script was told to end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// An error if too much memory is in use.
    pub(super) fn check_memory(&self, lua: &Lua) -> Result<()> {
        if lua.used_memory() <= self.bytes_max {
            return Ok(());
        }
        lua.gc_collect()?;
        if lua.used_memory() <= self.bytes_max {
            return Ok(());
        }
        Err(Raised::Text(OUT_OF_MEMORY.to_vec()).into())
    }

    /// Asks the host.
    pub(super) fn ask(&self, lua: &Lua, question: Question) -> Result<Answer> {
        if self.stopped.get() {
            return Err(self.stop());
        }
        self.question.replace(Some(question));
        lua.registry_value::<Function<'_>>(&self.bridge)?.call::<_, ()>(())?;
        match self.answer.take() {
            Some(Answer::Stop) | None => Err(self.stop()),
            Some(answer) => Ok(answer),
        }
    }

    /// The question to be answered, for the bridge.
    pub(super) fn take_question(&self) -> Option<Question> {
        self.question.take()
    }

    /// The host's answer.
    pub(super) fn put_answer(&self, answer: Answer) {
        self.answer.replace(Some(answer));
    }

    /// Writes to the host's log.
    pub(super) fn log(&self, lua: &Lua, level: LogLevel, text: Vec<u8>) -> Result<()> {
        self.ask(lua, Question::Log(level, text)).map(drop)
    }

    /// Sees to it that [`State::watch`] holds for the main thread.
    pub(super) fn watch_main(self: &Rc<Self>, lua: &Lua) {
        if !self.watched.replace(true) {
            self.watch(lua);
        }
    }

    /// Asks the host now and then whether the thread that runs may go on.
    pub(super) fn watch(self: &Rc<Self>, lua: &Lua) {
        let state = Rc::clone(self);
        lua.set_hook(every(), move |lua, _| state.interrupt(lua));
    }

    /// The same for a thread that goes on now.
    pub(super) fn watch_thread(self: &Rc<Self>, lua: &Lua, thread: &Thread<'_>) -> Result<()> {
        self.watched.set(false);
        let state = Rc::clone(self);
        thread.set_hook(every(), move |lua, _| state.interrupt(lua));
        self.switches.set(self.switches.get() + 1);
        if self.switches.get().is_multiple_of(SWITCHES_PER_QUESTION) {
            self.proceed(lua)?;
        }
        Ok(())
    }

    /// A call of Lua asks the host, and there is none where calls are nested too deep: whoever
    /// stays there ends.
    fn interrupt(&self, lua: &Lua) -> Result<()> {
        let now = Instant::now();
        if now.duration_since(self.asked.get()) < TIME_PER_QUESTION {
            return Ok(());
        }
        let _lifted = Lifted::new(self, lua);
        match self.ask(lua, Question::Proceed) {
            Ok(_) => {
                self.unheard.set(0);
                self.asked.set(now);
            }
            Err(_) if !self.is_stopped() && self.unheard.get() >= UNHEARD_MAX => {
                return Err(self.stop());
            }
            Err(error) => {
                self.unheard.set(self.unheard.get() + 1);
                return Err(error);
            }
        }
        self.check_memory(lua)
    }

    /// Asks the host whether the script may go on. Fails where it is to end.
    pub(super) fn proceed(&self, lua: &Lua) -> Result<()> {
        self.ask(lua, Question::Proceed).map(drop)
    }

    /// One step of a long work of Rust, of which `steps` were done, with a result of so many bytes
    /// so far. Fails where that is too much, or the script is to end.
    pub(super) fn step(&self, lua: &Lua, steps: &mut u32, bytes: usize) -> Result<()> {
        if bytes > self.bytes_max {
            return Err(Raised::Text(OUT_OF_MEMORY.to_vec()).into());
        }
        *steps = steps.wrapping_add(1);
        if steps.is_multiple_of(STEPS_PER_QUESTION) {
            self.proceed(lua)?;
        }
        Ok(())
    }
}

fn every() -> HookTriggers {
    HookTriggers::new().every_nth_instruction(INSTRUCTIONS_PER_LOOK)
}

/// While it exists there is no limit on memory.
struct Lifted<'a> {
    state: &'a State,
    lua: &'a Lua,
}

impl<'a> Lifted<'a> {
    fn new(state: &'a State, lua: &'a Lua) -> Self {
        state.lifted.set(state.lifted.get() + 1);
        set_limit(lua, 0);
        Self { state, lua }
    }
}

impl Drop for Lifted<'_> {
    fn drop(&mut self) {
        self.state.lifted.set(self.state.lifted.get() - 1);
        if self.state.lifted.get() == 0 && self.state.running.get() {
            set_limit(self.lua, self.state.bytes_max + SLACK_BYTES);
        }
    }
}

/// It fails only for a state that has another allocator, and ours has not.
fn set_limit(lua: &Lua, bytes: usize) {
    let set = lua.set_memory_limit(bytes);
    debug_assert!(set.is_ok());
}

/// A function for scripts. It fails where it leaves too much memory in use.
pub(super) fn function<'lua, A, R, F>(
    lua: &'lua Lua,
    state: &Rc<State>,
    body: F,
) -> Result<Function<'lua>>
where
    A: FromLuaMulti<'lua>,
    R: IntoLuaMulti<'lua>,
    F: Fn(&'lua Lua, &Rc<State>, A) -> Result<R> + 'static,
{
    let state = Rc::clone(state);
    lua.create_function(move |lua, args| state.unlimited(lua, || body(lua, &state, args)))
}

/// The same for handling errors, the one about memory among them.
pub(super) fn handler<'lua, A, R, F>(
    lua: &'lua Lua,
    state: &Rc<State>,
    body: F,
) -> Result<Function<'lua>>
where
    A: FromLuaMulti<'lua>,
    R: IntoLuaMulti<'lua>,
    F: Fn(&'lua Lua, &Rc<State>, A) -> Result<R> + 'static,
{
    let state = Rc::clone(state);
    lua.create_function(move |lua, args| {
        let _lifted = Lifted::new(&state, lua);
        body(lua, &state, args)
    })
}
