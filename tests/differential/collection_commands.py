"""The rows of sets, hashes and sorted sets: name, weight, arguments, as in commands.py.

Each type has keys of its own, and now and then takes one of another type. Most elements come from a
pool of two dozen; the bulk rows take a stretch of 3,000 others, so that collections of every size
from nothing to 3,000 elements meet. Deliberately does not know what a reply looks like.

BYLEX and its relatives mean something only where all scores are equal: they have keys of their own,
`lex...`, which no other row touches, with one score, 0.
"""

SCORES = [b"0", b"-0", b"1", b"1.0", b"2", b"3", b"3.0", b"3.2", b"0.1", b"0.2", b"-1", b"-2.5",
          b"0.30000000000000004", b"17", b"1e3", b"1e17", b"-1e17", b"1e20", b"1e-7", b"1e308",
          b"0x10", b"0x1p-3", b"inf", b"+inf", b"-inf", b"Infinity", b".5", b"5.", b"100.50",
          b"9007199254740993", b"123456789012345678", b"0.00001"]
BAD_SCORES = [b"nan", b"-nan", b"abc", b"", b" 1", b"1 ", b"1e", b"1e400", b"0x", b"1,5", b"--1",
              b"\x00"]
# One that many elements share, few that some do, and one for each.
BULK_SCORES = [lambda n: b"7", lambda n: b"%d" % (n % 5), lambda n: b"%d" % n,
               lambda n: b"%d.%d" % (n % 40, n % 10), lambda n: b"0.%d" % (n * 7)]
BULK_SIZES = [100, 130, 250, 520, 900, 1500, 3000]
COUNTS = [b"0", b"1", b"2", b"3", b"5", b"10", b"100", b"600", b"3000", b"5000"]
BAD_COUNTS = [b"abc", b"", b"1.5", b"9223372036854775808", b"-9223372036854775808", b" 1", b"01"]
ELEMENT_PATTERNS = [b"*", b"m*", b"m1*", b"?", b"[a-f]*", b"[0-9]*", b"*9", b"", b"nothing*",
                    b"m[1-3]?", b"\\*", b"a"]
LEX_BOUNDS = [b"-", b"+", b"[a", b"(a", b"[m", b"(m1", b"[m15", b"(m2000", b"[z", b"[", b"("]
BAD_LEX_BOUNDS = [b"a", b"", b"--", b"++", b"0", b"1"]


def score(m, bad=0.08):
    return m.pick(BAD_SCORES) if m.chance(bad) else m.pick(SCORES)


def bound(m):
    """An end of a range of scores."""
    mark = b"(" if m.chance(0.3) else b""
    return mark + (m.pick(BAD_SCORES) if m.chance(0.04) else m.pick(SCORES))


def scores(m):
    """Both ends of a range of scores; the lower one first, most often."""
    if m.chance(0.15):
        return [b"-inf", b"+inf"]
    ends = [bound(m), bound(m)]
    if m.chance(0.6):
        ends.sort(key=lambda end: number(end.lstrip(b"(")))
    return ends


def number(text):
    try:
        value = float(text)
        return value if value == value else 0.0
    except ValueError:
        return 0.0  # Hexadecimal, or none.


def count(m, bad=0.06):
    return m.pick(BAD_COUNTS) if m.chance(bad) else m.pick(COUNTS)


def pick_count(m):
    """A count of SRANDMEMBER and the like, which may be negative."""
    return b"-" + m.pick(COUNTS[1:7]) if m.chance(0.4) else count(m)


def rank(m):
    if m.chance(0.04):
        return m.pick(BAD_COUNTS)
    return m.pick([b"0", b"1", b"2", b"5", b"100", b"-1", b"-2", b"-5", b"-100", b"1000", b"5000"])


def ranks(m):
    """Both ends of a range of ranks, which has something in it most often."""
    likely = [(b"0", b"-1"), (b"0", b"0"), (b"1", b"3"), (b"0", b"100"), (b"-3", b"-1"),
              (b"-100", b"-50"), (b"200", b"210"), (b"-1", b"-1"), (b"2", b"-2")]
    return list(m.pick(likely)) if m.chance(0.6) else [rank(m), rank(m)]


def lex_bound(m):
    return m.pick(BAD_LEX_BOUNDS) if m.chance(0.04) else m.pick(LEX_BOUNDS)


def limit(m, share=0.4):
    if not m.chance(share):
        return []
    offset = m.pick([b"0", b"1", b"2", b"10", b"100", b"-1", b"5000", b"abc"])
    return [m.case(b"LIMIT"), offset, m.pick([b"0", b"1", b"3", b"50", b"-1", b"5000", b"abc"])]


def stretch(m):
    """Numbers of elements that lie together, so that two stretches overlap."""
    size = m.pick(BULK_SIZES)
    first = m.rng.randrange(0, 3001 - size, 50)
    return range(first, first + size)


def scan_words(m):
    words = []
    if m.chance(0.5):
        words += [m.case(b"MATCH"), m.pick(ELEMENT_PATTERNS)]
    if m.chance(0.6):
        words += [m.case(b"COUNT"), m.pick([b"1", b"7", b"100", b"5000", b"0", b"-1", b"abc"])]
    return words


def scan(kind):
    """Arguments of SSCAN, HSCAN and ZSCAN. From 0, or from a place that is none."""
    def make(m):
        cursor = m.pick([b"abc", b"-1", b"", b"1x"]) if m.chance(0.1) else b"0"
        return [m.typed(kind), cursor] + scan_words(m)
    return make


def some(m, kind, most=3):
    return [m.typed(kind) for _ in range(m.rng.randint(1, most))]


def numbered(m, kinds, most=3):
    """Keys with their number before them, which is not always right."""
    keys = [m.typed(m.pick(kinds)) for _ in range(m.rng.randint(1, most))]
    if m.chance(0.06):
        return [m.pick([b"0", b"-1", b"abc", b"99", b"", b"9223372036854775807"])] + keys
    return [b"%d" % len(keys)] + keys


def intercard(kinds):
    def make(m):
        words = [m.case(b"LIMIT"), m.pick([b"0", b"1", b"5", b"-1", b"abc"])]
        return numbered(m, kinds) + (words if m.chance(0.4) else [])
    return make


# ---- Sets ----

def bulk_sadd(m):
    name = m.pick([b"m%d", b"%d"])
    return [m.typed("set")] + [name % n for n in stretch(m)]


def bulk_srem(m):
    return [m.typed("set")] + [m.pick([b"m%d", b"%d"]) % n for n in stretch(m)]


SET_ROWS = [
    (b"SADD", 40, lambda m: [m.typed("set")] + m.some_members(6)),
    (b"SADD", 4, bulk_sadd),
    (b"SREM", 12, lambda m: [m.typed("set")] + m.some_members()),
    (b"SREM", 1.5, bulk_srem),
    (b"SMEMBERS", 5, lambda m: [m.typed("set")]),
    (b"SISMEMBER", 8, lambda m: [m.typed("set"), m.member()]),
    (b"SMISMEMBER", 6, lambda m: [m.typed("set")] + m.some_members()),
    (b"SCARD", 8, lambda m: [m.typed("set")]),
    (b"SPOP", 6, lambda m: [m.typed("set")] + ([count(m)] if m.chance(0.5) else [])),
    (b"SRANDMEMBER", 4, lambda m: [m.typed("set")] + ([pick_count(m)] if m.chance(0.6) else [])),
    (b"SMOVE", 10, lambda m: [m.typed("set"), m.typed("set"), m.member()]),
    (b"SINTER", 4, lambda m: some(m, "set")),
    (b"SUNION", 3, lambda m: some(m, "set")),
    (b"SDIFF", 4, lambda m: some(m, "set")),
    (b"SINTERSTORE", 5, lambda m: [m.typed("set")] + some(m, "set")),
    (b"SUNIONSTORE", 5, lambda m: [m.typed("set")] + some(m, "set")),
    (b"SDIFFSTORE", 5, lambda m: [m.typed("set")] + some(m, "set")),
    (b"SINTERCARD", 6, intercard(["set"])),
    (b"SSCAN", 2, scan("set")),
]


# ---- Hashes ----

def field_pairs(m):
    return [part for _ in range(m.rng.randint(1, 4)) for part in (m.member(), m.value())]


def bulk_hset(m):
    value = m.pick([b"", b"7", b"w" * 20, b"w" * 65])
    pairs = ((b"m%d" % n, value or b"%d" % n) for n in stretch(m))
    return [m.typed("hash")] + [part for pair in pairs for part in pair]


def hrandfield(m):
    words = [pick_count(m)] if m.chance(0.7) else []
    if words and m.chance(0.5):
        words.append(m.pick([b"WITHVALUES", b"withvalues", b"BOGUS"]))
    return [m.typed("hash")] + words


HASH_ROWS = [
    (b"HSET", 24, lambda m: [m.typed("hash")] + field_pairs(m)),
    (b"HSET", 4, bulk_hset),
    (b"HMSET", 5, lambda m: [m.typed("hash")] + field_pairs(m)),
    (b"HSETNX", 6, lambda m: [m.typed("hash"), m.member(), m.value()]),
    (b"HGET", 10, lambda m: [m.typed("hash"), m.member()]),
    (b"HMGET", 6, lambda m: [m.typed("hash")] + m.some_members()),
    (b"HGETALL", 5, lambda m: [m.typed("hash")]),
    (b"HKEYS", 3, lambda m: [m.typed("hash")]),
    (b"HVALS", 3, lambda m: [m.typed("hash")]),
    (b"HLEN", 8, lambda m: [m.typed("hash")]),
    (b"HDEL", 12, lambda m: [m.typed("hash")] + m.some_members()),
    (b"HDEL", 1.5, lambda m: [m.typed("hash")] + [b"m%d" % n for n in stretch(m)]),
    (b"HEXISTS", 6, lambda m: [m.typed("hash"), m.member()]),
    (b"HSTRLEN", 5, lambda m: [m.typed("hash"), m.member()]),
    (b"HINCRBY", 12, lambda m: [m.typed("hash"), m.member(), m.int()]),
    (b"HINCRBYFLOAT", 8, lambda m: [m.typed("hash"), m.member(), score(m, 0.15)]),
    (b"HRANDFIELD", 4, hrandfield),
    (b"HSCAN", 2, scan("hash")),
]


# ---- Sorted sets ----

def zadd(m):
    options = [m.case(word) for word in (b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR")
               if m.chance(0.13)]
    pairs = [(score(m, 0.03), m.member()) for _ in range(m.rng.choice([1, 1, 3, 6]))]
    return [m.typed("zset")] + options + [part for pair in pairs for part in pair]


def bulk_zadd(m):
    value = m.pick(BULK_SCORES)
    pairs = ((value(n), b"m%d" % n) for n in stretch(m))
    return [m.typed("zset")] + [part for pair in pairs for part in pair]


def with_scores(m):
    return [m.case(b"WITHSCORES")] if m.chance(0.5) else []


def zrange_words(m, storing=False):
    """Ends and options of ZRANGE and ZRANGESTORE, but for BYLEX."""
    reverse = [m.case(b"REV")] if m.chance(0.4) else []
    if m.chance(0.5):
        ends = scores(m)
        words = (ends[::-1] if reverse else ends) + [m.case(b"BYSCORE")] + limit(m)
    else:
        words = ranks(m) + limit(m, 0.05)
    words += reverse
    return words if storing and not m.chance(0.05) else words + with_scores(m)


def weights(m, keys):
    words = []
    if m.chance(0.4):
        words += [m.case(b"WEIGHTS")] + [score(m, 0.04) for _ in range(keys)]
    if m.chance(0.4):
        kinds = [b"SUM", b"MIN", b"MAX", b"sum", b"min", b"max", b"BOGUS"]
        words += [m.case(b"AGGREGATE"), m.pick(kinds)]
    return words


def algebra(weighted, stored):
    """Arguments of ZUNION, ZINTER, ZDIFF and what stores their results."""
    def make(m):
        keys = numbered(m, ["zset", "zset", "zset", "set"])
        words = weights(m, len(keys) - 1) if weighted else []
        words += [] if stored and not m.chance(0.04) else with_scores(m)
        return ([m.typed("zset")] if stored else []) + keys + words
    return make


def zmpop(m):
    words = [m.case(m.pick([b"MIN", b"MAX"] * 6 + [b"BOGUS"]))]
    if m.chance(0.5):
        words += [m.case(b"COUNT"), count(m)]
    return numbered(m, ["zset"]) + words


def zrandmember(m):
    words = [pick_count(m)] if m.chance(0.7) else []
    return [m.typed("zset")] + words + (with_scores(m) if words else [])


ZSET_ROWS = [
    (b"ZADD", 40, zadd),
    (b"ZADD", 5, bulk_zadd),
    (b"ZINCRBY", 14, lambda m: [m.typed("zset"), score(m), m.member()]),
    (b"ZREM", 10, lambda m: [m.typed("zset")] + m.some_members()),
    (b"ZREM", 1.5, lambda m: [m.typed("zset")] + [b"m%d" % n for n in stretch(m)]),
    (b"ZSCORE", 10, lambda m: [m.typed("zset"), m.member()]),
    (b"ZMSCORE", 6, lambda m: [m.typed("zset")] + m.some_members()),
    (b"ZCARD", 8, lambda m: [m.typed("zset")]),
    (b"ZRANK", 8, lambda m: [m.typed("zset"), m.member()]),
    (b"ZREVRANK", 8, lambda m: [m.typed("zset"), m.member()]),
    (b"ZRANGE", 14, lambda m: [m.typed("zset")] + zrange_words(m)),
    (b"ZREVRANGE", 5, lambda m: [m.typed("zset")] + ranks(m) + with_scores(m)),
    (b"ZRANGEBYSCORE", 8, lambda m: [m.typed("zset")] + scores(m) + with_scores(m) + limit(m)),
    (b"ZREVRANGEBYSCORE", 6, lambda m: [m.typed("zset")] + scores(m)[::-1] + limit(m)
     + with_scores(m)),
    (b"ZRANGESTORE", 6, lambda m: [m.typed("zset"), m.typed("zset")] + zrange_words(m, True)),
    (b"ZCOUNT", 8, lambda m: [m.typed("zset")] + scores(m)),
    (b"ZREMRANGEBYRANK", 2, lambda m: [m.typed("zset"), rank(m), rank(m)]),
    (b"ZREMRANGEBYSCORE", 2, lambda m: [m.typed("zset"), bound(m), bound(m)]),
    (b"ZPOPMIN", 5, lambda m: [m.typed("zset")] + ([count(m)] if m.chance(0.3) else [])),
    (b"ZPOPMAX", 5, lambda m: [m.typed("zset")] + ([count(m)] if m.chance(0.3) else [])),
    (b"ZMPOP", 5, zmpop),
    (b"ZRANDMEMBER", 4, zrandmember),
    (b"ZUNION", 4, algebra(True, False)),
    (b"ZINTER", 5, algebra(True, False)),
    (b"ZDIFF", 4, algebra(False, False)),
    (b"ZUNIONSTORE", 5, algebra(True, True)),
    (b"ZINTERSTORE", 5, algebra(True, True)),
    (b"ZDIFFSTORE", 5, algebra(False, True)),
    (b"ZINTERCARD", 6, intercard(["zset", "zset", "set"])),
    (b"ZSCAN", 2, scan("zset")),
]


# ---- Members of one score ----

LEX = b"lex"


def lex_key(m):
    return LEX + m.pick([b"0", b"1", b"2"])


def lex_zadd(m):
    members = m.some_members() if m.chance(0.8) else [b"m%d" % n for n in stretch(m)]
    return [lex_key(m)] + [part for member in members for part in (b"0", member)]


def lex_range(m):
    """Both ends of a range of members; the lower one first, most often."""
    ends = [lex_bound(m), lex_bound(m)]
    if m.chance(0.6):
        ends.sort(key=lambda end: (end[:1] == b"+", end[:1] in (b"[", b"("), end[1:]))
    return ends


def lex_zrange(m):
    words = lex_range(m)
    if m.chance(0.4):
        words = words[::-1] + [b"REV"]
    words += [m.case(b"BYLEX")] + limit(m)
    return [lex_key(m)] + words + (with_scores(m) if m.chance(0.1) else [])


LEX_ROWS = [
    (b"ZADD", 6, lex_zadd),
    (b"ZREM", 2, lambda m: [lex_key(m)] + m.some_members()),
    (b"ZRANGE", 4, lex_zrange),
    (b"ZRANGEBYLEX", 4, lambda m: [lex_key(m)] + lex_range(m) + limit(m)),
    (b"ZREVRANGEBYLEX", 4, lambda m: [lex_key(m)] + lex_range(m)[::-1] + limit(m)),
    (b"ZRANGESTORE", 2, lambda m: [lex_key(m), lex_key(m)] + lex_range(m) + [b"BYLEX"] + limit(m)),
    (b"ZLEXCOUNT", 4, lambda m: [lex_key(m)] + lex_range(m)),
    (b"ZREMRANGEBYLEX", 2, lambda m: [lex_key(m)] + lex_range(m)),
    (b"ZRANGE", 1, lambda m: [lex_key(m)] + ranks(m) + with_scores(m)),
    (b"ZRANK", 1, lambda m: [lex_key(m), m.member()]),
    (b"OBJECT ENCODING", 1, lambda m: [lex_key(m)]),
    (b"DEL", 0.3, lambda m: [lex_key(m)]),
    # A key of another type, which stays.
    (b"SADD", 0.2, lambda m: [LEX + b"set", b"a"]),
    (b"ZRANGEBYLEX", 0.5, lambda m: [m.pick([LEX + b"set", b"absent"])] + lex_range(m)),
    (b"ZLEXCOUNT", 0.5, lambda m: [m.pick([LEX + b"set", b"absent"])] + lex_range(m)),
    (b"ZREMRANGEBYLEX", 0.5, lambda m: [m.pick([LEX + b"set", b"absent"])] + lex_range(m)),
]

COLLECTION_ROWS = SET_ROWS + HASH_ROWS + ZSET_ROWS + LEX_ROWS
