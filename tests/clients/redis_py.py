"""redis-py, synchronous: locks, pipelines, scripts, WATCH loops, scans and pools, RESP2 and RESP3.

Threads are the other clients. `redis_py_async` is the same for the other half of the library.
"""

import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.exceptions import LockError, LockNotOwnedError, NoScriptError, WatchError
from redis.retry import Retry

PROTOCOLS = (2, 3)
COUNTERS, COUNTED = 4, 15  # Clients that count up at a time, and how often each does.
SHORT_SECONDS = 0.3
SUM = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


def locks(target):
    for protocol in PROTOCOLS:
        mine, other = target.client(protocol=protocol), target.client(protocol=protocol)
        lock_is_held(target, mine, other)
        lock_runs_out(target, mine, other)
        mine.set("counted", 0)
        together(lambda: count_locked(target.client(protocol=protocol)))
        target.expect("counted under a lock", int(mine.get("counted")), COUNTERS * COUNTED)
        mine.flushall()


def lock_is_held(target, mine, other):
    lock, theirs = mine.lock("lock", timeout=20), other.lock("lock", timeout=20)
    target.expect("acquire", lock.acquire(blocking=False), True)
    target.expect("locked, owned", [lock.locked(), lock.owned(), theirs.owned()],
                  [True, True, False])
    target.expect("acquire of a held lock", theirs.acquire(blocking=False), False)
    target.expect("acquire with patience", theirs.acquire(blocking_timeout=0.2), False)
    theirs.local.token = b"of another"
    target.expect_error("release of another's lock", LockNotOwnedError, "no longer owned",
                        theirs.release)
    theirs.local.token = b"of another"
    target.expect_error("extend of another's lock", LockNotOwnedError, "no longer owned",
                        lambda: theirs.extend(10))
    target.expect("extend", [lock.extend(10), 25000 < mine.pttl("lock") <= 30000], [True, True])
    target.expect("extend anew", [lock.extend(9, replace_ttl=True), mine.ttl("lock") in (8, 9)],
                  [True, True])
    target.expect("reacquire", [lock.reacquire(), mine.ttl("lock") in (19, 20)], [True, True])
    lock.release()
    target.expect("released", mine.exists("lock"), 0)
    target.expect_error("release twice", LockError, "unlocked", lock.release)
    with mine.lock("lock"):
        target.expect("without a timeout", mine.ttl("lock"), -1)


def lock_runs_out(target, mine, other):
    lock, theirs = mine.lock("short", timeout=SHORT_SECONDS), other.lock("short", timeout=20)
    begin = time.monotonic()
    lock.acquire()
    target.expect("acquire of a lock that runs out", theirs.acquire(blocking_timeout=10), True)
    target.expect_between("seconds until then", SHORT_SECONDS * 0.9, time.monotonic() - begin, 5)
    target.expect_error("extend after that", LockNotOwnedError, "no longer owned",
                        lambda: lock.extend(10))
    target.expect_error("release after that", LockNotOwnedError, "no longer owned", lock.release)
    theirs.release()


def count_locked(client):
    for _ in range(COUNTED):
        with client.lock("counting", timeout=20, sleep=0.002):
            client.set("counted", int(client.get("counted")) + 1)


def together(action):
    """Runs `action` in several threads; one that fails fails the check."""
    errors = []

    def guarded():
        try:
            action()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(COUNTERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def pipelines(target):
    for protocol in PROTOCOLS:
        client = target.client(protocol=protocol)
        for transaction in (True, False):
            client.flushall()
            pipeline(target, client, transaction)


def pipeline(target, client, transaction):
    what = "transaction" if transaction else "pipeline"
    with client.pipeline(transaction=transaction) as pipe:
        pipe.set("a", 1).incrby("a", 4).hset("h", mapping={"f": 1, "g": 2}).hgetall("h")
        pipe.zadd("z", {"m": 1.5}).zrange("z", 0, -1, withscores=True).sadd("s", "x").smembers("s")
        replies = pipe.execute()
    ranked = [(b"m", 1.5)] if client.get_connection_kwargs()["protocol"] == 2 else [[b"m", 1.5]]
    replies[5] = [type(ranked[0])(pair) for pair in replies[5]]
    target.expect(what, replies, [True, 5, 2, {b"f": b"1", b"g": b"2"}, 1, ranked, 1, {b"x"}])
    with client.pipeline(transaction=transaction) as pipe:
        pipe.set("b", 1).sadd("b", 1).incr("b")
        replies = pipe.execute(raise_on_error=False)
    target.expect(what + " with an error", [replies[0], str(replies[1])[:9], replies[2]],
                  [True, "WRONGTYPE", 2])
    with client.pipeline(transaction=transaction) as pipe:
        pipe.get("a").incr("h")
        target.expect_error(what + " that raises", redis.ResponseError, "Command # 2 (INCRBY h 1)",
                            pipe.execute)
    with client.pipeline(transaction=transaction) as pipe:
        for number in range(2000):
            pipe.set("many:%d" % number, number)
        target.expect("a large " + what, pipe.execute(), [True] * 2000)
    if transaction:
        with client.pipeline() as pipe:
            pipe.set("a", "queued").execute_command("NOSUCH")
            target.expect_error("a transaction with an unknown command", redis.ResponseError,
                                "unknown command", pipe.execute)
        target.expect("after that", client.get("a"), b"5")


def scripts(target):
    for protocol in PROTOCOLS:
        client = target.client(protocol=protocol)
        client.flushall()
        client.script_flush()
        registered(target, client)
        script_replies(target, client)


def registered(target, client):
    script = client.register_script(SUM)
    target.expect("exists before", client.script_exists(script.sha), [False])
    target.expect_error("EVALSHA of none", NoScriptError, "No matching script",
                        lambda: client.evalsha(script.sha, 1, "n", 1))
    target.expect("NOSCRIPT fallback", script(keys=["n"], args=[5]), 5)
    target.expect("exists after", client.script_exists(script.sha, "0" * 40), [True, False])
    target.expect("load", client.script_load(SUM), script.sha)
    client.script_flush()
    target.expect("exists after a flush", client.script_exists(script.sha), [False])
    for transaction in (True, False):
        with client.pipeline(transaction=transaction) as pipe:
            pipe.set("p", 1)
            script(keys=["p"], args=[2], client=pipe)
            script(keys=["p"], args=[3], client=pipe)
            target.expect("in a pipeline", pipe.execute(), [True, 3, 6])
        client.script_flush()
        with client.pipeline(transaction=transaction) as pipe:
            pipe.set("p", 1).evalsha(script.sha, 1, "p", 1).incr("p")
            replies = pipe.execute(raise_on_error=False)
            target.expect("EVALSHA of none in a pipeline", [
                replies[0], type(replies[1]).__name__, replies[2]], [True, "NoScriptError", 2])


def script_replies(target, client):
    target.expect("eval", client.eval("return {KEYS[1], ARGV[1], 3.9, false, {1}}", 1, "k", "v"),
                  [b"k", b"v", 3, None, [1]])
    target.expect("a status", client.eval("return redis.status_reply('FINE')", 0), b"FINE")
    target.expect("read-only", client.eval_ro("return redis.call('GET', KEYS[1])", 1, "n"), b"5")
    target.expect_error("a write that is read-only", redis.ResponseError,
                        "Write commands are not allowed from read-only scripts",
                        lambda: client.eval_ro(SUM, 1, "n", 1))
    target.expect_error("an error of a script", redis.ResponseError, "my error",
                        lambda: client.eval("return redis.error_reply('ERR my error')", 0))
    client.sadd("s", 1)
    target.expect_error("an error of a command", redis.ResponseError,
                        "WRONGTYPE Operation against a key holding the wrong kind of value script",
                        lambda: client.eval(SUM, 1, "s", 1))
    target.expect_error("a script that does not compile", redis.ResponseError,
                        "Error compiling script", lambda: client.eval("return (", 0))
    target.expect_error("kill of none", redis.ResponseError, "No scripts in execution right now.",
                        client.script_kill)
    packed = "return cjson.encode({cmsgpack.unpack(ARGV[1]), redis.sha1hex('')})"
    target.expect("the libraries", client.eval(packed, 0, b"\x93\x01\x02\x03"),
                  b'[[1,2,3],"da39a3ee5e6b4b0d3255bfef95601890afd80709"]')


def watch_loops(target):
    for protocol in PROTOCOLS:
        client = target.client(protocol=protocol)
        client.set("n", 0)
        watched_conflict(target, client)
        together(lambda: count_watched(target.client(protocol=protocol)))
        target.expect("counted up by WATCH", int(client.get("n")), COUNTERS * COUNTED)


def watched_conflict(target, client):
    with client.pipeline() as pipe:
        pipe.watch("w")
        target.expect("read while watching", pipe.get("w"), client.get("w"))
        client.append("w", "x")
        pipe.multi()
        pipe.set("w", "lost")
        target.expect_error("EXEC after a conflict", WatchError, "changed", pipe.execute)
        pipe.watch("w")
        pipe.unwatch()
        client.append("w", "y")
        pipe.multi()
        target.expect("EXEC after UNWATCH", pipe.strlen("w").execute(), [client.strlen("w")])


def count_watched(client):
    def add_one(pipe):
        value = int(pipe.get("n"))
        pipe.multi()
        pipe.set("n", value + 1)

    for _ in range(COUNTED):
        client.transaction(add_one, "n")


def scan_iter(target):
    for protocol in PROTOCOLS:
        client = target.client(protocol=protocol)
        client.flushall()
        with client.pipeline(transaction=False) as pipe:
            for number in range(1500):
                pipe.set("key:%d" % number, number).sadd("s", number)
                pipe.hset("h", "f%d" % number, number).zadd("z", {"m%d" % number: number})
            pipe.execute()
        keys = {b"key:%d" % number for number in range(1500)}
        target.expect("scan_iter", keys ^ set(client.scan_iter("key:*", count=100)), set())
        target.expect("of a type", set(client.scan_iter(_type="zset", count=500)), {b"z"})
        target.expect("sscan_iter", {int(member) for member in client.sscan_iter("s")},
                      set(range(1500)))
        target.expect("hscan_iter", dict(client.hscan_iter("h", count=70)),
                      {b"f%d" % number: b"%d" % number for number in range(1500)})
        target.expect("hscan_iter of a pattern", dict(client.hscan_iter("h", match="f149?")),
                      {b"f%d" % number: b"%d" % number for number in range(1490, 1500)})
        target.expect("zscan_iter", {name: float(score) for name, score in client.zscan_iter("z")},
                      {b"m%d" % number: float(number) for number in range(1500)})


def resp3(target):
    client = target.client(protocol=3)
    hello = client.execute_command("HELLO", 3)
    target.expect("HELLO", [hello[name] for name in (b"server", b"proto", b"mode", b"role")],
                  [b"redis", 3, b"standalone", b"master"])
    client.hset("h", mapping={"a": 1, "b": 2})
    client.zadd("z", {"a": 1, "b": 2.5})
    client.sadd("s", "x", "y")
    raw = client.execute_command
    target.expect("a map", raw("HGETALL", "h"), {b"a": b"1", b"b": b"2"})
    target.expect("a set", set(raw("SMEMBERS", "s")), {b"x", b"y"})
    target.expect("a double", [raw("ZSCORE", "z", "b"), raw("ZINCRBY", "z", 1, "a")], [2.5, 2.0])
    target.expect("pairs", [list(pair) for pair in raw("ZRANGE", "z", 0, -1, "WITHSCORES")],
                  [[b"a", 2.0], [b"b", 2.5]])
    target.expect("a null", raw("GET", "none"), None)
    target.expect("CONFIG GET", client.config_get("maxmemory*")["maxmemory-policy"], "noeviction")
    lua = "redis.setresp(3); return {redis.call('HGETALL', KEYS[1]), {double=2.5}, true, false}"
    target.expect("of a script", client.eval("redis.setresp(3); return {double=2.5}", 0), 2.5)
    target.expect("more of a script", client.eval(lua, 1, "h"),
                  [{b"a": b"1", b"b": b"2"}, 2.5, True, False])


def pools(target):
    pool = redis.BlockingConnectionPool(port=target.port, max_connections=2, timeout=20)
    shared = redis.Redis(connection_pool=pool)
    together(lambda: [shared.incr("n") for _ in range(100)])
    target.expect("a pool of two", shared.get("n"), b"%d" % (100 * COUNTERS))
    shared.client_setname("pooled")
    victim = shared.client_id()
    with target.client() as other:
        names = {entry["name"] for entry in other.client_list()}
        target.expect_in("CLIENT LIST", "pooled", names)
        target.expect("CLIENT KILL", other.client_kill_filter(_id=victim), 1)
    target.expect("a command after CLIENT KILL", shared.ping(), True)
    small = redis.Redis(connection_pool=redis.ConnectionPool(
        port=target.port, max_connections=1, retry=Retry(NoBackoff(), 0)))
    with small.pipeline() as pipe:
        pipe.watch("n")
        target.expect_error("a full pool", redis.ConnectionError, "Too many connections",
                            small.ping)
    url = redis.Redis.from_url("redis://127.0.0.1:%d/7?health_check_interval=1" % target.port)
    url.set("here", 1)
    target.expect("the database of an URL", target.client(db=7).exists("here"), 1)
    single = target.client(single_connection_client=True, client_name="single")
    target.expect("the name", single.client_getname() in (b"single", "single"), True)
    passwords(target, single)


def passwords(target, admin):
    admin.config_set("requirepass", "secret")
    try:
        for protocol in PROTOCOLS:
            for options in ({"password": "secret"}, {"username": "default", "password": "secret"}):
                known = target.client(protocol=protocol, **options)
                target.expect("with the password", known.ping(), True)
            once = {"protocol": protocol, "retry": Retry(NoBackoff(), 0)}
            target.expect_error("with another password", redis.AuthenticationError, "",
                                target.client(password="wrong", **once).ping)
            target.expect_error("without one", redis.AuthenticationError, "",
                                target.client(**once).ping)
    finally:
        admin.config_set("requirepass", "")


def decode_responses(target):
    for protocol in PROTOCOLS:
        client = target.client(protocol=protocol, decode_responses=True)
        client.flushall()
        client.set("käse", "Gouda ü")
        client.hset("h", mapping={"a": "1"})
        client.zadd("z", {"m": 1})
        client.sadd("s", "x")
        target.expect("values", [client.get("käse"), client.hgetall("h"), client.zscore("z", "m"),
                                 client.smembers("s"), sorted(client.keys("*"))],
                      ["Gouda ü", {"a": "1"}, 1.0, {"x"}, ["h", "käse", "s", "z"]])
        target.expect("others", [client.type("h"), client.echo("ä"), client.eval("return 'ö'", 0),
                                 client.config_get("databases")],
                      ["hash", "ä", "ö", {"databases": "16"}])
        info = client.info()
        target.expect("info", [info["redis_mode"], info["db0"]["keys"]], ["standalone", 4])


CHECKS = [
    ("redis-py locks", locks),
    ("redis-py pipelines", pipelines),
    ("redis-py scripts", scripts),
    ("redis-py watch", watch_loops),
    ("redis-py scan_iter", scan_iter),
    ("redis-py resp3", resp3),
    ("redis-py pools", pools),
    ("redis-py decode", decode_responses),
]
