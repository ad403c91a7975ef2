"""The scripts that the differential test sends, made of the commands of commands.py.

A script calls one to five of them by redis.call or redis.pcall. Their arguments are handed over as
KEYS and ARGV, or stand in the script as Lua writes them. It replies with the last reply or with all
of them, as they are or packed by a library; some fail halfway, or have flags that forbid what they
do. The order of members and what is picked at random are no part of what is packed: there a script
sorts, or counts. SPOP stays out, since what it takes would be two different things. Deliberately
does not know how a script is sent.
"""

import hashlib

from commands import FOLLOWED
from harness import parts
from normalisers import EXACT_TABLE, TABLE, agree, name

CALLS_MAX = 5
WORDS_MAX = 40  # A call with more arguments takes them from a table.
LEFT_OUT = {b"SPOP", b"COMMAND GETKEYS"}
# 7.0 knows less of these than 7.2, by the number of arguments.
NEWER = {b"ZRANK": lambda count: count > 3, b"ZREVRANK": lambda count: count > 3}
SCANS = {b"SCAN": 1, b"SSCAN": 2, b"HSCAN": 2, b"ZSCAN": 2}  # Where the cursor stands.
UNORDERED = {b"KEYS", b"SMEMBERS", b"SINTER", b"SUNION", b"SDIFF", b"HKEYS", b"HVALS", b"HGETALL"}
PICKS = {b"SRANDMEMBER", b"HRANDFIELD", b"ZRANDMEMBER"}
# Commands whose last argument may be an earlier reply.
TAKES_ANY = {b"APPEND", b"SETNX", b"GETSET", b"ECHO", b"SADD", b"HSETNX", b"GET", b"SISMEMBER"}

# Sorts what has no order, in both forms of a reply.
SORTED = b"""local function sorted(reply)
  if type(reply) ~= 'table' or reply.err then return reply end
  local list = {}
  for _, value in ipairs(reply) do list[#list + 1] = value end
  for value in pairs(reply.set or {}) do list[#list + 1] = value end
  for field, value in pairs(reply.map or {}) do list[#list + 1] = field .. '=' .. value end
  table.sort(list)
  return list
end"""
# What is sure of a reply that is picked at random, or written in another way.
SIZE = b"""local function size(reply)
  if type(reply) ~= 'table' then return type(reply) end
  return reply.err or reply.ok or #reply
end"""
# How many names a scan finds from its beginning to its end.
WALK = b"""local function walk(call, step, at, ...)
  local words, seen, found = {...}, {}, 0
  repeat
    local reply = call(unpack(words))
    if reply.err then return reply end
    for n = 1, #reply[2], step do
      if not seen[reply[2][n]] then found = found + 1 end
      seen[reply[2][n]] = true
    end
    words[at] = reply[1]
  until words[at] == '0'
  return found
end"""

# Lines that end a script, or try what it may not. A table without `err` as an error ends 7.0.
BREAKS = [
    b"error('boom')", b"error('boom', 0)", b"error({err='MY own'})", b"error()", b"error(7)",
    b"error('')", b"error('two\\r\\nlines')",
    b"redis.call('nosuch')", b"redis.call()", b"redis.pcall()", b"redis.call({})",
    b"redis.call('get', {})", b"redis.call('get', nil)", b"redis.call('get')", b"redis.call(true)",
    b"local x = nil .. 'a'", b"local x = {} + 1", b"nosuch()", b"x = 1", b"redis.x = 1",
    b"KEYS[1] = 'changed'", b"ARGV = {}", b"redis.setresp(4)", b"redis.setresp('x')",
    b"redis.setresp()", b"do return redis.error_reply('MY own') end", b"string.rep()",
    b"do return redis.error_reply('-lower case') end", b"do return {err='MY own'} end",
    b"do return redis.status_reply() end", b"assert(false)", b"assert(false, 'words')",
    b"assert(redis.pcall('incr', 's0', 'x').err == nil, 'no')", b"redis.call('multi')",
    b"redis.call('eval', 'return 1', 0)", b"redis.call('watch', 'k1')", b"redis.call('script')",
    b"redis.call('script', 'flush')", b"redis.call('client', 'id')", b"redis.call('auth', 'x')",
    b"redis.call('config', 'get', 'save')", b"redis.call('shutdown')", b"redis.call('hello', 3)",
    b"redis.pcall('exec')", b"redis.call('save')", b"redis.call('select', 1)", b"local = 1",
    b"redis.call('client', 'setname', 'x')", b"redis.sha1hex()", b"redis.log('x')",
    b"redis.call('get', 1.5)", b"redis.call('echo', 1e100)", b"redis.call('echo', 0/0)",
    b"setmetatable(_G, {})", b"loadstring('return redis.call(\"nosuch\")')()",
    b"pcall(redis.call, 'incr', 's0', 'x')", b"select(2, pcall(redis.call, 'nosuch')).err = 'x'",
    b"error(redis.pcall('nosuch'))", b"error(select(2, pcall(redis.call, 'nosuch')))",
]
# What a script returns, as Lua has it.
VALUES = [
    b"3.99", b"-3.99", b"1e15", b"2^53", b"-2^53", b"1e100", b"0/0", b"1/0", b"true", b"false",
    b"nil", b"''", b"'a\\0b'", b"{1, 2, {3, 'x', nil, 4}}", b"{}", b"{{}, {{}}}", b"{a=1}",
    b"{ok='fine'}", b"{ok=7}", b"{ok='two\\nlines'}", b"{err='MY own'}", b"{err='two\\nlines'}",
    b"{err=7}", b"{err=''}", b"{1, ok='fine'}", b"{double=3.25}", b"{double='x'}", b"{double=1/0}",
    b"{double=-2.5}", b"{map={a=1}}", b"{map={}}", b"{set={a=true}}", b"{set={}}", b"{set=1}",
    b"{big_number='12345678901234567890'}", b"{big_number='-1'}", b"{big_number=7}",
    b"{verbatim_string={format='txt', string='x'}}", b"{verbatim_string={format='toolong'}}",
    b"{verbatim_string={string='x'}}", b"{map={a={map={b={double=1}}}}}", b"{true, false, true}",
    b"tostring(1e15)", b"tostring(0.1)", b"tostring(1/3)", b"tostring(2^63)", b"1 .. ''",
    b"string.format('%d %5.2f %q %s', 3.7, 1/3, 'a\\nb', 'x')", b"print", b"tostring(nil)",
    b"redis.sha1hex('x')", b"redis.sha1hex(7)", b"redis.status_reply('fine')", b"#KEYS + #ARGV",
    b"redis.error_reply('MY own')", b"redis.error_reply('')", b"redis.status_reply(7)",
    b"type(redis.log)", b"redis.LOG_WARNING", b"redis.log(redis.LOG_DEBUG, 'x')", b"_VERSION",
    b"redis.log(9, 'x')", b"redis.replicate_commands()", b"redis.set_repl(redis.REPL_ALL)",
    b"redis.breakpoint()", b"redis.debug('x')", b"redis.REDIS_VERSION_NUM ~= nil",
    b"redis.acl_check_cmd('get', 'k1')", b"redis.acl_check_cmd('nosuch')", b"redis.acl_check_cmd()",
    b"redis.set_repl(99)", b"redis.set_repl()", b"redis.setresp(3)", b"{KEYS, ARGV}",
    b"cjson.encode({KEYS, ARGV})", b"cmsgpack.pack(KEYS, ARGV)", b"cjson.encode({a={}, b=1})",
    b"cjson.encode({[1]=1, [5]=2})", b"cjson.encode({[1]=1, [500]=2})", b"cjson.encode(0/0)",
    b"cjson.encode('\\0\\31\\127\\128/\"')", b"cjson.encode(1e15)", b"cjson.encode(0.1)",
    b"cjson.encode(print)", b"cjson.encode({[true]=1})", b"cjson.encode(cjson.null)",
    b"cjson.decode('[1, 2.5, \"x\", null, true, {}]')", b"cjson.decode('[1')", b"cjson.decode('')",
    b"cjson.decode('{\"ok\": \"x\"}')", b"cjson.decode('\"\\\\ud83d\\\\ude00\"')",
    b"cjson.decode('nul')", b"cjson.decode('[1e400, -0, 0x10]')", b"cjson.decode(7)",
    b"{cmsgpack.unpack(cmsgpack.pack(1, -1, 2^40, 1.5, 'x', {1, {a=2}}, nil, true))}",
    b"cmsgpack.pack()", b"cmsgpack.unpack('\\x00')", b"cmsgpack.pack(print, 1e300, -200, 2^32)",
    b"{cmsgpack.unpack_one(cmsgpack.pack(1, 2), 0)}", b"{cmsgpack.unpack_limit('\\1\\2\\3', 2, 0)}",
    b"{bit.bnot(1), bit.tobit(2^33 + 7), bit.rol(1, 33)}", b"bit.tohex(-1, -6)", b"bit.band()",
    b"struct.pack('>hIs', 1, 2, 'x')", b"{struct.unpack('<i4', '\\1\\2\\3\\4')}",
    b"struct.unpack('i4', 'x')", b"struct.pack('q', 1)", b"struct.pack('dfBc0', 1.5, 2.5, 3, 'x')",
    b"{math.floor(-1.5), math.fmod(7, -3), math.pi}", b"{string.byte('abc', 1, -1)}",
    b"{string.find('a.b', '.', 1, true)}", b"string.gsub('hello', 'l+', string.upper)",
    b"table.concat({1, 2.5, 'x'}, ',')", b"table.concat({{}})", b"{pcall(error, 'x')}",
    b"{pcall(redis.call, 'nosuch')}", b"{tonumber('0x10'), tonumber('z', 36), tonumber('x')}",
    b"select('#', unpack({1, nil, 3}))", b"next({})", b"{unpack({1, 2, 3}, 2)}", b"('x'):rep(3)",
]
# What is made of replies.
PACKED = [b"cjson.encode(%b)", b"cjson.encode(%b)", b"cmsgpack.pack(%b)", b"cmsgpack.pack(%b)",
          b"cjson.encode(cjson.decode(cjson.encode({%b})))", b"cmsgpack.unpack(cmsgpack.pack(%b))",
          b"type(%b)", b"{%b, 1}", b"redis.sha1hex(cjson.encode(%b))"]
SHEBANGS = [
    b"#!lua", b"#!lua flags=", b"#!lua flags=no-writes", b"#!lua flags=no-writes",
    b"#!lua flags=no-writes,allow-stale", b"#!lua flags=allow-oom", b"#!lua flags=no-cluster",
    b"#!lua flags=allow-cross-slot-keys", b"#!lua flags=bogus", b"#!lua name=x", b"#!python",
    b"#!lua flags=no-writes flags=allow-oom", b"#!LUA", b"#!", b"#!lua bogus", b"# a comment",
    b"#!lua flags=no-writes,", b"#!lua\tflags=no-writes", b"#!lua  flags=allow-stale ",
]
WRONG_COUNTS = [b"-1", b"99", b"abc", b"", b"1.5", b"9223372036854775807", b" 0", b"0"]
ABSENT = [b"0" * 40, b"f" * 40, b"abc", b"", b"x" * 41]


class Script(list):
    """EVAL or a relative with its arguments. `inner` holds the commands of the script, `replies`
    those whose replies it returns, None where one is not returned as it is; `table` says whether
    that is a table of them or one alone."""

    def __init__(self, words, inner=(), replies=(), table=False):
        super().__init__(words)
        self.inner, self.replies, self.table = list(inner), list(replies), table

    def agree(self, ours, theirs):
        """Whether the exact replies agree: what commands replied goes by their normalisers."""
        if ours == theirs:
            return True
        if not self.table:
            return len(self.replies) == 1 and same(self.replies[0], ours, theirs)
        ours, theirs = parts(ours), parts(theirs)
        return ours is not None and theirs is not None and len(ours) == len(theirs) and (
            len(ours) <= len(self.replies) and all(map(same, self.replies, ours, theirs)))


def same(command, ours, theirs):
    return ours == theirs or (command is not None and agree(command, ours, theirs))


def all_commands(command):
    """A command, and those that it runs if it is a script."""
    return [command] + (command.inner if isinstance(command, Script) else [])


def agrees(command, ours, theirs):
    if isinstance(command, Script):
        return command.agree(ours, theirs)
    return agree(command, ours, theirs)


class ScriptMaker:
    """Makes scripts from the commands and the chance of a Maker."""

    def __init__(self, maker):
        self.m, self.rng = maker, maker.rng

    def next(self, swaps=True):
        """A script, with what loads it where it is called by its hash, and what looks at the keys
        after it."""
        m = self.m
        if m.chance(0.03):
            return [self.of_scripts()]
        draft = Draft(self, self.commands(swaps))
        text = draft.text()
        read_only = m.chance(0.1)
        suffix = b"_RO" if read_only else b""
        before, words = [], [m.case(b"EVAL" + suffix), text]
        if m.chance(0.2):
            digest = hashlib.sha1(text).hexdigest().encode()
            before = [[b"SCRIPT", b"LOAD", text]] if m.chance(0.9) else []
            words = [m.case(b"EVALSHA" + suffix), digest.upper() if m.chance(0.2) else digest]
        count = m.pick(WRONG_COUNTS) if m.chance(0.03) else b"%d" % len(draft.keys)
        words += [count] + draft.keys + draft.args
        script = Script(words, draft.commands, *draft.returned)
        after = [[b"EXISTS", command[1]] for command in draft.commands
                 if name(command) in FOLLOWED and len(command) > 1]
        return before + [script] + after

    def of_scripts(self):
        m = self.m
        return m.pick([
            [b"SCRIPT", b"EXISTS", m.pick(ABSENT)], [b"SCRIPT", b"EXISTS"], [b"SCRIPT", b"NOSUCH"],
            [b"SCRIPT", b"FLUSH"] + m.pick([[], [b"SYNC"], [b"async"], [b"BOGUS"]]), [b"SCRIPT"],
            [b"SCRIPT", b"LOAD", m.pick([b"", b"return 1", b"return (", b"#!lua\nreturn 1"])],
            [b"SCRIPT", b"LOAD"], [b"SCRIPT", b"KILL"], [b"SCRIPT", b"EXISTS", *ABSENT],
            [b"SCRIPT", b"DEBUG"], [b"EVALSHA", m.pick(ABSENT), b"0"],
            [b"EVALSHA_RO", m.pick(ABSENT), b"0"], [b"EVAL"], [b"EVALSHA"], [b"EVAL", b"return 1"],
            [b"EVAL", m.pick([b"", b" ", b"return", b"return return", b"\x00", b"return 1 -- x",
                              b"return '\xff\xfe'", b"\x1bLua", b"--"]), b"0"],
        ])

    def commands(self, swaps):
        """One to five commands; a database is swapped once."""
        commands, many = [], self.rng.randint(1, CALLS_MAX)
        while len(commands) < many:
            commands += [command for command in self.m.next() if self.fits(command, swaps)]
            swaps = swaps and not any(name(command) == b"SWAPDB" for command in commands)
        return commands

    def fits(self, command, swaps):
        newer = NEWER.get(name(command), lambda _: False)(len(command))
        return name(command) not in LEFT_OUT and not newer and (swaps or name(command) != b"SWAPDB")


class Draft:
    """One script while it is written: its commands, what is handed over, what it returns."""

    def __init__(self, maker, commands):
        self.m, self.rng, self.commands = maker.m, maker.rng, commands
        self.keys, self.args, self.helpers = [], [], set()
        self.exact = []  # The numbers of replies that are the same text on both sides.
        self.calls = self.m.pick([0, 0, 0.2, 1])  # The share of redis.call, which ends at an error.
        self.returned = ((), False)

    def text(self):
        m = self.m
        way = self.rng.random()
        packed = 0.6 <= way < 0.8
        lines = [self.call(number, command, packed)
                 for number, command in enumerate(self.commands, 1)]
        if m.chance(0.08):
            lines.insert(self.rng.randint(0, len(lines)), m.pick(BREAKS))
        end = self.end(way)
        resp = [m.pick([b"redis.setresp(3)"] * 3 + [b"redis.setresp(2)"])] if m.chance(0.25) else []
        helpers = [text for text in (SORTED, SIZE, WALK) if text in self.helpers]
        lines = helpers + resp + [b"local r = {}"] + lines + [end]
        shebang = m.pick(SHEBANGS) + b"\n" if m.chance(0.1) else b""
        return shebang + m.pick([b"\n", b"\n", b"; ", b"\r\n"]).join(lines)

    def call(self, number, command, packed):
        """The line that runs a command and keeps its reply, and what that is to be compared as."""
        m, word = self.m, name(command)
        how = b"redis.call" if m.chance(self.calls) else b"redis.pcall"
        words = self.words(command, word)
        plain = b"%b(%b)" % (how, words)
        place = SCANS.get(word)
        compared = None
        if place and command[place : place + 1] == [b"0"]:
            step = 1 if word in (b"SCAN", b"SSCAN") else 2
            reply = self.help(WALK, b"walk(%b, %d, %d, %b)" % (how, step, place + 1, words))
        elif place or word == b"RANDOMKEY":
            reply = self.help(SIZE, b"size(%b)" % plain)
        elif word in UNORDERED and (packed or m.chance(0.5)):
            reply = self.help(SORTED, b"sorted(%b)" % plain)
        elif packed and (word in PICKS or word in EXACT_TABLE):
            reply = self.help(SIZE, b"size(%b)" % plain)
        elif packed and word in TABLE:
            reply = b"type(%b)" % plain
        else:
            reply, compared = plain, command
            if word not in TABLE and word not in EXACT_TABLE:
                self.exact.append(number)
        self.returned = (self.returned[0] + (compared,), False)
        return b"r[%d] = %b" % (number, reply)

    def help(self, helper, text):
        self.helpers.add(helper)
        return text

    def words(self, command, word):
        """The arguments of a call: handed over, or as literals, or both."""
        m = self.m
        handed = m.pick([0.0, 1.0, 1.0, 0.5])
        if len(command) > WORDS_MAX:
            if handed:
                self.args += command
                return b"unpack(ARGV, %d, %d)" % (len(self.args) - len(command) + 1, len(self.args))
            return b"unpack({%b})" % b", ".join(self.literal(arg) for arg in command)
        words = [self.literal(arg) if place == 0 or not m.chance(handed) else self.hand(arg, place)
                 for place, arg in enumerate(command)]
        if self.exact and word in TAKES_ANY and len(words) > 1 and m.chance(0.2):
            words[-1] = b"r[%d]" % m.pick(self.exact)
        return b", ".join(words)

    def hand(self, arg, place):
        """An argument as one of KEYS or ARGV."""
        if self.m.chance(0.9 if place == 1 else 0.1):
            self.keys.append(arg)
            return b"KEYS[%d]" % len(self.keys)
        self.args.append(arg)
        return b"ARGV[%d]" % len(self.args)

    def literal(self, arg):
        """An argument as Lua writes it: a number, or a string in one of its forms."""
        m = self.m
        if arg.isdigit() and arg.lstrip(b"0") == arg and m.chance(0.3):
            number = int(arg)
            return arg if number < 1 << 53 else b"'%b'" % arg
        if m.chance(0.2) and b"]==]" not in arg and not set(b"\r\n") & set(arg):
            return b"[==[%b]==]" % arg if arg[-1:] != b"]" else quoted(arg, False)
        return quoted(arg, m.chance(0.3))

    def end(self, way):
        """The last line, and with it what the reply is compared as."""
        m, (compared, _) = self.m, self.returned
        last = len(self.commands)
        self.returned = ((), False)
        if way < 0.35:
            self.returned = (compared, True)
            return b"return r"
        if way < 0.6:
            self.returned = (compared[-1:], False)
            return b"return r[%d]" % last
        if way < 0.8:
            what = m.pick([b"r", b"r", b"r[%d]" % last])
            return b"return " + m.pick(PACKED) % what
        if way < 0.86:
            return m.pick([b"return #r", b"", b"return", b"return type(r[1])"])
        return b"return %b" % m.pick(VALUES)


def quoted(arg, raw):
    """A string in quotes; bytes that are no ASCII stay as they are if `raw`."""
    out = bytearray()
    for byte in arg:
        if byte in b"'\\":
            out += b"\\%c" % byte
        elif 32 <= byte < 127 or (raw and byte >= 128):
            out.append(byte)
        else:
            out += b"\\%03d" % byte
    return b"'%b'" % out
