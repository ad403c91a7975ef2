"""Replies larger than memory, replies that nobody reads, and patterns that take for ever."""

import hashlib
import time

from harness import Lost, encode
from hostile_ground import MEGABYTE, OURS, Asked, Talk, check, shown

OUTPUT_MB = 16
VALUE_BYTES = MEGABYTE
GETS = 1_500
GREEDY = 8
REPLY_MB = 8
RANGE = b"-ERR value is out of range\r\n"


@check("unread-replies", ours=True)
def unread_replies(ground):
    """A client asks for gigabytes and does not read; later it does, and gets all of it."""
    server = ground.fresh(DREDIS_OUTPUT_BYTES="%dmb" % OUTPUT_MB)
    one = server.connect()
    value = bytes(range(256)) * (VALUE_BYTES // 256)
    one.call(b"SET", b"big", value)
    server.reset_peak()
    before = server.memory()
    greedy = [Talk(server.port, encode([b"GET", b"big"]) * GETS, timeout=30) for _ in range(GREEDY)]
    slowest = 0.0
    for _ in range(200):
        at = time.monotonic()
        one.call(b"SET", b"other", b"x")
        slowest = max(slowest, time.monotonic() - at)
    grown = (server.peak() - before) // MEGABYTE
    ground.below("MB for %d clients that do not read" % GREEDY, grown,
                 GREEDY * 2 * OUTPUT_MB + 32)
    ground.below("seconds for the slowest of 200 SET beside them", slowest, 1.0)
    for talk in greedy[1:]:
        talk.close()
    reply = b"$%d\r\n%b\r\n" % (len(value), value)
    got, wanted = hashlib.sha1(), hashlib.sha1()
    left = len(reply) * GETS
    for _ in range(GETS):
        wanted.update(reply)
    while left > 0:
        part = greedy[0].socket.recv(min(left, 1 << 20))
        if not part:
            ground.fail("the slow reader's connection ended with %d bytes missing", left)
            break
        got.update(part)
        left -= len(part)
    ground.equal("the slow reader's bytes", got.hexdigest(), wanted.hexdigest())
    greedy[0].close()
    return "%d clients x %d MB unread took %d MB, slowest SET %.0f ms; one read it all; %s" % (
        GREEDY, GETS, grown, slowest * 1000, ground.settled(server, 64 * MEGABYTE))


@check("slow-readers")
def slow_readers(ground):
    """Clients that read a byte now and then do not hinder others."""
    one = ground.main.connect()
    one.call(b"SET", b"big", b"x" * MEGABYTE)
    slow = [Talk(ground.main.port, encode([b"GET", b"big"]) * 40) for _ in range(10)]
    slowest = 0.0
    for number in range(600):
        at = time.monotonic()
        one.call(b"SET", b"other", b"x")
        slowest = max(slowest, time.monotonic() - at)
        if number % 60 == 0:
            for talk in slow:
                talk.socket.recv(1)
    for talk in slow:
        talk.close()
    one.call(b"DEL", b"big", b"other")
    ground.below("seconds for the slowest of 600 SET", slowest, 5.0)
    return "slowest of 600 SET beside 10 slow readers: %.0f ms" % (slowest * 1000)


@check("random-picks-with-repeats", ours=True)
def random_picks(ground):
    """SRANDMEMBER s -4611686018427387905 makes Redis take all memory."""
    one = ground.main.connect()
    one.calls([(b"SADD", b"p:s", *[b"m%d" % n for n in range(100)]),
               (b"HSET", b"p:h", *[b"f%d" % n for n in range(100)]),
               (b"ZADD", b"p:z", b"1", b"a", b"2", b"b")])
    one.close()
    counts = [b"-4611686018427387905", b"-9223372036854775807",
              b"-4611686018427387904", b"-4611686018427387903", b"-1000000000000", b"-2147483648"]
    rows = [((name, key, count, *more), RANGE, OURS)
            for count in counts
            for name, key, more in ((b"SRANDMEMBER", b"p:s", ()), (b"HRANDFIELD", b"p:h", ()),
                                    (b"HRANDFIELD", b"p:h", (b"WITHVALUES",)),
                                    (b"ZRANDMEMBER", b"p:z", ()),
                                    (b"ZRANDMEMBER", b"p:z", (b"WITHSCORES",)))]
    rows += [((row[0][0], row[0][1], b"-9223372036854775808"), None) for row in rows[:5]]
    rows += [((b"SRANDMEMBER", b"p:none", counts[3]), None),
             ((b"HRANDFIELD", b"p:none", counts[3]), None),
             ((b"ZRANDMEMBER", b"p:none", counts[3]), None),
             ((b"SPOP", b"p:none", b"9223372036854775807"), b"*0\r\n"),
             ((b"SPOP", b"p:s", b"-1"), b"-ERR value is out of range, must be positive\r\n"),
             ((b"ZPOPMIN", b"p:z", b"-1"), b"-ERR value is out of range, must be positive\r\n"),
             ((b"SRANDMEMBER", b"p:s", b"9223372036854775808"),
              b"-ERR value is not an integer or out of range\r\n")]
    ground.main.reset_peak()
    before = ground.main.memory()
    count = ground.rows(rows)
    grown = (ground.main.peak() - before) // MEGABYTE
    ground.below("MB taken by refused counts", grown, 64)
    ground.main.connect().call(b"DEL", b"p:s", b"p:h", b"p:z")
    return "%d rows, %d MB taken" % (count, grown)


@check("reply-budget", ours=True)
def reply_budget(ground):
    """No single reply takes more than its budget, whatever asks for it."""
    server = ground.fresh(DREDIS_REPLY_BYTES="%dmb" % REPLY_MB, DREDIS_OUTPUT_BYTES="16mb")
    one = server.connect(60)
    big = b"b" * (MEGABYTE // 4)
    one.calls([(b"SET", b"r:big", big), (b"SADD", b"r:s", *[b"%d" % n + big for n in range(3)]),
               (b"HSET", b"r:h", b"f", big)])
    for start in range(0, 60):
        one.call(b"ZADD", b"r:z", b"1", b"%d" % start + big)
        one.call(b"HSET", b"r:h", b"%d" % start, big)
    keys = [(b"MSET", *sum(((b"r:k" + b"%06d" % (batch * 500 + n) + b"k" * 990, b"") for n in
            range(500)), ())) for batch in range(20)]
    one.calls(keys)
    rows = {
        "MGET of a key of 256 KB 10,000 times": [(b"MGET", *[b"r:big"] * 10_000)],
        "HMGET of a field of 256 KB 10,000 times": [(b"HMGET", b"r:h", *[b"f"] * 10_000)],
        "HGETALL of 15 MB": [(b"HGETALL", b"r:h")], "HVALS of 15 MB": [(b"HVALS", b"r:h")],
        "ZRANGE of 15 MB": [(b"ZRANGE", b"r:z", b"0", b"-1")],
        "ZRANGEBYSCORE of 15 MB": [(b"ZRANGEBYSCORE", b"r:z", b"-inf", b"inf", b"WITHSCORES")],
        "ZRANGEBYLEX of 15 MB": [(b"ZRANGEBYLEX", b"r:z", b"-", b"+")],
        "ZUNION of 15 MB": [(b"ZUNION", b"1", b"r:z")],
        "ZSCAN of 15 MB": [(b"ZSCAN", b"r:z", b"0", b"COUNT", b"1000000")],
        "HSCAN of 15 MB": [(b"HSCAN", b"r:h", b"0", b"COUNT", b"1000000")],
        "KEYS * of 10 MB": [(b"KEYS", b"*")],
        "SCAN COUNT 9223372036854775807": [(b"SCAN", b"0", b"COUNT", b"9223372036854775807")],
        "EXEC of 100 times 256 KB": [(b"MULTI",), *[(b"GET", b"r:big")] * 100, (b"EXEC",)],
        "EVAL that returns 100 times 256 KB": [(
            b"EVAL", b"local v, t = redis.call('get', 'r:big'), {} for i = 1, 100 do t[i] = v end "
            b"return t", b"0")],
        "EVAL that calls MGET of 15 MB": [(
            b"EVAL", b"local t = {} for i = 1, 60 do t[i] = 'r:big' end "
            b"return #redis.call('mget', unpack(t))", b"0")],
        "EVAL that calls HRANDFIELD -100000000": [(
            b"EVAL", b"return #redis.call('hrandfield', 'r:h', -100000000)", b"0")],
    }
    said = {}
    for what, commands in rows.items():
        server.reset_peak()
        before = server.memory()
        try:
            for command in commands:
                one.send(command)
            replies = one.raws(len(commands))
        except (Lost, OSError) as error:
            ground.fail("%s: %s", what, error)
            if not server.runs():
                break
            one = server.connect(60)
            continue
        grown = (server.peak() - before) // MEGABYTE
        reply = replies[-1]
        said[what] = reply[:60]
        if not reply.startswith(b"-"):
            ground.fail("%s: a reply of %d bytes (%s), expected an error: the budget is %d MB",
                        what, len(reply), shown(reply[:40]), REPLY_MB)
        ground.below("%s: MB taken" % what, grown, 4 * REPLY_MB + 32)
    return "%d ways; they are told %s" % (len(rows), sorted(set(said.values())))


@check("script-reply-of-tables", ours=True)
def script_reply_of_tables(ground):
    """A few tables that contain each other twice are 2^40 values as a reply."""
    server = ground.fresh(DREDIS_REPLY_BYTES="%dmb" % REPLY_MB)
    server.reset_peak()
    before = server.memory()
    script = b"local t = {} for i = 1, 40 do t = {t, t} end return t"
    asked = Asked(server, b"EVAL", script, b"0")
    reply = asked.wait(4)
    grown = (server.peak() - before) // MEGABYTE
    ground.below("MB taken", grown, 4 * REPLY_MB + 64)
    if reply is None:
        ground.fail("EVAL %s 0: no reply within 4 s, expected an error", shown(script))
        ground.fail("PING meanwhile: %s", shown(server.ping()[0]))
        server.server.kill()
    else:
        ground.matches("EVAL", reply[:200], rb"^-ERR")
    return "%s after %s s, %d MB taken" % (shown(reply and reply[:80]), asked.seconds, grown)


@check("long-queues", ours=True)
def long_queues(ground):
    """What MULTI queues, WATCH watches and clients are called is bounded, or told."""
    server = ground.fresh(DREDIS_BATCH_BYTES="32mb", DREDIS_REPLY_BYTES="32mb")
    one = server.connect(60)
    server.reset_peak()
    before = server.memory()
    value = b"q" * MEGABYTE
    one.send((b"MULTI",), *[(b"SET", b"q:%d" % n, value) for n in range(100)], (b"EXEC",))
    replies = one.raws(102)
    ground.matches("EXEC of 100 MB with batches of 32", replies[-1], rb"^-EXECABORT|^-ERR")
    ground.equal("EXISTS q:0 after it", one.call(b"EXISTS", b"q:0"), 0)
    queued = (server.peak() - before) // MEGABYTE
    ground.below("MB taken by what was queued", queued, 32 * 3 + 64)
    names = []
    for _ in range(60):
        named = server.connect()
        named.send((b"CLIENT", b"SETNAME", value))
        named.raw()
        names.append(named)
    one.send((b"CLIENT", b"LIST"))
    listed = one.raw()
    for named in names:
        named.close()
    if not listed.startswith(b"-") and len(listed) > 33 * MEGABYTE:
        ground.fail("CLIENT LIST of 60 names of 1 MB: a reply of %d bytes, expected an error: the "
                    "budget is 32 MB", len(listed))
    return "EXEC: %s, %d MB taken; CLIENT LIST: %d bytes; %s" % (
        shown(replies[-1]), queued, len(listed), ground.settled(server, 96 * MEGABYTE))


PATTERNS = [b"a*a*a*a*a*a*a*a*a*b", b"*a*a*a*a*a*a*a*a*a*a*a*a*a*b", b"*" * 10_000 + b"b",
            b"a*" * 20_000 + b"b", b"[" * 10_000, b"[^" + b"a-z" * 20_000 + b"]*[b", b"?" * 60_000,
            b"\\" * 60_001, b"[z-a]*[a-" + b"a" * 60_000, b"*[a]*[a]*[a]*[a]*[a]*[a]*[a]*[a]*b"]


@check("patterns", ours=True)
def patterns(ground):
    """KEYS and SCAN with patterns that make a matcher try everything."""
    one = ground.main.connect()
    names = [b"a" * (200 + n) for n in range(100)] + [b"a" * 20_000]
    one.calls([(b"SET", name, b"") for name in names])
    one.call(b"HSET", b"a:h", *sum(((name, b"") for name in names), ()))
    slowest, which = 0.0, b""
    for pattern in PATTERNS:
        for command in ((b"KEYS", pattern), (b"SCAN", b"0", b"MATCH", pattern, b"COUNT", b"1000"),
                        (b"HSCAN", b"a:h", b"0", b"MATCH", pattern, b"COUNT", b"1000"),
                        (b"CONFIG", b"GET", pattern)):
            asked = Asked(ground.main, *command)
            time.sleep(0.002)
            said, seconds = ground.main.ping(5)
            reply = asked.wait(10)
            asked.close()
            took = max(seconds, asked.seconds or 10)
            slowest, which = max((slowest, which), (took, shown(command[:4])[:80]))
            if reply is None or not said.startswith(b"+PONG"):
                ground.fail("%s: reply %s, PING meanwhile %s", shown(command), shown(reply), said)
    one.calls([(b"DEL", *names, b"a:h")])
    one.close()
    ground.below("seconds for the slowest pattern (%s)" % which, slowest, 1.0)
    return "%d patterns, slowest %.0f ms (%s)" % (len(PATTERNS), slowest * 1000, which)
