-- The world that scripts see: what they may use of Lua, and nothing that they could change for
-- those after them. Run once for each interpreter, with a table of functions written in Rust and
-- one of their libraries; answers the environment of scripts and the function that runs one.
--
-- Its chunk is named "[C]", so that errors raised here tell the place of who called.

local rust, libraries = ...
local raw = {}
for name, value in pairs(_G) do raw[name] = value end

local type, error, next, select = raw.type, raw.error, raw.next, raw.select
local rawget, rawset, getfenv, setfenv = raw.rawget, raw.rawset, raw.getfenv, raw.setfenv
local setmetatable, unpack, pcall, xpcall = raw.setmetatable, raw.unpack, raw.pcall, raw.xpcall
local byte, tostring = raw.string.byte, raw.tostring
local resume, create = raw.coroutine.resume, raw.coroutine.create
local caught, enter, leave = rust.caught, rust.enter, rust.leave

local UNPACK_MAX = 7700 -- Each value that a function of Rust is given takes one of 8,000 slots.
local READ_ONLY = "Attempt to modify a readonly table"

-- Tables that cannot be changed: an empty one stands for each, so that every write is noticed.
local behind = {}

local function guard(real, shown)
  local front = {}
  behind[front] = real
  return setmetatable(front, {
    __index = real, __newindex = rust.read_only, __metatable = shown or false,
  })
end

local world = {}
for _, name in raw.ipairs({
  "assert", "error", "gcinfo", "getmetatable", "ipairs", "next", "rawequal", "select", "tonumber",
  "tostring", "type", "_VERSION",
}) do
  world[name] = raw[name]
end

local function expect_table(value, name)
  if type(value) ~= "table" then
    local text = "bad argument #1 to '%s' (table expected, got %s)"
    error(text:format(name, value == nil and "nil" or type(value)), 3)
  end
end

function world.pairs(table)
  expect_table(table, "pairs")
  local real = behind[table]
  if real then
    table = {}
    for key, value in next, real do table[key] = value end
  end
  return next, table, nil
end

function world.rawget(table, key)
  return rawget(behind[table] or table, key)
end

function world.rawset(table, key, value)
  if behind[table] then error(READ_ONLY, 0) end
  return rawset(table, key, value)
end

function world.setmetatable(table, meta)
  if behind[table] then error(READ_ONLY, 0) end
  expect_table(table, "setmetatable")
  return setmetatable(table, meta)
end

function world.unpack(table, first, last)
  expect_table(table, "unpack")
  local from, to = raw.tonumber(first or 1), raw.tonumber(last or #table)
  if from and to and to - from >= UNPACK_MAX then
    error("too many results to unpack", 2)
  end
  return unpack(table, first, last)
end

function world.collectgarbage(option, value)
  if option == nil or option == "collect" or option == "count" or option == "step" then
    return raw.collectgarbage(option or "collect", value)
  end
  return 0
end

-- Errors. Those of Rust are wrapped; `caught` unwraps them, and fails where the script is to end.

local function settle(ok, ...)
  if ok then return true, ... end
  return false, caught((...), true)
end

function world.pcall(...)
  return settle(pcall(...))
end

local function settle_handled(ok, ...)
  if not ok then caught(nil, false) end
  return ok, ...
end

function world.xpcall(...)
  local run, handler = ...
  if select("#", ...) < 2 then error("bad argument #2 to 'xpcall' (value expected)", 2) end
  return settle_handled(xpcall(run, function(value) return handler(caught(value, false)) end))
end

-- Coroutines. The count of instructions is that of one thread, so it changes hands with them.

local function settle_thread(ok, ...)
  leave()
  if ok then return true, ... end
  return false, caught((...), false)
end

local function settle_wrapped(ok, ...)
  leave()
  if ok then return ... end
  error(caught((...), false), 3)
end

local threads = {}
for _, name in raw.ipairs({ "create", "running", "status", "yield" }) do
  threads[name] = raw.coroutine[name]
end

function threads.resume(thread, ...)
  if type(thread) ~= "thread" then
    error("bad argument #1 to 'resume' (coroutine expected)", 2)
  end
  enter(thread)
  return settle_thread(resume(thread, ...))
end

function threads.wrap(run)
  if type(run) ~= "function" then
    error("bad argument #1 to 'wrap' (Lua function expected)", 2)
  end
  local thread = create(run)
  return function(...)
    enter(thread)
    return settle_wrapped(resume(thread, ...))
  end
end

-- Code made at run time: never precompiled, and in the same environment.

local environment

local function loaded(run, problem)
  if run then return setfenv(run, environment) end
  return nil, caught(problem, true)
end

-- A space before precompiled code makes it text, and an error.
local function as_text(code)
  return byte(code, 1) == 27 and " " .. code or code
end

function world.loadstring(code, name)
  if type(code) ~= "string" and type(code) ~= "number" then
    local text = "bad argument #1 to 'loadstring' (string expected, got %s)"
    error(text:format(code == nil and "nil" or type(code)), 2)
  end
  code = tostring(code)
  return loaded(raw.loadstring(as_text(code), name or code))
end

function world.load(read, name)
  if type(read) ~= "function" then
    local text = "bad argument #1 to 'load' (function expected, got %s)"
    error(text:format(read == nil and "nil" or type(read)), 2)
  end
  local first = true
  local function piece()
    local text = read()
    if first and type(text) == "string" and text ~= "" then
      first = false
      return as_text(text)
    end
    return text
  end
  return loaded(raw.load(piece, name))
end

-- Strings. What may take long is written in Rust, as a script is not stopped while a function of C
-- runs; what a script has called here is called by Lua. Where Rust finds that few steps are enough
-- it is left to C, which is faster.

local strings = {}
for name, value in next, raw.string do strings[name] = value end
local concat, gmatch_of_c, gsub_of_c = raw.table.concat, raw.string.gmatch, raw.string.gsub
local is_gmatch_quick, next_match = rust.is_gmatch_quick, rust.next_match
local gsub, matches = rust.gsub, rust.matches

strings.find, strings.match, strings.rep = rust.find, rust.match, rust.rep

function strings.gmatch(...)
  if is_gmatch_quick(...) then return gmatch_of_c(...) end
  local text, pattern = ...
  local from = 0
  local function go_on(place, ...)
    from = place or from
    return ...
  end
  return function() return go_on(next_match(text, pattern, from)) end
end

strings.gfind = strings.gmatch

-- Puts what replaces them in the place of matches; the type of what cannot. An entry that is called
-- has no name in messages, as what C calls.
local function replace(found, count, width, by)
  local first, last = width > 2 and 1 or 0, width - 2
  local called = type(by) == "function"
  found[0] = by
  for at = 2, count * width, width do
    local value
    if not called then
      value = by[found[at + first]]
    elseif last <= 1 then
      value = found[0](found[at + last])
    else
      value = found[0](unpack(found, at + 1, at + last))
    end
    if value then
      local kind = type(value)
      if kind ~= "string" and kind ~= "number" then return kind end
      found[at] = value
    end
    for capture = at + 1, at + last do found[capture] = "" end
  end
end

function strings.gsub(...)
  local result, number = gsub(...)
  if number then return result, number end
  if result then return gsub_of_c(...) end
  local text, pattern, by, most = ...
  local pieces, total, from, wrong = {}, 0, 0, nil
  repeat
    local found, count, width
    found, count, width, from = matches(text, pattern, by, most, from, total)
    -- No coroutine yields from within a function of C.
    if count > 0 then
      gsub_of_c("", "", function() wrong = replace(found, count, width, by) end)
    end
    if wrong then error("invalid replacement value (a " .. wrong .. ")", 2) end
    pieces[#pieces + 1] = concat(found)
    total = total + count
  until not from
  return concat(pieces), total
end

-- The libraries.

-- Of the functions for tables this one alone writes to one that is empty, and so unnoticed.

local tables = {}
for name, value in next, raw.table do tables[name] = value end
local insert = raw.table.insert

function tables.insert(table, ...)
  if behind[table] then error(READ_ONLY, 0) end
  return insert(table, ...)
end

local mathematics = {}
for name, value in next, raw.math do mathematics[name] = value end
mathematics.random, mathematics.randomseed = rust.random, rust.random_seed
libraries.math = mathematics
libraries.string, libraries.table, libraries.coroutine = strings, tables, threads
for name, library in next, libraries do
  world[name] = guard(library)
end

local shared = raw.getmetatable("")
shared.__index = strings
shared.__metatable = guard({ __index = world.string })

setmetatable(world, { __index = rust.missing })
environment = guard(world, guard({ __index = rust.missing }))
world._G = environment

local note = rust.note

local function run(script, keys, arguments)
  world.KEYS, world.ARGV = keys, arguments
  local ok, result = xpcall(script, note)
  world.KEYS, world.ARGV = false, false
  return ok, result
end

local function pack(count, ...)
  local all = { ... }
  if count == 0 then return {}, all end
  local total = select("#", ...)
  if count == total then return all, {} end
  local keys, arguments = {}, {}
  for i = 1, count do keys[i] = all[i] end
  for i = count + 1, total do arguments[i - count] = all[i] end
  return keys, arguments
end

-- The text of a number that Rust takes for 0, unless it is.
local function exact(table, key)
  local number = rawget(table, key)
  if number ~= 0 or 1 / number < 0 then return raw.string.format("%.17g", number) end
end

return {
  environment = environment,
  exact = exact,
  -- Runs a script with its keys and arguments behind their number.
  run = function(script, count, ...)
    return run(script, pack(count, ...))
  end,
  -- The same with tables.
  run_with = run,
}
