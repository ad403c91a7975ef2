//! The Lua interpreter behind EVAL: compiles scripts, keeps them, and runs them on a [`Host`].
//!
//! | file | what it knows |
//! |---|---|
//! | `host` | what a script asks of the server |
//! | `shebang` | the first line of a script, and its flags |
//! | `sandbox`, `prelude.lua` | what scripts see of Lua, and that they cannot change it |
//! | `state`, `raise` | what the functions share: memory, the way to the host, errors |
//! | `convert`, `reply` | from RESP to Lua, and from Lua to RESP |
//! | `args`, `number` | arguments of functions, and numbers, as C has them |
//! | `redis_lib`, `cjson`, `cmsgpack`, `bit`, `structs`, `random`, `string_lib` | the libraries |
//! | `patterns` | Lua's patterns |
//!
//! The interpreter knows nothing of commands, keys or clients: all it knows of the server is its
//! [`Host`]. Scripts cannot reach files, the clock of the day, or each other.
//!
//! A script ends when the host says so ([`Called::Stop`], [`Host::proceed`]), whatever it catches.
//! Scripts nest up to 200 calls between Lua and the functions here: run them on a stack of
//! [`STACK_BYTES_MIN`] or more.

mod args;
mod bit;
mod cjson;
mod cmsgpack;
mod convert;
mod host;
mod number;
mod patterns;
mod raise;
mod random;
mod redis_lib;
mod reply;
mod sandbox;
mod shebang;
mod state;
mod string_lib;
mod structs;
#[cfg(test)]
mod tests;

pub use host::{Called, Host, LogLevel};
pub use redis_lib::sha1hex;
pub use shebang::Flags;

use crate::resp::{Args, Reply};
use hashbrown::HashMap;
use rlua::{ChunkMode, Error as LuaError, Function, Lua, RegistryKey, Value};
use sandbox::Sandbox;
use state::State;
use std::cell::RefCell;
use std::rc::Rc;

/// After so many instructions a script is stopped for a look at the clock: few, as each of them may
/// be a call of a long function.
const INSTRUCTIONS_PER_LOOK: u32 = 200;
/// What a script may need of the stack.
pub const STACK_BYTES_MIN: usize = 4 << 20;
/// One part in so many of the memory is for scripts that are kept, the rest for what one does.
const KEPT_SHARE: usize = 4;
/// Garbage is collected a step further after so many runs, as Redis does.
const RUNS_PER_COLLECTION: u32 = 50;
/// Up to so many keys and arguments are handed over in one call.
const CALL_ARGS_MAX: usize = 200;
/// Name of the chunk that is a script: it is in messages.
const CHUNK_NAME: &str = "@user_script";
/// What a script is refused with that there is no memory to keep.
pub const NO_MEMORY: &[u8] = b"ERR not enough memory to keep another script, try SCRIPT FLUSH";
/// An error that is no table is cut at so many bytes.
const PLAIN_ERROR_BYTES_MAX: usize = 100;

/// A Lua state, and the scripts compiled in it.
pub struct Interpreter {
    lua: Lua,
    kept: Kept,
}

/// What belongs to the Lua state.
struct Kept {
    state: Rc<State>,
    sandbox: Sandbox,
    scripts: HashMap<String, RegistryKey>,
    bytes_max: usize,
    /// With more in use all garbage is collected after a run.
    collect_above: usize,
    runs: u32,
}

/// An interpreter that has a host.
pub struct Opened<'a> {
    lua: &'a Lua,
    kept: &'a mut Kept,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The script's result was written.
    Replied,
    /// An error was written: one that left the script, or its result.
    Failed {
        /// A command of the script had replied with it.
        counted: bool,
    },
    /// The host wanted it to end. Nothing was written.
    Stopped,
}

impl Interpreter {
    /// An interpreter whose scripts may take so many bytes. Takes about a millisecond.
    pub fn new(bytes_max: usize) -> Interpreter {
        let lua = sandbox::new_lua();
        let state = State::new(&lua, bytes_max).expect(UNLIMITED);
        let state = Rc::new(state);
        let sandbox = Sandbox::new(&lua, &state).expect("the prelude is part of the server");
        let scripts = HashMap::new();
        let collect_above = bytes_max / 2;
        let kept = Kept { state, sandbox, scripts, bytes_max, collect_above, runs: 0 };
        Interpreter { lua, kept }
    }

    /// Gives it a host, for as long as `work` works with it. Takes a few microseconds.
    pub fn open<T>(&mut self, host: &mut dyn Host, work: impl FnOnce(&mut Opened<'_>) -> T) -> T {
        let Interpreter { lua, kept } = self;
        let state = Rc::clone(&kept.state);
        let host = RefCell::new(host);
        let done = lua.scope(|scope| {
            let bridge = scope.create_function(|_, ()| {
                if let (Some(question), Ok(mut host)) =
                    (state.take_question(), host.try_borrow_mut())
                {
                    state.put_answer(question.put_to(&mut **host));
                }
                Ok(())
            })?;
            state.connect(lua, bridge)?;
            let library = kept.sandbox.redis(lua)?;
            for (name, raises) in [("call", true), ("pcall", false)] {
                let (state, host) = (&state, &host);
                let call = scope.create_function(move |lua, args| {
                    state.unlimited(lua, || redis_lib::call(lua, state, host, args, raises))
                })?;
                library.raw_set(name, call)?;
            }
            Ok(work(&mut Opened { lua, kept }))
        });
        done.expect(UNLIMITED)
    }
}

/// Why what is done between runs does not fail.
const UNLIMITED: &str = "no limit on memory is set";

impl Opened<'_> {
    /// Compiles a script and keeps it under `sha`. The error is the text of a reply, from its code
    /// on: one of the script, or [`NO_MEMORY`], and forgetting others helps.
    pub fn compile(&mut self, sha: &str, body: &[u8]) -> Result<Flags, Vec<u8>> {
        let (flags, code) = shebang::split(body)?;
        let function = self.load(code).map_err(|error| compile_error(&error))?;
        let most = self.kept.bytes_max / KEPT_SHARE;
        if self.lua.used_memory() > most {
            self.collect();
        }
        if self.lua.used_memory() > most {
            self.drop_function(function);
            self.collect();
            return Err(NO_MEMORY.to_vec());
        }
        if let Some(before) = self.kept.scripts.insert(sha.to_owned(), function) {
            self.drop_function(before);
        }
        Ok(flags)
    }

    /// Forgets the scripts that are kept under these names.
    pub fn forget(&mut self, shas: &[String]) {
        for sha in shas {
            if let Some(function) = self.kept.scripts.remove(sha) {
                self.drop_function(function);
            }
        }
    }

    fn load(&self, code: &[u8]) -> Result<RegistryKey, LuaError> {
        // A space before precompiled code makes it text, and an error.
        let text = [b" ", code].concat();
        let code = if code.first() == Some(&0x1b) { &text } else { code };
        let chunk = self.lua.load(code).set_name(CHUNK_NAME).set_mode(ChunkMode::Text);
        let chunk = chunk.set_environment(self.kept.sandbox.environment(self.lua)?);
        self.lua.create_registry_value(chunk.into_function()?)
    }

    fn drop_function(&self, function: RegistryKey) {
        let removed = self.lua.remove_registry_value(function);
        debug_assert!(removed.is_ok(), "the key is of this state");
    }

    /// Collects all garbage, and next time when half of what is left of the memory is used.
    fn collect(&mut self) {
        let collected = self.lua.gc_collect();
        debug_assert!(collected.is_ok(), "{UNLIMITED}");
        let (used, max) = (self.lua.used_memory(), self.kept.bytes_max);
        self.kept.collect_above = (max / 2).max(used + max.saturating_sub(used) / 2);
    }

    /// Bytes that the Lua state takes.
    pub fn memory_bytes(&self) -> usize {
        self.lua.used_memory()
    }

    /// Runs the script kept under `sha` with these keys and arguments, and writes its result, or
    /// the error that left it. A result of more bytes than `reply_max` is an error.
    ///
    /// Panics where there is no such script.
    pub fn run(
        &mut self,
        sha: &str,
        [keys, args]: [Args<'_>; 2],
        reply_max: usize,
        reply: &mut Reply<'_>,
    ) -> Ended {
        let mark = reply.mark();
        let ended = self.run_kept(sha, [keys, args], reply_max, reply).unwrap_or_else(|error| {
            reply.rewind(mark);
            fail_plainly(reply, sha, error.to_string().as_bytes());
            Ended::Failed { counted: false }
        });
        let stopped = self.kept.state.is_stopped();
        if stopped {
            reply.rewind(mark);
        }
        if self.lua.used_memory() > self.kept.collect_above {
            self.collect();
        }
        self.kept.runs += 1;
        if self.kept.runs.is_multiple_of(RUNS_PER_COLLECTION) {
            let stepped = self.lua.gc_step();
            debug_assert!(stepped.is_ok(), "{UNLIMITED}");
        }
        if stopped { Ended::Stopped } else { ended }
    }

    fn run_kept(
        &self,
        sha: &str,
        [keys, args]: [Args<'_>; 2],
        reply_max: usize,
        reply: &mut Reply<'_>,
    ) -> Result<Ended, LuaError> {
        let (lua, state) = (self.lua, &self.kept.state);
        let script = self.kept.scripts.get(sha).expect("a script is compiled before it runs");
        state.begin();
        let function: Function<'_> = lua.registry_value(script)?;
        let call = self.kept.sandbox.call(lua, function, keys, args)?;
        state.watch_main(lua);
        let (ok, result) = state.limited(lua, || call.run())??;
        let mark = reply.mark();
        let counted = raise::is_counted(&result)?;
        match result {
            result if ok => reply::write(lua, state, result, reply_max, reply)?,
            Value::Table(table) => reply.error_bytes(&raise::noted(lua, sha, &table)?),
            other => fail_plainly(reply, sha, &raise::text_of(lua, other)?),
        }
        Ok(if reply.is_error(mark) { Ended::Failed { counted } } else { Ended::Replied })
    }
}

/// Replies with an error of Lua itself: out of memory, or an error while one was handled.
fn fail_plainly(reply: &mut Reply<'_>, sha: &str, text: &[u8]) {
    let text = &text[..text.len().min(PLAIN_ERROR_BYTES_MAX)];
    reply.error_bytes(&[format!("ERR Error running script {sha}, ").as_bytes(), text].concat());
}

fn compile_error(error: &LuaError) -> Vec<u8> {
    let text = match error {
        LuaError::SyntaxError { message, .. } => message.clone(),
        other => other.to_string(),
    };
    format!("ERR Error compiling script (new function): {text}").into_bytes()
}
