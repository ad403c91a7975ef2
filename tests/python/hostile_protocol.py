"""Bytes that are no requests, and requests that are meant to harm: before and after AUTH.

Rows are bytes and the exact answer, which redis-server gives too. Then seeded streams of spoiled
bytes and of every command with arguments at the edges; these look only at whether the server lives.
"""

import random
import time
from types import SimpleNamespace

from harness import Lost, encode
from hostile_ground import MEGABYTE, Talk, check, shown

PROTOCOL = b"-ERR Protocol error: "
LONG = b"1" * (64 * 1024 + 1)
PASSWORD = "secret"
HALVES = 300
SPOILED = 3_000
COMMANDS = 6_000
ANNOUNCED = 400

# Bytes, the answer after AUTH, the answer before it (None: the same), closed by then.
ROWS = [
    (b"*1048577\r\n", b"", PROTOCOL + b"unauthenticated multibulk length\r\n"),
    (b"*11\r\n", b"", PROTOCOL + b"unauthenticated multibulk length\r\n"),
    (b"*2147483647\r\n", b"", PROTOCOL + b"unauthenticated multibulk length\r\n"),
    (b"*2147483648\r\n", PROTOCOL + b"invalid multibulk length\r\n", None),
    (b"*9223372036854775808\r\n", PROTOCOL + b"invalid multibulk length\r\n", None),
    (b"*x\r\n", PROTOCOL + b"invalid multibulk length\r\n", None),
    (b"*1.5\r\n", PROTOCOL + b"invalid multibulk length\r\n", None),
    (b"*-5\r\nPING\r\n", b"+PONG\r\n", b"-NOAUTH Authentication required.\r\n"),
    (b"*1\r\n$536870913\r\n", PROTOCOL + b"invalid bulk length\r\n", None),
    (b"*1\r\n$16385\r\n", b"", PROTOCOL + b"unauthenticated bulk length\r\n"),
    (b"*1\r\n$536870912\r\n", b"", PROTOCOL + b"unauthenticated bulk length\r\n"),
    (b"*1\r\n$-1\r\n", PROTOCOL + b"invalid bulk length\r\n", None),
    (b"*1\r\n$x\r\n", PROTOCOL + b"invalid bulk length\r\n", None),
    (b"*1\r\n$9223372036854775807\r\n", PROTOCOL + b"invalid bulk length\r\n", None),
    (b"*1\r\n$18446744073709551617\r\n", PROTOCOL + b"invalid bulk length\r\n", None),
    (b"*1\r\n4\r\nPING\r\n", PROTOCOL + b"expected '$', got '4'\r\n", None),
    (b"*1\r\n*1\r\n$4\r\nPING\r\n", PROTOCOL + b"expected '$', got '*'\r\n", None),
    (b"*1\r\n\x00\r\n", PROTOCOL + b"expected '$', got '\x00'\r\n", None),
    (b"*" + LONG, PROTOCOL + b"too big mbulk count string\r\n", None),
    (b"*1\r\n$" + LONG, PROTOCOL + b"too big bulk count string\r\n", None),
    (b"G" * (64 * 1024 + 1), PROTOCOL + b"too big inline request\r\n", None),
    (b"GET 'a\r\n", PROTOCOL + b"unbalanced quotes in request\r\n", None),
    (b"POST / HTTP/1.1\r\n\r\nPING\r\n", b"", b""),
    # The reply to what came before is lost: the connection is closed at once.
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nPING\r\n", b"", b""),
    (b"PING\nPING\r\n", b"+PONG\r\n+PONG\r\n", b"-NOAUTH Authentication required.\r\n" * 2),
]


def answers(ground, server, what, before_auth):
    """Each row on a connection of its own."""
    password = server.password and not before_auth
    for data, after, before in ROWS:
        wanted = after if not before_auth or before is None else before
        closes = wanted.startswith(PROTOCOL) or b"HTTP" in data
        if b"\x00" in data and server.kind != "dredis":
            continue  # Redis takes a NUL for the end of what it has, and waits.
        talk = Talk(server.port, encode([b"AUTH", PASSWORD]) if password else b"")
        if password:
            talk.take(lambda talk: talk.data == b"+OK\r\n")
            talk.data = b""
        talk.send(data)
        talk.take(lambda talk: len(talk.data) >= len(wanted) and not closes,
                  2.0 if closes else 0.2)
        ground.equal("%s, %s" % (what, shown(data)), (talk.data, talk.closed), (wanted, closes))
        talk.close()


@check("protocol-limits")
def protocol_limits(ground):
    answers(ground, ground.main, "without a password", False)
    if ground.oracle:
        oracle = SimpleNamespace(kind="redis", port=ground.oracle.port, password=None)
        answers(ground, oracle, "redis-server", False)
    return "%d rows, each closed or kept as expected" % len(ROWS)


@check("protocol-before-auth")
def protocol_before_auth(ground):
    locked = ground.fresh(DREDIS_PASSWORD=PASSWORD)
    answers(ground, locked, "before AUTH", True)
    answers(ground, locked, "after AUTH", False)
    # Ten arguments of 16,384 bytes are the most that passes.
    talk = Talk(locked.port, encode([b"MGET"] + [b"x" * 16_384] * 9) + b"PING\r\n")
    talk.take(lambda talk: talk.data.count(b"\r\n") >= 2)
    ground.equal("ten arguments of 16,384 bytes", talk.data,
                 b"-NOAUTH Authentication required.\r\n" * 2)
    talk.close()
    for wrong in (b"", b"wrong", b"secre", b"secret\x00", b"x" * 16_000):
        talk = Talk(locked.port, encode([b"AUTH", wrong]) + b"GET w:string\r\n")
        talk.take(lambda talk: talk.data.count(b"\r\n") >= 2)
        ground.equal("AUTH %s" % shown(wrong), talk.data,
                     b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                     b"-NOAUTH Authentication required.\r\n")
        talk.close()
    return "%d rows before and after AUTH, 5 wrong passwords" % len(ROWS)


def keeps_asking(server, request, total):
    """Sends requests without reading until nothing more is taken; answers how much was."""
    talk = Talk(server.port, timeout=1.0)
    data, sent = request * (MEGABYTE // len(request)), 0
    try:
        while sent < total:
            sent += talk.socket.send(data)
    except OSError:
        pass
    return talk, sent


@check("query-buffer", ours=True)
def query_buffer(ground):
    """What a client sends while its commands wait is not kept without bound."""
    locked = ground.fresh(DREDIS_PASSWORD=PASSWORD, DREDIS_OUTPUT_BYTES="4mb")
    locked.reset_peak()
    before = locked.memory()
    talks = [keeps_asking(locked, b"GET a\r\n", 64 * MEGABYTE) for _ in range(3)]
    grown = (locked.peak() - before) // MEGABYTE
    ground.below("MB that 3 clients without AUTH took that never read", grown, 3 * 6 + 16)
    said, seconds = locked.ping()
    ground.matches("PING beside them", said, rb"^-NOAUTH")
    for talk, _ in talks:
        talk.close()
    # An announced argument takes memory as it comes, not as it is announced.
    main = ground.main
    main.reset_peak()
    before = main.memory()
    announced = [Talk(main.port, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nx")
                 for _ in range(ANNOUNCED // 2)]
    announced += [Talk(main.port, b"*2147483647\r\n$4\r\nMGET\r\n") for _ in range(ANNOUNCED // 2)]
    main.ping()
    announcing = (main.peak() - before) // MEGABYTE
    ground.below("MB for %d announced requests" % ANNOUNCED, announcing, 64)
    for talk in announced:
        talk.close()
    return "3 unread clients sent %d MB and took %d MB; %d announced took %d MB; %s" % (
        sum(sent for _, sent in talks) // MEGABYTE, grown, ANNOUNCED, announcing,
        ground.settled(main, 64 * MEGABYTE))


@check("query-buffer-1gb", ours=True)
def query_buffer_cap(ground):
    """A request that never ends is ended at 1 GiB. Only with --full: it sends as much."""
    if not ground.full:
        return "only with --full"
    talk = Talk(ground.main.port, b"*2147483647\r\n", timeout=20)
    piece, sent = encode([b"x" * 65_000])[4:] * 16, 0
    try:
        while sent < 1200 * MEGABYTE:
            talk.socket.sendall(piece)
            sent += len(piece)
        ground.fail("%d MB of one request were taken", sent // MEGABYTE)
    except OSError:
        ground.below("MB taken", sent // MEGABYTE, 1100)
    talk.close()
    return "closed after %d MB; %s" % (sent // MEGABYTE, ground.settled(ground.main, 64 * MEGABYTE))


@check("half-requests")
def half_requests(ground):
    """Every beginning of a request, and then the end of the connection."""
    request = encode([b"SET", b"half", b"v" * 40]) + b"SET half2 x\r\n"
    before = ground.main.descriptors()
    for number in range(HALVES):
        talk = Talk(ground.main.port, request[: number % 40 + 1])
        if number % 2:
            talk.socket.shutdown(1)
        talk.close()
    one = ground.main.connect()
    ground.equal("EXISTS half", one.call(b"EXISTS", b"half"), 0)
    for byte in request:
        one.send_bytes(bytes([byte]))
    ground.equal("one byte at a time", one.raws(2), [b"+OK\r\n"] * 2)
    one.call(b"DEL", b"half", b"half2")
    one.close()
    left = leaked(ground.main, before)
    ground.below("descriptors left", left, 0)
    return "%d hang-ups, one request byte by byte, %d descriptors left" % (HALVES, left)


def leaked(server, before, seconds_max=5):
    """Descriptors more than before at the least, within a while: helpers open files in passing."""
    end = time.monotonic() + seconds_max
    while True:
        left = max(0, server.descriptors() - before)
        if left == 0 or time.monotonic() > end:
            return left
        time.sleep(0.05)


def spoiled(rng, valid):
    """Some valid requests with bytes changed, or bytes that never were any."""
    if rng.random() < 0.2:
        return rng.randbytes(rng.randint(1, 400))
    data = bytearray(b"".join(rng.choice(valid) for _ in range(rng.randint(1, 6))))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data))
        way = rng.randrange(4)
        if way == 0:
            data[at] = rng.choice(b"\r\n*$:-0123456789 \x00\xff'\"")
        elif way == 1:
            del data[at : at + rng.randint(1, 4)]
            data = data or bytearray(b"*")
        elif way == 2:
            data[at:at] = data[at : at + rng.randint(1, 16)]
        else:
            data[at:at] = rng.randbytes(rng.randint(1, 4))
    return bytes(data)


@check("spoiled-bytes")
def spoiled_bytes(ground):
    rng = random.Random(ground.seed)
    valid = [encode(row) for row in (
        [b"PING"], [b"SET", b"f:a", b"1"], [b"GET", b"f:a"], [b"MSET", b"f:a", b"1", b"f:b", b"2"],
        [b"HSET", b"f:h", b"f", b"v"], [b"ZADD", b"f:z", b"1", b"m"], [b"SADD", b"f:s", b"a"],
        [b"EVAL", b"return KEYS", b"1", b"f:a"], [b"MULTI"], [b"EXEC"], [b"HELLO", b"3"],
        [b"SCAN", b"0"], [b"RESET"], [b"CLIENT", b"ID"])] + [b"GET f:a\r\n", b"\r\n"]
    count = SPOILED * (20 if ground.full else 1)
    for number in range(count):
        talk = Talk(ground.main.port, spoiled(rng, valid))
        if number % 8 == 0:
            talk.take(lambda talk: talk.data, 0.01)
        talk.close()
        if number % 500 == 0 and not ground.main.runs():
            ground.fail("the server ended in stream %d or the 500 before", number)
            break
    return "%d streams" % count


EDGES = [b"", b"0", b"-1", b"1", b"-0", b"+1", b"9223372036854775807", b"-9223372036854775808",
         b"9223372036854775808", b"-4611686018427387905", b"18446744073709551616", b"4294967296",
         b"1e400", b"-1e400", b"nan", b"inf", b"-inf", b"(1", b"[a", b"+", b"-", b"(inf", b"\x00",
         b"\xff\xfe", b"*", b"[", b"\\", b"a" * 300, b"1" * 400, b"0x7f", b" 1", b"1 ", b"%s%n",
         b"..",
         b"f:s", b"f:h", b"f:z", b"f:str", b"f:none", b"MATCH", b"COUNT", b"LIMIT", b"WEIGHTS",
         b"AGGREGATE", b"MAX", b"WITHSCORES", b"BYLEX", b"BYSCORE", b"REV", b"STORE", b"NX", b"XX",
         b"GT", b"LT", b"CH", b"INCR", b"GET", b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL",
         b"REPLACE"]
SPARED = {b"shutdown", b"flushall", b"flushdb", b"swapdb", b"config", b"quit", b"auth", b"hello",
          b"monitor", b"subscribe", b"psubscribe", b"ssubscribe", b"sync", b"psync", b"replicaof",
          b"slaveof", b"debug", b"reset", b"backup", b"select", b"failover", b"cluster", b"restore",
          b"blpop", b"brpop", b"blmove", b"blmpop", b"bzmpop", b"bzpopmin", b"bzpopmax",
          b"brpoplpush",
          b"xread", b"xreadgroup", b"wait", b"waitaof", b"save", b"bgsave", b"bgrewriteaof",
          b"client",
          b"srandmember", b"hrandfield", b"zrandmember", b"acl", b"module", b"migrate", b"keys"}


@check("edges-of-commands")
def edges_of_commands(ground):
    """Every command of the table with arguments from the edges, a reply to each."""
    rng = random.Random(ground.seed)
    spared = SPARED - ({b"srandmember", b"hrandfield", b"zrandmember"}
                       if ground.kind == "dredis" else set())
    one = ground.main.connect()
    table = [(row[0], row[1]) for row in one.call(b"COMMAND") if row[0] not in spared]
    count = COMMANDS * (20 if ground.full else 1)
    for number in range(count):
        if number % 200 == 0:
            one.calls([(b"SET", b"f:str", b"10"), (b"DEL", b"f:s", b"f:h", b"f:z"),
                       (b"SADD", b"f:s", b"a", b"1"), (b"HSET", b"f:h", b"a", b"1"),
                       (b"ZADD", b"f:z", b"1", b"a")])
        name, arity = rng.choice(table)
        size = abs(arity) - 1 + (rng.choice((0, 0, 1, 2, 3)) if arity < 0 else 0)
        words = [name] + [rng.choice(EDGES) for _ in range(size)]
        if size and rng.random() < 0.7:
            words[1] = rng.choice((b"f:s", b"f:h", b"f:z", b"f:str", b"f:none"))
        try:
            one.send(words)
            one.raw()
        except (Lost, OSError) as error:
            ground.fail("seed %d, command %d, %s: %s", ground.seed, number, shown(words), error)
            if not ground.main.runs():
                break
            one = ground.main.connect()
    one.close()
    ground.main.connect().call(b"DEL", b"f:s", b"f:h", b"f:z", b"f:str")
    return "%d commands of %d names" % (count, len(table))
