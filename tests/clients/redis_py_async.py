"""redis-py, asyncio: locks, pipelines, scripts, WATCH loops, scans, RESP3, pools and decoding.

Tasks are the other clients. What needs no second look here is in `redis_py`.
"""

import asyncio
import time

import redis.asyncio
from redis.exceptions import (
    LockError, LockNotOwnedError, NoScriptError, ResponseError, WatchError)

PROTOCOLS = (2, 3)
COUNTERS, COUNTED = 4, 15  # Clients that count up at a time, and how often each does.
KILLS = 30
SHORT_SECONDS = 0.3
TIMEOUT_SECONDS = 30
SUM = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


def in_loop(check):
    """A check of coroutines: runs `check` once with a client of each protocol."""

    async def run(target):
        for protocol in PROTOCOLS:
            async with client_of(target, protocol) as client:
                await client.flushall()
                await client.script_flush()
                await check(target, client, lambda: client_of(target, protocol))

    return lambda target: asyncio.run(run(target))


def client_of(target, protocol, **options):
    return redis.asyncio.Redis(port=target.port, protocol=protocol,
                               socket_timeout=TIMEOUT_SECONDS, **options)


async def expect_error(target, what, kind, text, awaitable):
    """`awaitable` has to raise an exception of this kind whose words hold `text`."""
    try:
        target.failures.append("%s: %.300r, expected %s" % (what, await awaitable, kind.__name__))
    except kind as error:
        target.expect_in(what, text, str(error))


@in_loop
async def locks(target, client, connect):
    async with connect() as other:
        lock, theirs = client.lock("lock", timeout=20), other.lock("lock", timeout=20)
        target.expect("acquire", await lock.acquire(blocking=False), True)
        target.expect("locked, owned", [await lock.locked(), await lock.owned()], [True, True])
        target.expect("acquire of a held lock", await theirs.acquire(blocking=False), False)
        target.expect("with patience", await theirs.acquire(blocking_timeout=0.2), False)
        for action in (theirs.release, lambda: theirs.extend(10)):
            theirs.local.token = b"of another"
            await expect_error(target, "another's lock", LockNotOwnedError, "", action())
        target.expect("extend", [await lock.extend(10), 29 <= await client.ttl("lock") <= 30],
                      [True, True])
        target.expect("reacquire", [await lock.reacquire(), await client.ttl("lock") in (19, 20)],
                      [True, True])
        await lock.release()
        await expect_error(target, "release twice", LockError, "unlocked", lock.release())
        await lock_runs_out(target, client, theirs)
    await client.set("counted", 0)
    await asyncio.gather(*(count_locked(connect) for _ in range(COUNTERS)))
    target.expect("counted under a lock", int(await client.get("counted")), COUNTERS * COUNTED)


async def lock_runs_out(target, client, theirs):
    lock, begin = client.lock("lock", timeout=SHORT_SECONDS), time.monotonic()
    await lock.acquire()
    target.expect("a lock that runs out", await theirs.acquire(blocking_timeout=10), True)
    target.expect_between("seconds until then", SHORT_SECONDS * 0.9, time.monotonic() - begin, 5)
    await expect_error(target, "release after that", LockNotOwnedError, "", lock.release())
    await theirs.release()


async def count_locked(connect):
    async with connect() as client:
        for _ in range(COUNTED):
            async with client.lock("counting", timeout=20, sleep=0.002):
                await client.set("counted", int(await client.get("counted")) + 1)


@in_loop
async def pipelines(target, client, connect):
    for transaction in (True, False):
        await client.flushall()
        async with client.pipeline(transaction=transaction) as pipe:
            pipe.set("a", 1).incrby("a", 4).hset("h", "f", 1).hgetall("h").sadd("s", "x")
            target.expect("pipeline", await pipe.smembers("s").execute(),
                          [True, 5, 1, {b"f": b"1"}, 1, {b"x"}])
        async with client.pipeline(transaction=transaction) as pipe:
            pipe.set("b", 1).sadd("b", 1).incr("b")
            replies = await pipe.execute(raise_on_error=False)
            target.expect("with an error", [replies[0], str(replies[1])[:9], replies[2]],
                          [True, "WRONGTYPE", 2])
        async with client.pipeline(transaction=transaction) as pipe:
            pipe.get("a").incr("h")
            await expect_error(target, "that raises", ResponseError, "Command # 2", pipe.execute())
        async with client.pipeline(transaction=transaction) as pipe:
            for number in range(2000):
                pipe.set("many:%d" % number, number)
            target.expect("a large one", await pipe.execute(), [True] * 2000)


@in_loop
async def scripts(target, client, connect):
    script = client.register_script(SUM)
    await expect_error(target, "EVALSHA of none", NoScriptError, "No matching script",
                       client.evalsha(script.sha, 1, "n", 1))
    target.expect("NOSCRIPT fallback", await script(keys=["n"], args=[5]), 5)
    target.expect("exists", await client.script_exists(script.sha, "0" * 40), [True, False])
    for transaction in (True, False):
        await client.script_flush()
        async with client.pipeline(transaction=transaction) as pipe:
            pipe.set("p", 1)
            await script(keys=["p"], args=[2], client=pipe)
            await script(keys=["p"], args=[3], client=pipe)
            target.expect("in a pipeline", await pipe.execute(), [True, 3, 6])
        await client.script_flush()
        async with client.pipeline(transaction=transaction) as pipe:
            pipe.set("p", 1).evalsha(script.sha, 1, "p", 1).incr("p")
            replies = await pipe.execute(raise_on_error=False)
            target.expect("EVALSHA of none in a pipeline", [
                replies[0], type(replies[1]).__name__, replies[2]], [True, "NoScriptError", 2])
    await expect_error(target, "kill of none", ResponseError, "No scripts in execution right now.",
                       client.script_kill())


@in_loop
async def watch_loops(target, client, connect):
    await client.set("n", 0)
    await asyncio.gather(*(count_watched(connect) for _ in range(COUNTERS)))
    target.expect("counted up by WATCH", int(await client.get("n")), COUNTERS * COUNTED)


async def count_watched(connect):
    """The loop as the library's documentation has it."""
    async with connect() as client, client.pipeline() as pipe:
        counted = 0
        while counted < COUNTED:
            try:
                await pipe.watch("n")
                value = int(await pipe.get("n"))
                pipe.multi()
                await pipe.set("n", value + 1).execute()
                counted += 1
            except WatchError:
                await pipe.reset()


@in_loop
async def scan_iter(target, client, connect):
    await client.mset({"key:%d" % number: number for number in range(1500)})
    await client.hset("h", mapping={"f%d" % number: number for number in range(500)})
    await client.sadd("s", *range(500))
    await client.zadd("z", {"m%d" % number: number for number in range(500)})
    target.expect("scan_iter", {key async for key in client.scan_iter("key:*", count=100)},
                  {b"key:%d" % number for number in range(1500)})
    target.expect("hscan_iter", {pair[0] async for pair in client.hscan_iter("h")},
                  {b"f%d" % number for number in range(500)})
    target.expect("sscan_iter", {int(member) async for member in client.sscan_iter("s")},
                  set(range(500)))
    target.expect("zscan_iter", {pair[0] async for pair in client.zscan_iter("z")},
                  {b"m%d" % number for number in range(500)})


@in_loop
async def pools(target, client, connect):
    pool = redis.asyncio.BlockingConnectionPool(port=target.port, max_connections=2, timeout=20)
    async with redis.asyncio.Redis(connection_pool=pool) as shared:
        await asyncio.gather(*(shared.incr("n") for _ in range(300)))
        target.expect("a pool of two", await shared.get("n"), b"300")
        failed = [await fails_after_kill(client, shared) for _ in range(KILLS)]
        target.expect("commands that failed after CLIENT KILL of a pooled connection",
                      "%d of %d" % (failed.count(True), KILLS), "0 of %d" % KILLS)
    await pool.disconnect()
    target.expect("many at a time", sum(await asyncio.gather(
        *(client.incrby("m", 1) for _ in range(100)))), 5050)


async def fails_after_kill(client, shared):
    """The pool has to see that a connection of its was closed before it uses it again.

    It looks whether the end of the connection has arrived, and does not try a command twice.
    """
    await asyncio.gather(*(shared.incr("n") for _ in range(30)))
    await client.client_kill_filter(_id=await shared.client_id())
    try:
        return not await shared.ping()
    except redis.ConnectionError:
        return True


@in_loop
async def decode_responses(target, client, connect):
    protocol = client.get_connection_kwargs()["protocol"]
    async with client_of(target, protocol, decode_responses=True) as texts:
        await texts.set("käse", "Gouda ü")
        await texts.hset("h", mapping={"a": 1})
        await texts.zadd("z", {"m": 1})
        target.expect("values", [await texts.get("käse"), await texts.hgetall("h"),
                                 await texts.zscore("z", "m"), sorted(await texts.keys())],
                      ["Gouda ü", {"a": "1"}, 1.0, ["h", "käse", "z"]])
        target.expect("info", (await texts.info("keyspace"))["db0"]["keys"], 3)


CHECKS = [
    ("redis-py-asyncio locks", locks),
    ("redis-py-asyncio pipelines", pipelines),
    ("redis-py-asyncio scripts", scripts),
    ("redis-py-asyncio watch", watch_loops),
    ("redis-py-asyncio scan_iter", scan_iter),
    ("redis-py-asyncio pools", pools),
    ("redis-py-asyncio decode", decode_responses),
]
