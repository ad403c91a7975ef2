"""The commands that the differential test sends, and how each is made up.

A row is one command: its name, how often it comes, and a function that makes its arguments. A new
data type adds rows; those of sets, hashes and sorted sets are in collection_commands.py. Keys,
elements and values come from small pools, so that commands meet. Deliberately does not know what a
reply looks like: that is for the servers and for normalisers.py.

Times: a relative time is at least DISTANT, so that no key expires while the test runs in either
unit; an absolute one is far in the future or long past.
"""

from collection_commands import COLLECTION_ROWS, LEX

DISTANT = 200_000_000
PAST = [b"1", b"1000000000"]
FUTURE = [b"4102444800", b"4102444800000", b"9999999999999", b"5000000000000"]
BAD_TIMES = [b"0", b"-1", b"abc", b"", b"1.5", b"9223372036854775807", b"-9223372036854775808",
             b"9223372036854775808", b"9223372036854775", b"1e9", b" 5"]
INTS = [b"0", b"1", b"-1", b"2", b"7", b"10", b"100", b"9999", b"10000", b"123456789",
        b"9223372036854775807", b"-9223372036854775808", b"9223372036854775806",
        b"2147483647", b"-2147483648", b"4294967296"]
BAD_INTS = [b"9223372036854775808", b"-9223372036854775809", b"abc", b"", b" 1", b"1 ", b"+1",
            b"01", b"-0", b"0x10", b"1.0", b"1e3", b"--1", b"\x00", b"1\r\n"]
FLOATS = [b"0", b"1", b"-1", b"0.1", b"3.14", b"-2.5", b"1e3", b"1e-3", b"5.0e3", b"1e17",
          b"0.00000001", b"100.50", b"inf", b"-inf", b"nan", b"1e308", b"1e400", b"0x1p3",
          b".5", b"5.", b"abc", b"", b" 1", b"1 ", b"1e", b"123456789012345678"]
GARBAGE = [b"abc", b"", b"-", b"1.5", b"9223372036854775808", b"0x10", b" 1", b"NX", b"xx",
           b"GET", b"KEEPTTL", b"EX", b"PX", b"\xff\x00", b"*", b"COUNT", b"-1", b"0"]
PATTERNS = [b"*", b"k*", b"k?", b"[kl]*", b"k[0-9]", b"[^k]*", b"\\*", b"", b"*1*", b"nothing*",
            b"k[1-", b"\\", b"*\\", b"k[\\]]", b"[a-z]1", b"[z-a]1", b"***", b"{tag}*"]
MUTATED_SHARE = 0.12
TYPED_KEYS = 4
OTHER_TYPE_SHARE = 0.06  # How often a command gets a key that most likely has another type.
FOLLOWED = {b"SET", b"GETEX", b"SETEX", b"PSETEX"}


class Maker:
    """Makes commands from one seed."""

    def __init__(self, rng, binary=False, without=()):
        self.rng = rng
        self.keys = [b"k%d" % n for n in range(24)] + [b"l1", b"{tag}a", b"{tag}b", b"a/b", b"..",
                     b".", b"%41", b"caf\xc3\xa9", b"with space", b"K1"]
        self.values = [b"", b"a", b"hello", b"Hello World", b"x" * 44, b"y" * 45, b"ohmytext",
                       b"mynewtext", b"3.0", b"10.5", b"5e3", b"v\r\nw", b"caf\xc3\xa9"]
        self.values += INTS + BAD_INTS[:4]
        if binary:
            self.keys += [b"", b"\x00", b"\xff\xfe\x00\r\n", b"n" * 255, b"m" * 300, b"\xc3" * 100,
                          b"-", b"\n", b"%", b"%~", b"z\xe2\x80\xae"]
            self.values += [b"\x00" * 10, bytes(range(256)), b"\xff" * 5000, b"z" * 70000]
        self.typed_keys = {kind: [b"%s%d" % (kind[:1].encode(), n) for n in range(TYPED_KEYS)]
                           for kind in ("set", "hash", "zset")}
        self.members = [b"a", b"b", b"c", b"d", b"aa", b"hello", b"Hello World", b"1", b"2", b"3",
                        b"-7", b"01", b"-0", b"1.0", b"0.1", b"", b"a/b", b".", b"%41", b"x" * 64,
                        b"caf\xc3\xa9", b"9223372036854775807", b"m1", b"m77", b"m1500", b"77"]
        if binary:
            for keys in self.typed_keys.values():
                keys += [b"%b\x00\xff/" % keys[0], b"%b" % keys[0] * 140]
            self.members += [b"\x00", b"\xff\xfe\x00\r\n", b"n" * 255, b"m" * 300, b"\xc3" * 100,
                             b"\n", b"%", b"%~", b"x" * 65, b"y" * 5000, bytes(range(256))]
        self.every_key = self.keys + [key for keys in self.typed_keys.values() for key in keys]
        self.rows = [row for row in ROWS if row[0].decode() not in without]
        self.weights = [weight for _, weight, _ in self.rows]

    def pick(self, choices):
        return self.rng.choice(choices)

    def chance(self, share):
        return self.rng.random() < share

    def key(self):
        """A key for a string, most often."""
        return self.pick(self.every_key if self.chance(OTHER_TYPE_SHARE) else self.keys)

    def typed(self, kind):
        """A key for a set, a hash or a zset, most often."""
        if self.chance(OTHER_TYPE_SHARE):
            return self.pick(self.every_key)
        return self.pick(self.typed_keys[kind])

    def any_key(self):
        if self.chance(0.3):
            return self.typed(self.pick(["set", "hash", "zset"]))
        return self.key()

    def any_keys(self, most=4):
        return [self.any_key() for _ in range(self.rng.randint(1, most))]

    def member(self):
        """A member of a set or a zset, or a field of a hash."""
        if self.chance(0.15):
            return b"m%d" % self.rng.randrange(3000)
        return self.pick(self.members[:8] if self.chance(0.6) else self.members)

    def some_members(self, most=4):
        return [self.member() for _ in range(self.rng.randint(1, most))]

    def some_keys(self, most=4):
        return [self.key() for _ in range(self.rng.randint(1, most))]

    def value(self):
        return self.pick(self.values)

    def int(self, bad=0.15):
        return self.pick(BAD_INTS) if self.chance(bad) else self.pick(INTS)

    def small(self):
        if self.chance(0.05):
            return self.int()
        return b"%d" % self.rng.randint(-12, 50)

    def time(self):
        """A relative time. Two of them are never close to each other: GT and LT compare them."""
        if self.chance(0.2):
            return self.pick(BAD_TIMES)
        return b"%d" % self.rng.randrange(DISTANT, 20 * DISTANT)

    def moment(self):
        """An absolute time."""
        if self.chance(0.15):
            return self.pick(BAD_TIMES)
        return self.pick(PAST) if self.chance(0.2) else self.pick(FUTURE)

    def case(self, word):
        return word.lower() if self.chance(0.3) else word

    def expiry(self):
        word = self.pick([b"EX", b"PX", b"EXAT", b"PXAT"])
        return [self.case(word), self.moment() if word.endswith(b"AT") else self.time()]

    def next(self):
        """A list of commands that belong together, most often one."""
        name, _, make = self.rng.choices(self.rows, self.weights)[0]
        args = [self.case(word) for word in name.split()] + make(self)
        rigid = name in RIGID or any(arg.startswith(LEX) for arg in args)
        command = args if rigid or not self.chance(MUTATED_SHARE) else self.mutate(args)
        if command[0].upper() in FOLLOWED and len(command) > 1:
            # SET with a time long past leaves a key that goes when it is next looked at.
            return [command, [b"EXISTS", command[1]]]
        return [command]

    def mutate(self, args):
        """Drops, adds, swaps or spoils an argument."""
        changed = list(args)
        way = self.rng.randint(0, 3)
        at = self.rng.randrange(1, len(changed)) if len(changed) > 1 else 1
        if way == 0 and len(changed) > 1:
            del changed[at]
        elif way == 1:
            changed.insert(at, self.pick(GARBAGE))
        elif way == 2 and len(changed) > 2:
            other = self.rng.randrange(1, len(changed))
            changed[at], changed[other] = changed[other], changed[at]
        elif len(changed) > 1:
            changed[at] = self.pick(GARBAGE)
        return args if soon(changed) or half_hello(changed) else changed


def soon(args):
    """Whether a command may set a time that falls within the test."""
    if args[0].upper() not in (b"SET", b"GETEX", b"SETEX", b"PSETEX", b"EXPIRE", b"PEXPIRE"):
        return False
    return any(arg.isdigit() and 0 < int(arg) < DISTANT for arg in args[1:])


def half_hello(args):
    """Whether this is a HELLO with a name that fails behind it: 7.0 sets the name, 7.2 does not."""
    words = [arg.upper() for arg in args]
    return words[0] == b"HELLO" and b"SETNAME" in words and len(args) != 4


def set_options(m):
    options = []
    if m.chance(0.5):
        options += m.expiry()
    elif m.chance(0.2):
        options.append(m.case(b"KEEPTTL"))
    if m.chance(0.3):
        options.append(m.case(m.pick([b"NX", b"XX"])))
    if m.chance(0.3):
        options.append(m.case(b"GET"))
    if m.chance(0.05):
        options.append(m.pick([b"NX", b"XX", b"BOGUS", b"PERSIST", b"EX", b"KEEPTTL"]))
    if m.chance(0.1):
        m.rng.shuffle(options)
    return options


def make_set(m):
    args = [m.key(), m.value()] + (set_options(m) if m.chance(0.6) else [])
    return args if not soon([b"SET"] + args[2:]) else args[:2]


def make_getex(m):
    if m.chance(0.3):
        return [m.key()]
    if m.chance(0.3):
        return [m.key(), m.case(b"PERSIST")]
    return [m.key()] + m.expiry()


def pairs(m, most=4):
    return [part for _ in range(m.rng.randint(1, most)) for part in (m.key(), m.value())]


def expire_options(m):
    count = m.rng.choice([0, 0, 1, 2])
    words = [m.case(m.pick([b"NX", b"XX", b"GT", b"LT"])) for _ in range(count)]
    return words + ([b"BOGUS"] if m.chance(0.03) else [])


def scan_options(m):
    options = []
    if m.chance(0.6):
        options += [m.case(b"MATCH"), m.pick(PATTERNS)]
    if m.chance(0.6):
        options += [m.case(b"COUNT"), m.pick([b"1", b"3", b"10", b"1000", b"0", b"-1", b"abc"])]
    if m.chance(0.4):
        options += [m.case(b"TYPE"), m.pick([b"string", b"STRING", b"hash", b"set", b"zset",
                                             b"ZSET", b"nosuch"])]
    return options


def lcs_options(m):
    options = [m.case(word) for word in (b"LEN", b"IDX", b"WITHMATCHLEN") if m.chance(0.4)]
    if m.chance(0.3):
        options += [m.case(b"MINMATCHLEN"), m.small()]
    return options


def copy_options(m):
    options = []
    if m.chance(0.4):
        options += [m.case(b"DB"), m.pick([b"0", b"1", b"15", b"16", b"-1", b"abc"])]
    if m.chance(0.4):
        options.append(m.case(b"REPLACE"))
    return options


def database(m):
    return m.pick([b"0", b"1", b"0", b"1", b"15", b"16", b"-1", b"abc", b"99999999999999999999"])


def offset(m):
    choices = [b"0", b"1", b"5", b"20", b"100", b"-1", b"536870911", b"536870912", b"abc",
               b"9223372036854775807"]
    return m.pick(choices[:5]) if m.chance(0.8) else m.pick(choices)


def setrange(m):
    at = offset(m)
    # A value of half a gigabyte proves nothing here and takes minutes: an empty patch makes none.
    return [m.key(), at, b"" if at == b"536870911" else m.value()]


INNER = [[b"GET", b"k1"], [b"SET", b"k1", b"v", b"EX", b"1000"],
         [b"MSET", b"k1", b"1", b"k2", b"2"],
         [b"DEL", b"k1", b"k2"], [b"MGET", b"a", b"b"], [b"RENAME", b"a", b"b"],
         [b"LCS", b"a", b"b"],
         [b"OBJECT", b"ENCODING", b"k1"], [b"PING"], [b"NOSUCH", b"a"], [b"GET"],
         [b"COPY", b"a", b"b"],
         [b"SET", b"a", b"v", b"GET"], [b"MSETNX", b"a", b"1"], [b"EXISTS", b"a"], [b"KEYS", b"*"],
         [b"SADD", b"s", b"a", b"b"], [b"SMOVE", b"s", b"t", b"a"], [b"HSET", b"h", b"f", b"v"],
         [b"SINTERCARD", b"2", b"s", b"t"], [b"SDIFFSTORE", b"d", b"s", b"t"],
         [b"ZADD", b"z", b"1", b"a"], [b"ZDIFF", b"1", b"z"],
         [b"ZUNIONSTORE", b"d", b"2", b"a", b"b", b"WEIGHTS", b"1", b"2"],
         [b"ZRANGESTORE", b"d", b"z", b"0", b"-1"], [b"ZMPOP", b"2", b"a", b"b", b"MIN"]]
DOCUMENTED = [b"get", b"SET", b"mset", b"del", b"nosuch", b"rename", b"scan", b"expire", b"lcs",
              b"getex", b"append", b"ping", b"copy", b"dbsize", b"select", b"object", b"sadd",
              b"spop", b"sinterstore", b"sintercard", b"smove", b"hset", b"HGETALL", b"hincrby",
              b"hscan", b"zadd", b"zrange", b"zunionstore", b"zmpop", b"zcount", b"swapdb"]
CLIENT_KILLS = [[b"ID", b"999999999"], [b"1.2.3.4:5"], [b"ADDR", b"1.2.3.4:5"], [b"ID", b"abc"],
                [b"TYPE", b"bogus"], [b"TYPE", b"master"], [b"USER", b"nosuch"], [b"ID"], [],
                [b"LADDR", b"1.2.3.4:5"], [b"SKIPME", b"maybe"], [b"BOGUS", b"x"], [b"ID", b"0"],
                [b"ADDR", b"1.2.3.4:5", b"SKIPME", b"no"], [b"MAXAGE", b"abc"]]
ODD = [[b"NOSUCH"], [b"NOSUCH", b"a", b"b c", b"x" * 200], [b""], [b"GET\r\n", b"x"], [b"\x00"],
       [b"OBJECT"], [b"OBJECT", b"NOSUCH", b"k1"], [b"OBJECT", b"HELP"], [b"CLIENT"],
       [b"CLIENT", b"NOSUCH"], [b"CONFIG"], [b"CONFIG", b"GET"], [b"CONFIG", b"NOSUCH", b"x"],
       [b"CONFIG", b"SET", b"nosuch", b"1"], [b"CONFIG", b"SET", b"nosuch"],
       [b"COMMAND", b"NOSUCH"],
       [b"CONFIG", b"GET", b"nosuch"], [b"COMMAND", b"GETKEYS"], [b"SHUTDOWN", b"BOGUS"],
       [b"SHUTDOWN", b"ABORT"], [b"SHUTDOWN", b"SAVE", b"NOSAVE"], [b"FLUSHALL", b"BOGUS"],
       [b"FLUSHDB", b"SYNC", b"ASYNC"], [b"AUTH"], [b"AUTH", b"x"], [b"AUTH", b"default", b"x"],
       [b"AUTH", b"nosuch", b"x"], [b"AUTH", b"a", b"b", b"c"], [b"HELLO", b"4"],
       [b"HELLO", b"abc"],
       [b"HELLO", b"1"], [b"HELLO", b"3", b"BOGUS"], [b"HELLO", b"3", b"AUTH", b"nosuch", b"x"],
       [b"HELLO", b"2", b"SETNAME", b"a b"], [b"HELLO", b"3", b"SETNAME"], [b"TIME", b"x"],
       [b"DBSIZE", b"x"], [b"RANDOMKEY", b"x"], [b"x" * 300], [b"get", b"a", b"b"]]

# name, weight, arguments
ROWS = [
    (b"SET", 40, make_set),
    (b"GET", 20, lambda m: [m.key()]),
    (b"GETEX", 10, make_getex),
    (b"GETDEL", 6, lambda m: [m.key()]),
    (b"GETSET", 6, lambda m: [m.key(), m.value()]),
    (b"SETNX", 6, lambda m: [m.key(), m.value()]),
    (b"SETEX", 6, lambda m: [m.key(), m.time(), m.value()]),
    (b"PSETEX", 6, lambda m: [m.key(), m.time(), m.value()]),
    (b"MSET", 6, pairs),
    (b"MSETNX", 6, lambda m: pairs(m, 3)),
    (b"MGET", 8, lambda m: m.some_keys()),
    (b"APPEND", 10, lambda m: [m.key(), m.value()]),
    (b"STRLEN", 8, lambda m: [m.key()]),
    (b"INCR", 10, lambda m: [m.key()]),
    (b"DECR", 8, lambda m: [m.key()]),
    (b"INCRBY", 10, lambda m: [m.key(), m.int()]),
    (b"DECRBY", 8, lambda m: [m.key(), m.int()]),
    (b"INCRBYFLOAT", 12, lambda m: [m.key(), m.pick(FLOATS)]),
    (b"SETRANGE", 8, setrange),
    (b"GETRANGE", 8, lambda m: [m.key(), m.small(), m.small()]),
    (b"SUBSTR", 4, lambda m: [m.key(), m.small(), m.small()]),
    (b"LCS", 8, lambda m: [m.key(), m.key()] + lcs_options(m)),
    (b"DEL", 8, lambda m: m.any_keys(3)),
    (b"UNLINK", 5, lambda m: m.any_keys(3)),
    (b"EXISTS", 8, lambda m: m.any_keys()),
    (b"TOUCH", 4, lambda m: m.any_keys()),
    (b"TYPE", 6, lambda m: [m.any_key()]),
    (b"KEYS", 2, lambda m: [m.pick(PATTERNS)]),
    (b"SCAN", 3, lambda m: [b"0"] + scan_options(m)),
    (b"SCAN", 1, lambda m: [m.pick([b"abc", b"-1", b"", b"1x", b"99999999999999999999999"])]),
    (b"RANDOMKEY", 1, lambda m: []),
    (b"RENAME", 8, lambda m: [m.any_key(), m.any_key()]),
    (b"RENAMENX", 6, lambda m: [m.any_key(), m.any_key()]),
    (b"COPY", 8, lambda m: [m.any_key(), m.any_key()] + copy_options(m)),
    (b"MOVE", 5, lambda m: [m.any_key(), database(m)]),
    (b"OBJECT ENCODING", 10, lambda m: [m.any_key()]),
    (b"OBJECT REFCOUNT", 2, lambda m: [m.any_key()]),
    (b"OBJECT IDLETIME", 2, lambda m: [m.any_key()]),
    (b"OBJECT FREQ", 2, lambda m: [m.any_key()]),
    (b"EXPIRE", 10, lambda m: [m.any_key(), m.time()] + expire_options(m)),
    (b"PEXPIRE", 8, lambda m: [m.any_key(), m.time()] + expire_options(m)),
    (b"EXPIREAT", 6, lambda m: [m.any_key(), m.moment()] + expire_options(m)),
    (b"PEXPIREAT", 6, lambda m: [m.any_key(), m.moment()] + expire_options(m)),
    (b"TTL", 8, lambda m: [m.any_key()]),
    (b"PTTL", 8, lambda m: [m.any_key()]),
    (b"EXPIRETIME", 5, lambda m: [m.any_key()]),
    (b"PEXPIRETIME", 5, lambda m: [m.any_key()]),
    (b"PERSIST", 6, lambda m: [m.any_key()]),
    (b"SELECT", 3, lambda m: [database(m)]),
    (b"SWAPDB", 1.5, lambda m: [database(m), database(m)]),
    (b"DBSIZE", 3, lambda m: []),
    (b"FLUSHDB", 0.15, lambda m: m.pick([[], [b"SYNC"], [b"ASYNC"]])),
    (b"FLUSHALL", 0.1, lambda m: m.pick([[], [b"SYNC"], [b"ASYNC"]])),
    (b"PING", 3, lambda m: m.pick([[], [b"hello"], [b"a", b"b"]])),
    (b"ECHO", 3, lambda m: [m.value()]),
    (b"TIME", 1, lambda m: []),
    (b"INFO", 0.5, lambda m: m.pick([[], [b"server"], [b"nosuch"], [b"keyspace", b"stats"]])),
    (b"SAVE", 0.05, lambda m: []),
    (b"CLIENT ID", 1, lambda m: []),
    (b"CLIENT GETNAME", 2, lambda m: []),
    (b"CLIENT SETNAME", 2, lambda m: [m.pick([b"joe", b"", b"a b", b"x\n", b"caf\xc3\xa9", b"z"])]),
    (b"CLIENT INFO", 1, lambda m: []),
    (b"CLIENT LIST", 1, lambda m: m.pick([[], [b"TYPE", b"normal"], [b"TYPE", b"x"], [b"ID", b"a"],
                                          [b"ID"], [b"BOGUS"]])),
    (b"CLIENT KILL", 2, lambda m: m.pick(CLIENT_KILLS)),
    (b"COMMAND COUNT", 0.5, lambda m: []),
    (b"COMMAND INFO", 1, lambda m: [m.pick(DOCUMENTED) for _ in range(m.rng.randint(1, 3))]),
    (b"COMMAND DOCS", 0.5, lambda m: [m.pick(DOCUMENTED)]),
    (b"COMMAND LIST", 0.3, lambda m: m.pick([[], [b"FILTERBY", b"PATTERN", b"get*"],
                                             [b"FILTERBY", b"BOGUS", b"x"]])),
    (b"COMMAND GETKEYS", 3, lambda m: m.pick(INNER)),
    (b"CONFIG GET", 1, lambda m: [m.pick([b"save", b"appendonly", b"nosuch", b"port"])]),
    (b"HELLO", 1, lambda m: m.pick([[], [b"2"], [b"3"], [b"3", b"SETNAME", b"joe"]])),
    (b"RESET", 0.5, lambda m: []),
    (b"", 8, lambda m: m.pick(ODD)),
] + COLLECTION_ROWS
# Commands whose arguments are not to be spoiled: the result would end the test or a connection.
RIGID = {b"CLIENT KILL", b"CONFIG GET", b"", b"FLUSHALL", b"FLUSHDB"}
