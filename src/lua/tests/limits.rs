//! What no script can pass: the host's word, memory, depth, and the scripts after it.

use super::*;

/// Runs a script that the host ends with its second question, or that ends itself.
fn stops(script: &str) {
    let mut lua = Interpreter::new(64 << 20);
    let mut host = Fake { last_question: 2, ..Fake::default() };
    let reply = eval(&mut lua, &mut host, Protocol::Resp2, script.as_bytes());
    assert!(reply.is_empty(), "{script}: {}", reply.escape_ascii());
    assert!(host.questions <= 2, "{script}: {}", host.questions);
    assert!(host.calls.len() <= 2, "{script}: {} calls", host.calls.len());
    // It goes on as if nothing had been.
    let reply = eval(&mut lua, &mut Fake::default(), Protocol::Resp2, b"return #KEYS");
    assert_eq!(reply, b":1\r\n");
}

#[test]
fn nothing_catches_the_end() {
    stops("while true do end");
    stops("redis.call('stop')");
    stops("redis.pcall('stop')");
    for ends in ["redis.call('stop')", "while true do end"] {
        let function = format!("function() {ends} end");
        stops(&format!("pcall({function}) return 1"));
        stops(&format!("while true do pcall({function}) end"));
        stops(&format!("xpcall({function}, function(e) return e end) return 1"));
        stops(&format!("while true do xpcall({function}, function(e) error('x') end) end"));
        stops(&format!("xpcall({function}, function(e) while true do end end) return 1"));
        stops(&format!("coroutine.resume(coroutine.create({function})) return 1"));
        stops(&format!("pcall(coroutine.wrap({function})) return 1"));
        stops(&format!("coroutine.wrap(function() pcall({function}) end)() return 1"));
        stops(&format!("table.sort({{1, 2, 3}}, {function})"));
        stops(&format!("pcall(string.gsub, 'abc', '.', {function}) return 1"));
        stops(&format!("load({function}) return 1"));
        stops(&format!("pcall(load, {function}) return 1"));
        stops(&format!(
            "local t = setmetatable({{}}, {{__index = {function}}}) \
             return pcall(function() return t.x end)"
        ));
        stops(&format!("tostring(setmetatable({{}}, {{__tostring = {function}}})) return 1"));
    }
}

#[test]
fn coroutines_are_counted() {
    stops("coroutine.wrap(function() while true do end end)()");
    stops("while true do coroutine.wrap(function() end)() end");
    stops(
        "local f = coroutine.wrap(function() while true do coroutine.yield() end end) \
         while true do f() end",
    );
    stops("local function f() return coroutine.wrap(f)() end pcall(f) while true do end");
    let after = "coroutine.wrap(function() for i = 1, 5000 do end end)() while true do end";
    stops(after);
}

#[test]
fn searches_are_counted() {
    let tries = "('a'):rep(1000), ('.-'):rep(10) .. 'b'";
    stops(&format!("string.find({tries})"));
    stops(&format!("string.match({tries})"));
    stops(&format!("for _ in string.gmatch({tries}) do end"));
    stops(&format!("string.gsub({tries}, '')"));
    stops(&format!("string.gsub({tries}, function() end)"));
    stops(&format!("string.gsub({tries}, {{}})"));
    stops(&format!("pcall(string.find, {tries}) return 1"));
    stops(&format!("coroutine.wrap(function() string.find({tries}) end)()"));
    for pattern in [
        "('a*'):rep(20) .. 'b'",
        "('a+'):rep(20) .. 'b'",
        "('a?'):rep(40) .. ('a'):rep(1001)",
        "('(a-)'):rep(20) .. 'b'",
        "'(.-)%1b'",
        "'%f[a]' .. ('.-'):rep(10) .. 'b'",
        "'[' .. ('b'):rep(1e5) .. ']'",
    ] {
        stops(&format!("string.find(('a'):rep(1000), {pattern})"));
    }
    stops("string.find(('('):rep(1e5), '%b()')");
    stops("string.find(('a'):rep(3e6), 'b')");
    stops("string.find(('a'):rep(3e6), ('a'):rep(1e6) .. 'b', 1, true)");
    stops("string.gsub(('a'):rep(1e5), '(b*)', ('%1'):rep(1e5))");
    stops("string.gsub(('a'):rep(1e6), 'a', 'b')");
    stops("string.gsub(('a'):rep(1e6), 'a', {})");
}

#[test]
fn memory_is_limited() {
    let mut lua = Interpreter::new(4 << 20);
    let host = &mut Fake::default();
    for script in [
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = {} end",
        "local t = {} for i = 1, 1e9 do t[i] = 'abc' .. i end",
        "return string.rep('x', 1e9)",
        "return ('x'):rep(1e6):gsub('x', ('y'):rep(1e6))",
        "return ('x'):rep(1e6):gsub('x', function() return ('y'):rep(1e6) end)",
        "return ('x'):rep(1e6):gsub('(x)', '%1%1%1%1%1%1%1%1')",
        "local t = {} while true do t[#t + 1] = redis.call('echo', ('x'):rep(1000)) end",
        "local t = {} while true do t[#t + 1] = cjson.decode('[1,2,3]') end",
        "local t = {} while true do t[#t + 1] = cjson.encode({('x'):rep(1000), #t}) end",
        "return cjson.decode('[' .. ('1,'):rep(1000000) .. '1]')",
        "return cmsgpack.unpack(('\\221\\0\\15\\66\\64') .. ('\\1'):rep(1000000))",
    ] {
        let reply = eval(&mut lua, host, Protocol::Resp2, script.as_bytes());
        let reply = String::from_utf8_lossy(&reply).into_owned();
        assert!(reply.starts_with("-ERR "), "{script}: {reply}");
        assert!(reply.contains("not enough memory"), "{script}: {reply}");
        let after =
            eval(&mut lua, host, Protocol::Resp2, b"return redis.call('echo', 'still here')");
        assert_eq!(after, b"$10\r\nstill here\r\n", "{script}");
    }
    // Whoever catches it may go on with less.
    let script = b"local ok, e = pcall(function() return ('x'):rep(1e9) end) return {e, #KEYS}";
    let reply = eval(&mut lua, host, Protocol::Resp2, script);
    assert_eq!(reply, b"*2\r\n$17\r\nnot enough memory\r\n:1\r\n");
    for _ in 0..500 {
        eval(&mut lua, host, Protocol::Resp2, b"local t = {} for i = 1, 1000 do t[i] = {i} end");
    }
    let bytes = lua.open(host, |lua| lua.memory_bytes());
    assert!(bytes < 3 << 20, "{bytes}");
}

#[test]
fn replies_are_limited() {
    let mut lua = Interpreter::new(4 << 20);
    for script in [
        "local t = {} for i = 1, 40 do t = {t, t} end return t",
        "local s = ('x'):rep(1e5) local t = {} for i = 1, 20 do t[i] = s end return t",
    ] {
        let reply = eval(&mut lua, &mut Fake::default(), Protocol::Resp2, script.as_bytes());
        let expect =
            "-ERR Error running script <sha>, the reply would be longer than 1048576 bytes";
        assert_eq!(String::from_utf8_lossy(&reply).trim_end(), expect);
    }
    let host = &mut Fake { last_question: 2, ..Fake::default() };
    let doubled = "local t = {} for i = 1, 40 do t = {t, t} end return #cjson.encode(t)";
    let reply = eval(&mut lua, host, Protocol::Resp2, doubled.as_bytes());
    assert!(reply.is_empty(), "{}", reply.escape_ascii());
}

#[test]
fn who_stays_too_deep_to_be_asked_is_ended() {
    let mut lua = Interpreter::new(4 << 20);
    let script = b"local function f() while true do pcall(f) end end f()";
    let reply = eval(&mut lua, &mut Fake::default(), Protocol::Resp2, script);
    assert!(reply.is_empty(), "{}", reply.escape_ascii());
}

#[test]
fn scripts_themselves_count() {
    Interpreter::new(1 << 20).open(&mut Fake::default(), |lua| {
        let mut kept = 0;
        let error = loop {
            match lua.compile(&kept.to_string(), format!("return '{kept}'").as_bytes()) {
                Ok(_) => kept += 1,
                Err(error) => break error,
            }
        };
        assert!(kept > 500, "{kept}");
        assert_eq!(error, b"ERR not enough memory to keep another script, try SCRIPT FLUSH");
    });
}

#[test]
fn many_arguments_and_results_are_refused_in_time() {
    check(
        "redis.call('set', unpack({}, 1, 7000))",
        "-ERR Lua redis lib command arguments must \
           be strings or integers script: <sha>, on @user_script:1.\r\n",
    );
    let filled = "local t = {} for i = 1, 7700 do t[i] = 'x' .. i end";
    check(&format!("{filled} return redis.call('set', unpack(t))"), "+OK\r\n");
    check(&format!("{filled} return #cmsgpack.pack(unpack(t))"), ":45093\r\n");
    check(&format!("{filled} return #{{unpack(t)}}"), ":7700\r\n");
    check(&format!("{filled} t[7701] = 1 return pcall(unpack, t)"), "$-1\r\n");
    let unpacked = "return #{cmsgpack.unpack(('\\161a'):rep(7900))}";
    check(unpacked, ":7900\r\n");
}

#[test]
fn depth_is_limited() {
    let depth = |script: &str| {
        let mut lua = Interpreter::new(64 << 20);
        eval(&mut lua, &mut Fake::default(), Protocol::Resp3, script.as_bytes())
    };
    let arrays = depth("local t = {} t[1] = t return t");
    assert!(arrays.ends_with(b"*1\r\n-ERR reached lua stack limit\r\n"));
    assert_eq!(arrays.len() / 4, 7_900 + 7);
    assert!(depth("local t = {} t.map = {a = t} return t").ends_with(b"lua stack limit\r\n"));
    assert!(depth("local t = {} t.set = {[t] = 1} return t").ends_with(b"lua stack limit\r\n"));
    let encoded = depth("cjson.encode_max_depth(1e9) local t = {} t[1] = t cjson.encode(t)");
    assert!(encoded.starts_with(b"-ERR user_script:1: Cannot serialise, excessive nesting"));
    let decoded = depth("cjson.decode_max_depth(1e9) cjson.decode(('['):rep(1e6))");
    assert!(decoded.starts_with(b"-ERR user_script:1: Found too many nested data structures"));
    let decoded = depth("cjson.decode_max_depth(1e9) cjson.decode(('{\"a\":'):rep(1e6))");
    assert!(decoded.starts_with(b"-ERR user_script:1: Found too many nested data structures"));
    let unpacked = depth("cmsgpack.unpack(('\\145'):rep(1e6))");
    assert!(unpacked.starts_with(b"-ERR user_script:1: stack overflow"));
}

#[test]
fn no_script_changes_the_world_of_the_next() {
    let mut lua = Interpreter::new(64 << 20);
    let host = &mut Fake::default();
    for script in [
        "table.insert(redis, 1)",
        "table.sort(string) table.insert(_G, 5)",
        "rawset(_G, 'x', 1)",
        "x = 1",
        "setmetatable(_G, {})",
        "setmetatable('', {})",
        "getmetatable('').__index.rep = 1",
        "getmetatable('').__index = {}",
        "string.rep = nil",
        "for k, v in pairs(redis) do redis[k] = nil end",
        "local t = {} for k, v in pairs(_G) do t = v end t.call = 1",
        "local _, t = pairs(redis) t.call = nil",
        "collectgarbage('stop') collectgarbage('setpause', 1e9)",
        "KEYS = nil",
        "coroutine.wrap(function() x = 1 end)()",
        "loadstring('x = 1')()",
        "error(setmetatable({err = 'A b'}, {__index = _G}))",
    ] {
        eval(&mut lua, host, Protocol::Resp2, script.as_bytes());
        let whole = b"return {#redis, #_G, #string, #('x'):rep(3), type(redis.call), #KEYS, \
                      tostring(rawget(_G, 'x')), tostring(string.rep == ('').rep)}";
        let reply = eval(&mut lua, host, Protocol::Resp2, whole);
        let expect = "*8\r\n:0\r\n:0\r\n:0\r\n:3\r\n$8\r\nfunction\r\n:1\r\n$3\r\nnil\r\n\
                      $4\r\ntrue\r\n";
        assert_eq!(String::from_utf8_lossy(&reply), expect, "{script}");
    }
}

#[test]
fn precompiled_code_is_never_run() {
    for script in [
        "return loadstring(string.dump(function() return 1 end))",
        "local code = string.dump(function() return 1 end) \
         return load(function() local c = code code = nil return c end)",
        "local code = string.dump(function() return 1 end) local at = 0 \
         return load(function() at = at + 1 return code:sub(at, at) end)",
    ] {
        check(script, "$-1\r\n");
    }
    Interpreter::new(64 << 20).open(&mut Fake::default(), |lua| {
        assert!(lua.compile("a", b"\x1bLuaQ\0\x01\x04\x08\x04\x08\0").is_err());
    });
}

/// Scripts that need as much of the stack as they can.
#[test]
fn the_stack_is_large_enough() {
    let run = || {
        check(
            "local function f(n) if n == 0 then return 0 end \
             return select(2, pcall(f, n - 1)) + 1 end return tostring(f(180))",
            "$3\r\n180\r\n",
        );
        check("local function f() return f() + 1 end return pcall(f)", "$-1\r\n");
        let nested =
            "local s = 'x' for i = 1, 150 do s = s:gsub('x', function(x) return x end) end";
        check(nested, "$-1\r\n");
        check(
            "local function f(n) if n == 0 then return 'x' end return (('x'):gsub('x', \
               function() return f(n - 1) end)) end return f(150)",
            "$1\r\nx\r\n",
        );
        check(
            "local function f(n) if n == 0 then return ('a'):rep(5000):find(('a?'):rep(5000)) end \
             return (('x'):gsub('x', function() return f(n - 1) end)) end return f(150)",
            "$1\r\n1\r\n",
        );
        check(
            "local function f(n) if n == 0 then return ('a'):rep(500):gsub(('a?'):rep(500), {}) \
             end return (('x'):gsub('x', function() return f(n - 1) end)) end return #f(150)",
            ":500\r\n",
        );
        check(
            "local long = ('b?'):rep(501) .. 'x' local function f(n) if n == 0 then return 'x' end \
             return (('x'):gsub(long, function() return f(n - 1) end)) end return f(150)",
            "$1\r\nx\r\n",
        );
        check(
            "return ('a'):rep(9e4):match(('(a?)'):rep(2) .. ('a?'):rep(9e4) .. '()')",
            "$1\r\na\r\n",
        );
        check(
            "return ('a'):rep(2e5):find(('a?'):rep(2e5))",
            "-ERR user_script:1: pattern too complex script: <sha>, on @user_script:1.\r\n",
        );
        check("return #cjson.encode(cjson.decode(('['):rep(999) .. (']'):rep(999)))", ":1998\r\n");
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES_MIN).spawn(run);
    thread.expect("a thread").join().expect("no overflow");
}
