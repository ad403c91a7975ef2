"""Scripts that do not end, take all memory, reach out of their sandbox, or never stop coming.

A script is hostile by one rule: whatever it does, others are told -BUSY, SCRIPT KILL ends it, and
nothing of it remains.
"""

import hashlib
import time

from harness import Lost
from hostile_ground import MEGABYTE, Asked, check, shown

BUSY = b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or " \
       b"SHUTDOWN NOSAVE.\r\n"
KILLED = rb"Script killed by user with SCRIPT KILL"
HELD_SECONDS_MAX = 2.5
KILL_SECONDS_MAX = 1.5
SCRIPTS = 14_000
SCRIPT_BYTES = 5_000
SCRIPT_SECONDS_MAX = 0.005

ENDLESS = {
    "loop": b"while true do end",
    "pcall": b"while true do pcall(function() while true do end end) end",
    "xpcall": b"while true do xpcall(function() while true do end end, function(e) while true do "
              b"end end) end",
    "pcall of call": b"while true do pcall(redis.call, 'get', 'w:string') end",
    "pcall of errors": b"while true do redis.pcall('nosuch') end",
    "coroutines": b"while true do coroutine.wrap(function() for i = 1, 100 do end end)() end",
    "coroutine that catches": b"while true do coroutine.resume(coroutine.create(function() "
                              b"while true do pcall(function() while true do end end) "
                              b"end end)) end",
    "gsub": b"while true do ('a'):rep(100):gsub('.', function(c) return c end) end",
    "sort": b"local t = {} for i = 1, 1000 do t[i] = i end "
            b"while true do table.sort(t, function(a, b) return a > b end) end",
    "error in handler": b"local function h() error(h) end while true do xpcall(error, h) end",
    "metatables": b"local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) "
                  b"while true do pcall(function() return t[1] end) end",
    "tostring": b"while true do tostring({}) tonumber('1') end",
    "loadstring": b"while true do loadstring('return 1')() end",
}


def is_busy(server, seconds):
    """Whether a new connection is told -BUSY within so many seconds; after how many it was."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        said, _ = server.ping(max(0.05, seconds - (time.monotonic() - begin)))
        if said == BUSY:
            return time.monotonic() - begin
        time.sleep(0.01)
    return None


def kill_script(server, asked, seconds=KILL_SECONDS_MAX):
    """SCRIPT KILL from another connection until the script ended; its reply, or None."""
    other = server.connect()
    begin = time.monotonic()
    try:
        other.send((b"SCRIPT", b"KILL"))
        other.socket.settimeout(seconds)
        said = other.raw()
    except (Lost, OSError) as error:
        said = b"(%s)" % str(error).encode()
    other.close()
    return said, asked.wait(max(0.05, seconds - (time.monotonic() - begin)))


def run_and_kill(ground, server, what, script, *more):
    """A script that has to be ended: busy, killed, and gone."""
    asked = Asked(server, b"EVAL", script, *(more or (b"0",)))
    busy = is_busy(server, HELD_SECONDS_MAX)
    if busy is None:
        ground.fail("%s, EVAL %s: no -BUSY within %.1f s (reply %s)", what, shown(script),
                    HELD_SECONDS_MAX, shown(asked.reply))
    said, reply = kill_script(server, asked)
    ground.equal("%s: SCRIPT KILL" % what, said, b"+OK\r\n")
    if reply is None:
        ground.fail("%s, EVAL %s: runs on %.1f s after SCRIPT KILL", what, shown(script),
                    KILL_SECONDS_MAX)
        return False
    ground.matches("%s: the reply of who ran it" % what, reply, KILLED)
    asked.close()
    return True


@check("script-endless")
def script_endless(ground):
    for what, script in ENDLESS.items():
        if not run_and_kill(ground, ground.main, what, script):
            ground.revive(True)
    one = ground.main.connect()
    ground.equal("SCRIPT KILL without a script", ground.raw(one, (b"SCRIPT", b"KILL")),
                 b"-NOTBUSY No scripts in execution right now.\r\n")
    one.close()
    return "%d scripts, each killed" % len(ENDLESS)


@check("script-busy-by-default", ours=True)
def script_busy_by_default(ground):
    server = ground.fresh(DREDIS_BUSY_REPLY_THRESHOLD=5000)
    asked = Asked(server, b"EVAL", b"while true do end", b"0")
    seconds = is_busy(server, 6.5)
    if seconds is None or not 4 < seconds < 6:
        ground.fail("-BUSY after %s s, expected 5", seconds)
    for command, expected in (((b"GET", b"a"), BUSY), ((b"MULTI",), b"+OK\r\n"),
                              ((b"EVAL", b"return 1", b"0"), BUSY), ((b"SCRIPT", b"FLUSH"), BUSY)):
        other = server.connect()
        ground.equal("%s while a script runs" % shown(command), ground.raw(other, command),
                     expected)
        other.close()
    said, reply = kill_script(server, asked)
    ground.matches("killed", reply or b"", KILLED)
    return "-BUSY after %s s" % (seconds and round(seconds, 2))


def kill_in_transaction(ground, script):
    """The script of a transaction is killed: EXEC is answered, and what the script did is gone."""
    server = ground.fresh()
    one = server.connect(5)
    one.calls([(b"MULTI",), (b"SET", b"k:multi", b"x"), (b"EVAL", script, b"0"), (b"PING",)])
    one.send((b"EXEC",))
    if is_busy(server, HELD_SECONDS_MAX) is None:
        ground.fail("EXEC with a script that loops: no -BUSY")
    other = server.connect()
    ground.equal("SCRIPT KILL in EXEC", ground.raw(other, (b"SCRIPT", b"KILL")), b"+OK\r\n")
    try:
        ground.matches("EXEC of SET, a killed EVAL, PING", one.raw(), KILLED)
    except Lost as lost:
        ground.fail("EXEC of SET, a killed EVAL, PING: %s; what came: %s", lost, shown(one.buffer))
    ground.equal("EXISTS k:new after the kill in EXEC", other.call(b"EXISTS", b"k:new"), 0)


@check("script-kill-takes-back", ours=True)
def script_kill_takes_back(ground):
    """A script that wrote everything it could is killed: nothing of it remains."""
    script = (b"redis.call('set', 'k:new', 'x') redis.call('del', 'w:string') "
              b"redis.call('hset', 'w:hash', 'f', 'changed', 'g', 'new') "
              b"redis.call('del', 'w:set') "
              b"redis.call('zadd', 'w:zset', 5, 'm', 6, 'n') "
              b"redis.call('rename', 'w:int', 'k:moved') "
              b"redis.call('persist', 'w:late') redis.call('append', 'w:large', 'y') "
              b"redis.call('del', 'w:hash2') redis.call('zremrangebyrank', 'w:zset2', 0, -2) "
              b"for i = 1, 2000 do redis.call('set', 'k:' .. i, i) end while true do %s end")
    for loop in (b"", b"redis.call('incr', 'k:count')",
                 b"pcall(function() redis.call('incr', 'k:count') while true do end end)"):
        if not run_and_kill(ground, ground.main, "wrote before", script % loop):
            break
        one = ground.main.connect()
        ground.equal("keys of the killed script", sorted(one.call(b"KEYS", b"k:*"))[:5], [])
        one.close()
        for complaint in ground.main.complaints():
            ground.fail("after the kill: %s", complaint)
    kill_in_transaction(ground, script % b"")
    # Its connection ends: the script goes on, and can be killed.
    asked = Asked(ground.main, b"EVAL", script % b"", b"0")
    is_busy(ground.main, HELD_SECONDS_MAX)
    asked.connection.socket.shutdown(2)
    time.sleep(0.1)
    ground.equal("SCRIPT KILL after a hang-up", kill_script(ground.main, asked)[0], b"+OK\r\n")
    one = ground.main.connect()
    ground.equal("keys of a client that hung up", sorted(one.call(b"KEYS", b"k:*"))[:5], [])
    return "4 kills and one after a hang-up, nothing remained"



@check("script-and-stop", ours=True)
def script_and_stop(ground):
    """SIGTERM and SHUTDOWN end a server in which a script loops, and nothing of that is kept."""
    script = b"redis.call('set', 'k:new', 'x') redis.call('del', 'w:string') while true do %s end"
    took = []
    for way in ("SIGTERM", "SHUTDOWN NOSAVE", "SIGTERM before busy",
                "SIGTERM and no threshold"):
        threshold = 5000 if "before" in way else 0 if "no threshold" in way else 200
        server = ground.fresh(DREDIS_BUSY_REPLY_THRESHOLD=threshold)
        asked = Asked(server, b"EVAL", script % b"pcall(function() while true do end end)", b"0")
        if threshold != 200:
            time.sleep(0.3)
        elif is_busy(server, HELD_SECONDS_MAX) is None:
            ground.fail("%s: not busy", way)
        begin = time.monotonic()
        if way == "SHUTDOWN NOSAVE":
            server.connect().send((b"SHUTDOWN", b"NOSAVE"))
        else:
            server.server.process.terminate()
        try:
            code = server.server.process.wait(9)
            ground.equal("%s while a script loops: exit code" % way, code, 0)
        except Exception:
            ground.fail("%s while a script loops did not end the server within 9 s", way)
            server.server.kill()
        took.append("%s %.1f s" % (way, time.monotonic() - begin))
        asked.close()
        server.server.start()
        one = server.connect()
        ground.equal("%s: the script's key" % way, one.call(b"EXISTS", b"k:new"), 0)
        one.close()
        for complaint in server.complaints():
            ground.fail("%s, started again: %s", way, complaint)
    return ", ".join(took)


# What a script may ask for, and what it is told. None: it may go on, and has to be killed.
MEMORY = rb"not enough memory"
BOMBS = [
    ("tables", b"local t = {} while true do t[#t + 1] = {{}, {}} end", MEMORY),
    ("one table", b"local t = {} for i = 1, 1e9 do t[i] = i end", MEMORY),
    ("doubling", b"local s = 'x' while true do s = s .. s end", MEMORY),
    ("rep", b"return #string.rep('x', 2^31 - 1)", MEMORY),
    ("rep of 2^40", b"return #string.rep('x', 2^40)", rb"^-ERR|^:0"),
    ("rep of rep", b"local s = string.rep('x', 3e7) return #string.rep(s, 3e7)", rb"^-ERR"),
    ("concat of one", b"local s, t = ('x'):rep(1e6), {} for i = 1, 1e6 do t[i] = s end "
     b"return #table.concat(t)", MEMORY),
    ("format", b"local s = ('x'):rep(1e7) return #string.format(('%s'):rep(100), "
     b"unpack((function() local t = {} for i = 1, 100 do t[i] = s end return t end)()))", MEMORY),
    ("gsub to more", b"return #(('x'):rep(1e6)):gsub('x', ('y'):rep(1e6))", MEMORY),
    ("closures", b"local t = {} while true do t[#t + 1] = function() return t end end", MEMORY),
    ("coroutines", b"local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
     MEMORY),
    ("coroutine in coroutine",
     b"local function f() return coroutine.wrap(f)() end return f()", rb"^-ERR"),
    ("recursion", b"local function f() return 1 + f() end return f()", rb"stack overflow"),
    ("recursion caught", b"local function f() return pcall(f) end return f()", rb""),
    ("metatable recursion", b"local t = {} setmetatable(t, {__index = function(t, k) return t[k] "
     b"end}) return t.x", rb"^-ERR"),
    ("deep source", b"return " + b"(" * 5000 + b"1" + b")" * 5000, rb"^-ERR"),
    ("many constants", b"local t = {" + b"'%d'," * 60_000 % tuple(range(60_000)) + b"} return #t",
     rb"^:60000"),
    ("many locals", b"local a = 1 " * 300, rb"^-ERR"),
    ("cjson deep", b"return cjson.encode((function() local t = {} for i = 1, 1e5 do t = {t} end "
     b"return t end)())", rb"excessive nesting|too deep|nest"),
    ("cjson circle", b"local t = {} t.t = t return cjson.encode(t)", rb"nesting"),
    ("cjson doubling",
     b"local t = {} for i = 1, 40 do t = {t, t} end return #cjson.encode(t)", None),
    ("cjson sparse", b"return cjson.encode({[2^30] = 1})", rb"sparse"),
    ("cjson sparse allowed", b"cjson.encode_sparse_array(false, 0, 0) "
     b"return #cjson.encode({[2^31 - 1] = 1})", None),
    ("cjson decode deep", b"return cjson.decode(('['):rep(1e6))", rb"nested|nesting"),
    ("cjson decode wide", b"return cjson.decode('[' .. ('{},'):rep(3e6) .. '{}]')", MEMORY),
    ("cjson decode number", b"return cjson.decode('[' .. ('9'):rep(1e7) .. ']')", rb""),
    ("cmsgpack circle", b"local t = {} t[1] = t return #cmsgpack.pack(t)", rb""),
    ("cmsgpack doubling", b"local t = {} for i = 1, 15 do t = {t, t, t, t} end "
     b"return #cmsgpack.pack(t)", None),
    ("cmsgpack many", b"local t = {} for i = 1, 70 do t[i] = ('x'):rep(5e6) end "
     b"return #cmsgpack.pack(unpack(t))", rb"^-ERR"),
    ("cmsgpack deep", b"return cmsgpack.unpack(('\\145'):rep(1e6))", rb"^-ERR"),
    ("cmsgpack huge array", b"return cmsgpack.unpack('\\221\\255\\255\\255\\255')", rb"^-ERR"),
    ("cmsgpack huge map", b"return cmsgpack.unpack('\\223\\255\\255\\255\\255')", rb"^-ERR"),
    ("cmsgpack huge string", b"return cmsgpack.unpack('\\219\\255\\255\\255\\255')", rb"^-ERR"),
    ("cmsgpack limit", b"return cmsgpack.unpack_limit(('\\1'):rep(100), 2^31, 0)", rb""),
    ("struct pad", b"return #struct.pack(('x'):rep(1e6))", rb""),
    ("struct size", b"return struct.size('c2147483647c2147483647')", rb""),
    ("struct unpack far", b"return struct.unpack('c2147483647', 'x')", rb"^-ERR"),
    ("struct unpack offset", b"return struct.unpack('i4', 'abcd', 9223372036854775807)", rb""),
    ("bit", b"return bit.tohex(1, -2147483648) .. bit.lshift(1, 1e300)", rb""),
    ("unpack", b"return {unpack({}, 1, 1e8)}", rb"too many results"),
    ("unpack beyond", b"return {unpack({}, -2147483648, 2147483647)}", rb"too many results"),
    ("unpack nan", b"return {unpack({}, 0/0, 1/0)}", rb""),
    ("select", b"return select('#', unpack({}, 1, 7000))", rb"^:7000"),
    ("string.byte", b"return select('#', ('x'):rep(1e7):byte(1, -1))", rb"^-ERR"),
    ("string.char", b"return string.char(unpack({1e300, -1}))", rb"^-ERR"),
    ("format width", b"return string.format('%99999999d', 1)", rb"^-ERR"),
    ("format many", b"return string.format('%s')", rb"^-ERR"),
    ("table.insert far", b"local t = {} table.insert(t, 2^53, 1) return #t", rb""),
    ("table.concat far", b"return table.concat({}, '', 1, 2^31 - 1)", rb"^-ERR"),
    ("table.concat long", b"local t = setmetatable({}, {__index = function() return 'x' end}) "
     b"return table.concat(t, 'x', 1, 2^31 - 1)", rb"^-ERR"),
    ("table.remove far", b"local t = {} t[2^31] = 1 table.remove(t, 1) return 1", rb""),
    ("tostring loop", b"return tostring(setmetatable({}, {__tostring = function(t) return "
     b"tostring(t) end}))", rb"^-ERR"),
    ("reply of a table in itself", b"local t = {} t[1] = t return t", rb"stack limit"),
    ("error of a table in itself", b"local t = {} t.err = t error(t)", rb"^-"),
    ("error of nil", b"error()", rb"^-ERR"),
    ("giant error", b"error(('x'):rep(3e7))", rb"^-"),
    ("giant error reply", b"return redis.error_reply(('x'):rep(3e6))", rb"^-"),
    ("log of much", b"for i = 1, 100 do redis.log(redis.LOG_NOTICE, ('x'):rep(1e5)) end return 1",
     rb"^:1"),
    ("sha1hex of much", b"return redis.sha1hex(('x'):rep(1e7))", rb"^\$40"),
    ("echo of much",
     b"local s = ('x'):rep(2e7) for i = 1, 100 do redis.call('echo', s) end return 1",
     rb""),
    ("load of endless source", b"return load(function() return 'x = 1 ' end)", None),
    ("load of a long name", b"return loadstring('return ' .. ('x'):rep(1e7))", rb""),
    ("gsub of much", b"return #(('x'):rep(1e7):gsub('x', ''))", rb"^:0"),
    ("sort that lies", b"local t = {} for i = 1, 1e5 do t[i] = i % 7 end "
     b"table.sort(t, function(a, b) return true end) return 1", rb""),
    ("insert before", b"local t = {} for i = 1, 3e4 do table.insert(t, 1, i) end return #t", None),
]


@check("script-bombs", ours=True)
def script_bombs(ground):
    """Each ends with an error, or can be killed; memory stays within bounds."""
    server = ground.fresh()
    slowest, highest, killed = (0, ""), (0, ""), []
    for what, script, expected in BOMBS:
        server.reset_peak()
        before = server.memory()
        asked = Asked(server, b"EVAL", script, b"0")
        reply = asked.wait(HELD_SECONDS_MAX)
        if reply is None:
            said, reply = kill_script(server, asked, 3)
            killed.append(what)
            if expected is not None:
                ground.fail("%s, EVAL %s: held the server %.1f s, expected %s", what, shown(script),
                            HELD_SECONDS_MAX, shown(expected))
            if reply is None:
                ground.fail("%s, EVAL %s: runs on after SCRIPT KILL (%s), PING: %s", what,
                            shown(script), shown(said), shown(server.ping()[0]))
        elif expected is not None:
            ground.matches("%s, EVAL %s" % (what, shown(script)), reply[:300] + reply[-300:],
                           expected)
        if not server.runs() or reply is None:
            ground.fail("%s, EVAL %s: the server had to be started again: %s", what,
                        shown(script), shown(server.server.log_tail(4)))
            server.server.kill()
            server = ground.fresh()
            ground.others.remove(server)
            ground.others[:] = [server]
            continue
        grown = (server.peak() - before) // MEGABYTE
        slowest = max(slowest, (round(asked.seconds, 2), what))
        highest = max(highest, (grown, what))
        # Twice what scripts may take, a copy on the way out, and what the allocator keeps.
        ground.below("%s, EVAL %s: MB taken" % (what, shown(script)), grown, 256)
        asked.close()
    one = server.connect()
    ground.equal("a script after all", one.call(b"EVAL", b"return #('x'):rep(10)", b"0"), 10)
    one.close()
    return "%d bombs; killed: %s; slowest %.2f s (%s); most memory %d MB (%s); %s" % (
        len(BOMBS), ", ".join(killed) or "none", *slowest, *highest,
        ground.settled(server, 256 * MEGABYTE))


PATTERNS = [
    ("find backtracking", b"return ('a'):rep(30000):find(('a-'):rep(30) .. 'b')"),
    ("find stars", b"return ('a'):rep(3000):find(('a*'):rep(20) .. 'b')"),
    ("find all but the last", b"return ('a'):rep(100):find(('.-'):rep(10) .. 'b')"),
    ("match optional", b"return ('a'):rep(40):match(('a?'):rep(40) .. ('a'):rep(41))"),
    ("match again", b"return ('a'):rep(1e6):match('(.-)%1b')"),
    ("gsub captures", b"return (('a'):rep(20000):gsub(('(a-)'):rep(20) .. 'b', ''))"),
    ("gsub by a function", b"return ('a'):rep(20000):gsub(('a-'):rep(20) .. 'b', function() end)"),
    ("gsub to nothing", b"return (('a'):rep(1e6):gsub('(b*)', ('%1'):rep(1e6)))"),
    ("gmatch", b"for _ in ('a'):rep(30000):gmatch(('.-'):rep(20) .. 'b') do end"),
    ("balance", b"return ('('):rep(300000):find('%b()')"),
    ("frontier", b"return ('a'):rep(100000):find('%f[a]' .. ('.-'):rep(10) .. 'c')"),
    ("large set", b"return ('a'):rep(1e6):find('[' .. ('b'):rep(1e6) .. ']')"),
    ("caught", b"while true do pcall(string.find, ('a'):rep(1000), ('.-'):rep(10) .. 'b') end"),
]


@check("script-pattern-bombs", ours=True)
def script_pattern_bombs(ground):
    """Patterns of Lua that try everything are scripts that do not end, as others are."""
    for what, script in PATTERNS:
        if not run_and_kill(ground, ground.main, what, script):
            ground.revive(True)
    # What is searched for as it is takes no time to speak of.
    one = ground.main.connect()
    begin = time.monotonic()
    ground.equal("plain find", one.call(b"EVAL", b"return (('a'):rep(3e6)):find(('a'):rep(1e6) .. "
                                        b"'b', 1, true)", b"0"), None)
    seconds = time.monotonic() - begin
    one.close()
    ground.below("seconds for a plain find", round(seconds, 2), 1)
    return "%d patterns, each killed; a plain find %.0f ms" % (len(PATTERNS), seconds * 1000)


SANDBOX = [
    (b"return type(os.execute or nil)", None), (b"return type(io)", None),
    (b"return type(require)", None), (b"return type(package)", None),
    (b"return type(debug)", None), (b"return type(dofile)", None), (b"return type(loadfile)", None),
    (b"return type(print)", None), (b"return type(module)", None), (b"return type(newproxy)", None),
    (b"return os.exit()", rb"^-ERR"), (b"return os.getenv('HOME')", rb"^-ERR"),
    (b"return os.remove('/tmp/x')", rb"^-ERR"),
    (b"return loadstring(string.dump(function() return 1 end))", rb"^\$-1|^-ERR"),
    (b"return load(function() return nil end)", rb""),
    (b"return loadstring('\\27Lua')", rb"^\$-1|^-"),
    (b"return tostring(setfenv and setfenv(1, {}))", rb""),
    (b"x = 1", rb"readonly table|global variable"), (b"return undefined", rb"nonexistent global"),
    (b"_G.x = 1", rb"readonly table|global variable"), (b"_G = {}", rb"readonly|global variable"),
    (b"rawset(_G, 'x', 1)", rb"readonly"), (b"rawset(_G, '__index', 1)", rb"readonly"),
    (b"setmetatable(_G, {})", rb"readonly"), (b"setmetatable(string, {})", rb"readonly"),
    (b"string.rep = nil", rb"readonly"), (b"redis.call = nil", rb"readonly"),
    (b"cjson.encode = nil", rb"readonly"), (b"table.insert(redis, 1)", rb"readonly|^\$-1"),
    (b"getmetatable('').__index = {}", rb"^-ERR"), (b"getmetatable(_G).__index = nil", rb"^-ERR"),
    (b"math.random = nil", rb"readonly"), (b"KEYS = 1", rb""), (b"table.sort(string)", rb""),
    (b"for k in pairs(_G) do _G[k] = nil end", rb"readonly"),
    (b"coroutine.wrap(function() rawset(_G, 'x', 1) end)()", rb"readonly|^-ERR"),
    (b"redis.setresp(9)", rb"^-ERR RESP version must be 2 or 3"),
    (b"redis.call()", rb"^-ERR Please specify at least one argument"),
    (b"redis.call({})", rb"^-ERR"), (b"redis.call('\\0')", rb"^-ERR"),
    (b"return redis.call('eval', 'return 1', 0)", rb"^-ERR This Redis command is not allowed"),
    (b"return redis.call('multi')", rb"^-ERR This Redis command is not allowed"),
    (b"return redis.call('shutdown')", rb"^-ERR This Redis command is not allowed"),
    (b"return redis.call('auth', 'x')", rb"^-ERR This Redis command is not allowed"),
    (b"return redis.call('config', 'set', 'timeout', 1)", rb"^-ERR This Redis command is not"),
    (b"return redis.call('watch', 'x')", rb"^-ERR This Redis command is not allowed"),
    (b"return redis.call('hello', 3)", rb"^-ERR This Redis command is not allowed"),
    (b"return redis.call('script', 'flush')", rb"^-ERR This Redis command is not allowed"),
    (b"return redis.call('client', 'kill', 'id', 1)", rb"^-ERR"),
    (b"return redis.call('set', 'f:undeclared', 'x')", rb"^\+OK"),
]


@check("script-sandbox")
def script_sandbox(ground):
    """Nothing outside, nothing kept: the next script finds the world as it was."""
    one = ground.main.connect()
    for script, expected in SANDBOX:
        one.send((b"EVAL", script, b"0"))
        reply = one.raw()
        if expected is None:
            expected = rb"nonexistent global|^\$3\r\nnil"
        ground.matches("EVAL %s" % shown(script), reply, expected)
        world = one.call(b"EVAL", b"return {type(redis.call), type(string.rep), ('x'):rep(3), "
                         b"#KEYS, "
                         b"type(cjson.encode), tostring(rawget(_G, 'x')), type(math.random)}", b"0")
        ground.equal("the world after %s" % shown(script), world,
                     [b"function", b"function", b"xxx", 0, b"function", b"nil", b"function"])
    one.send((b"EVAL", b"\x1bLuaQ\x00\x01\x04\x08\x04\x08\x00", b"0"))
    ground.matches("bytecode as a script", one.raw(), rb"^-ERR")
    one.call(b"DEL", b"f:undeclared")
    # 7.0 lists redis-server's own texts of later versions differently: patterns, not bytes.
    for command in ((b"EVAL", b"return 1", b"9223372036854775807"), (b"EVAL", b"return 1", b"-1"),
                    (b"EVAL", b"return 1", b"1"), (b"EVAL", b"return 1", b"x"),
                    (b"EVAL", b"return 1", b"9223372036854775808"), (b"EVALSHA", b"x", b"0"),
                    (b"EVALSHA", b"\x00" * 40, b"0"), (b"SCRIPT", b"EXISTS", b"\xff")):
        ground.rows([(command, None)])
    one.close()
    return "%d scripts" % len(SANDBOX)


@check("script-many", ours=True)
def script_many(ground):
    """Thousands of different scripts: memory has a bound. Those of SCRIPT LOAD are refused there,
    and of those of EVAL the ones that were not used for the longest time are forgotten."""
    server = ground.fresh()
    one = server.connect(60)
    server.reset_peak()
    before, kept, told = server.memory(), 0, b""
    while kept < SCRIPTS and not told:
        one.send(*[(b"SCRIPT", b"LOAD", b"return #'%d%s'" % (kept + n, b"s" * SCRIPT_BYTES))
                   for n in range(100)])
        for reply in one.raws(100):
            if reply.startswith(b"$"):
                kept += 1
            else:
                told = reply
    grown = (server.peak() - before) // MEGABYTE
    ground.below("MB taken by %d scripts" % kept, grown, 128)
    ground.equal("beyond the bound", told, b"-ERR not enough memory to keep another script, try "
                 b"SCRIPT FLUSH\r\n")
    begin = time.monotonic()
    one.calls([(b"EVAL", b"return 1", b"0")] * 40)
    each = (time.monotonic() - begin) / 40
    ground.below("seconds for EVAL 'return 1' 0 while %d scripts are kept" % kept,
                 round(each, 4), SCRIPT_SECONDS_MAX)
    ground.equal("SCRIPT FLUSH", one.call(b"SCRIPT", b"FLUSH"), b"OK")
    ground.equal("a script then", one.call(b"EVAL", b"return 7", b"0"), 7)
    loaded, used, unused = b"return 10", b"return 11", b"return 12"
    sha = {script: hashlib.sha1(script).hexdigest().encode() for script in (loaded, used, unused)}
    one.calls([(b"SCRIPT", b"LOAD", loaded), (b"EVAL", used, b"0"), (b"EVAL", unused, b"0")])
    for start in range(0, kept + SCRIPTS // 10, 100):
        scripts = [b"return #'%d%s'" % (n, b"s" * SCRIPT_BYTES) for n in range(start, start + 100)]
        replies = one.calls([(b"EVAL", script, b"0") for script in scripts])
        ground.equal("EVAL of scripts %d and on" % start, replies,
                     [len(script) - len(b"return #''") for script in scripts])
        one.call(b"EVAL", used, b"0")
    ground.equal("what is kept: loaded, used, unused",
                 one.call(b"SCRIPT", b"EXISTS", sha[loaded], sha[used], sha[unused]), [1, 1, 0])
    ground.equal("EVALSHA of a loaded script", one.call(b"EVALSHA", sha[loaded], b"0"), 10)
    # Error codes of a script's own are counted, but not all of them.
    for start in range(0, 5_000, 500):
        one.calls([(b"EVAL", b"return redis.error_reply(ARGV[1])", b"0", b"CODE%d x" % n)
                   for n in range(start, start + 500)])
    ground.rows([((b"EVAL", b"return redis.error_reply('OWN x')", b"0"), b"-OWN x\r\n")])
    info = ground.main.connect().call(b"INFO", b"errorstats")
    ground.matches("INFO errorstats after an error of a script", info, rb"errorstat_OWN:count=1")
    size = len(one.call(b"INFO", b"errorstats"))
    ground.below("bytes of INFO errorstats after 5,000 codes", size, 20_000)
    one.close()
    return "%d scripts, then %s, %d MB, EVAL %.1f ms; errorstats: %d bytes; %s" % (
        kept, shown(told[:30]), grown, each * 1000, size, ground.settled(server, 64 * MEGABYTE))
