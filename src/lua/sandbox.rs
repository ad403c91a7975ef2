//! What scripts see of Lua: the environment that `prelude.lua` makes of Lua's libraries and ours.

use super::raise::{self, PRELUDE};
use super::state::{State, function, handler};
use super::{CALL_ARGS_MAX, bit, cjson, cmsgpack, random, redis_lib, string_lib, structs};
use crate::resp::Args;
use rlua::{
    Error, Function, Lua, LuaOptions, MultiValue, RegistryKey, Result, StdLib, Table, Thread, Value,
};
use std::rc::Rc;

/// A collection begins when memory is so much of what the last one left: less than Lua's own 200,
/// as nothing is collected at the limit.
const COLLECTION_PAUSE_PERCENT: i32 = 150;

/// The environment of scripts, and what runs one.
pub(super) struct Sandbox {
    environment: RegistryKey,
    redis: RegistryKey,
    run: RegistryKey,
    run_with: RegistryKey,
}

/// A script with its keys and arguments, ready to run.
pub(super) struct Call<'lua> {
    run: Function<'lua>,
    values: MultiValue<'lua>,
}

impl<'lua> Call<'lua> {
    /// Runs it: true and its result, or false and what is left of an error.
    pub(super) fn run(self) -> Result<(bool, Value<'lua>)> {
        self.run.call(self.values)
    }
}

/// A Lua state with the libraries that the sandbox is made of.
pub(super) fn new_lua() -> Lua {
    let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
    let lua = Lua::new_with(libraries, LuaOptions::default());
    let lua = lua.expect("these libraries are allowed");
    lua.gc_set_pause(COLLECTION_PAUSE_PERCENT);
    lua
}

impl Sandbox {
    /// Makes the environment in a new Lua state.
    pub(super) fn new(lua: &Lua, state: &Rc<State>) -> Result<Sandbox> {
        let libraries = lua.create_table()?;
        let redis = redis_lib::new(lua, state)?;
        libraries.set("redis", redis.clone())?;
        libraries.set("cjson", cjson::new(lua, state)?)?;
        libraries.set("cmsgpack", cmsgpack::new(lua, state)?)?;
        libraries.set("bit", bit::new(lua, state)?)?;
        libraries.set("struct", structs::new(lua, state)?)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name(PRELUDE);
        let made: Table<'_> = prelude.call((functions(lua, state)?, libraries))?;
        let keep = |name| lua.create_registry_value(made.get::<_, Value<'_>>(name)?);
        state.set_exact(keep("exact")?);
        Ok(Sandbox {
            environment: keep("environment")?,
            redis: lua.create_registry_value(redis)?,
            run: keep("run")?,
            run_with: keep("run_with")?,
        })
    }

    /// The table that scripts have for globals.
    pub(super) fn environment<'lua>(&self, lua: &'lua Lua) -> Result<Table<'lua>> {
        lua.registry_value(&self.environment)
    }

    /// The `redis` library, to which its functions `call` and `pcall` are to be added.
    pub(super) fn redis<'lua>(&self, lua: &'lua Lua) -> Result<Table<'lua>> {
        lua.registry_value(&self.redis)
    }

    /// Makes a call of a script.
    pub(super) fn call<'lua>(
        &self,
        lua: &'lua Lua,
        script: Function<'lua>,
        keys: Args<'_>,
        args: Args<'_>,
    ) -> Result<Call<'lua>> {
        let mut values = vec![Value::Function(script)];
        if keys.len() + args.len() > CALL_ARGS_MAX {
            values.push(Value::Table(table_of(lua, keys)?));
            values.push(Value::Table(table_of(lua, args)?));
            let run = lua.registry_value(&self.run_with)?;
            return Ok(Call { run, values: MultiValue::from_vec(values) });
        }
        values.push(Value::Integer(keys.len() as i64));
        for arg in keys.iter().chain(args.iter()) {
            values.push(Value::String(lua.create_string(arg)?));
        }
        let run = lua.registry_value(&self.run)?;
        Ok(Call { run, values: MultiValue::from_vec(values) })
    }
}

fn table_of<'lua>(lua: &'lua Lua, args: Args<'_>) -> Result<Table<'lua>> {
    let table = lua.create_table_with_capacity(args.len(), 0)?;
    for (index, arg) in args.iter().enumerate() {
        table.raw_set(index + 1, lua.create_string(arg)?)?;
    }
    Ok(table)
}

/// The functions that the prelude is written with.
fn functions<'lua>(lua: &'lua Lua, state: &Rc<State>) -> Result<Table<'lua>> {
    let table = lua.create_table()?;
    table
        .set("caught", handler(lua, state, |lua, state, args| raise::caught(lua, state, args))?)?;
    table.set("note", handler(lua, state, |lua, _, value| raise::note(lua, value))?)?;
    table.set("missing", function(lua, state, |lua, _, args| Err::<(), _>(missing(lua, args)))?)?;
    table.set("read_only", function(lua, state, |lua, _, ()| Err::<(), _>(read_only(lua)))?)?;
    table.set("rep", function(lua, state, string_lib::rep)?)?;
    table.set("find", function(lua, state, string_lib::find)?)?;
    table.set("match", function(lua, state, string_lib::match_once)?)?;
    table.set("is_gmatch_quick", function(lua, state, string_lib::is_gmatch_quick)?)?;
    table.set("next_match", function(lua, state, string_lib::next_match)?)?;
    table.set("gsub", function(lua, state, string_lib::gsub)?)?;
    table.set("matches", function(lua, state, string_lib::matches)?)?;
    table.set("random", function(lua, state, random::random)?)?;
    table.set("random_seed", function(lua, state, random::seed)?)?;
    let enter =
        function(lua, state, |lua, state, thread: Thread<'_>| state.watch_thread(lua, &thread))?;
    table.set("enter", enter)?;
    let leave = function(lua, state, |lua, state, ()| {
        state.watch(lua);
        Ok(())
    })?;
    table.set("leave", leave)?;
    Ok(table)
}

fn missing(lua: &Lua, (_, name): (Value<'_>, Value<'_>)) -> Error {
    let name = raise::text_of(lua, name).unwrap_or_default();
    let text = b"Script attempted to access nonexistent global variable '";
    raise::error(lua, [&text[..], &name, b"'"].concat())
}

fn read_only(lua: &Lua) -> Error {
    raise::error(lua, "Attempt to modify a readonly table")
}
