#!/usr/bin/env python3
"""redis-py, the client most people have, does its everyday work in RESP2 and RESP3.

Runs with a Python that has redis-py (scripts/test makes a virtual environment for it). Knows the
client's methods, not the bytes on the wire; the tree is looked at where there is one.
"""

import argparse
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness
import redis
from harness import Server

COUNTED = 20  # How often each client of a WATCH loop counts.
FAILURES = []


def check(what, got, expected):
    if got != expected:
        FAILURES.append("%s: %r, expected %r" % (what, got, expected))


def refused(what, action, text):
    try:
        FAILURES.append("%s: %r, expected an error" % (what, action()))
    except redis.ResponseError as error:
        check(what, text in str(error), True)


def strings(r):
    check("set", r.set("msg", "Hello World"), True)
    check("get", r.get("msg"), b"Hello World")
    check("get of nothing", r.get("nothing"), None)
    check("set nx", r.set("msg", "x", nx=True), None)
    check("set xx get", r.set("msg", "two", xx=True, get=True), b"Hello World")
    check("append", r.append("msg", "!"), 4)
    check("strlen", r.strlen("msg"), 4)
    check("getrange", r.getrange("msg", 1, 2), b"wo")
    check("setrange", r.setrange("msg", 0, "T"), 4)
    check("incr", [r.incr("n"), r.incrby("n", 10), r.decr("n", 1)], [1, 11, 10])
    check("incrbyfloat", r.incrbyfloat("n", 0.5), 10.5)
    refused("incr of a text", lambda: r.incr("msg"), "value is not an integer or out of range")
    check("mset", r.mset({"a": 1, "b": 2, b"\x00\xff": b"\r\n"}), True)
    check("mget", r.mget("a", "b", "none", b"\x00\xff"), [b"1", b"2", None, b"\r\n"])
    check("msetnx", r.msetnx({"a": 9, "c": 9}), False)
    check("getdel", [r.getdel("a"), r.get("a")], [b"1", None])
    check("getset", [r.getset("b", "3"), r.get("b")], [b"2", b"3"])
    r.mset({"one": "ohmytext", "two": "mynewtext"})
    check("lcs", r.lcs("one", "two"), b"mytext")


def keys(r):
    r.flushdb()
    r.mset({"k%d" % n: n for n in range(100)})
    check("dbsize", r.dbsize(), 100)
    check("keys", sorted(r.keys("k1*")), sorted(b"k%d" % n for n in [1, *range(10, 20)]))
    check("scan", sorted(r.scan_iter(match="k*", count=7)), sorted(r.keys()))
    check("type", r.type("k1"), b"string")
    check("exists", r.exists("k1", "k2", "none"), 2)
    check("rename", [r.rename("k1", "z"), r.get("z"), r.exists("k1")], [True, b"1", 0])
    check("copy", [r.copy("z", "y"), r.get("y")], [True, b"1"])
    check("delete", [r.delete("z", "y", "none"), r.unlink("k2")], [2, 1])
    check("expire", [r.expire("k3", 1000), 990 < r.ttl("k3") <= 1000], [True, True])
    check("persist", [r.persist("k3"), r.ttl("k3"), r.ttl("none")], [True, -1, -2])
    check("expireat of the past", [r.expireat("k3", 1), r.exists("k3")], [True, 0])
    check("object", r.object("encoding", "k4"), b"int")
    check("randomkey", r.exists(r.randomkey()), 1)
    r.set("short", "x", px=50)
    time.sleep(0.15)
    check("a key that expired", [r.get("short"), r.exists("short")], [None, 0])
    with r.pipeline(transaction=False) as pipe:
        for n in range(1000):
            pipe.set("p%d" % n, n)
        check("pipeline", set(pipe.execute()), {True})


def transactions(r):
    with r.pipeline() as pipe:
        pipe.set("a", 1).incr("a").sadd("s", "x", "y").get("a")
        check("transaction", pipe.execute(), [True, 2, 2, b"2"])
    with r.pipeline() as pipe:
        pipe.set("b", 1).incr("s").incr("b")
        done = pipe.execute(raise_on_error=False)
        check("transaction with an error", [done[0], type(done[1]).__name__, done[2]],
              [True, "ResponseError", 2])
    with r.pipeline() as pipe:
        pipe.watch("a")
        pipe.multi()
        r.set("a", "by another")
        pipe.set("a", "by me")
        try:
            pipe.execute()
            check("a watched key was touched", "nothing raised", "WatchError")
        except redis.WatchError:
            check("the other one's value", r.get("a"), b"by another")
    r.set("n", 0)
    threads = [threading.Thread(target=count_up, args=(r,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("WATCH loops of four clients", r.get("n"), b"%d" % (4 * COUNTED))


def count_up(r):
    """Adds one as a client does that has only GET and SET."""
    for _ in range(COUNTED):
        r.transaction(lambda pipe: (
            value := int(pipe.get("n")), pipe.multi(), pipe.set("n", value + 1)), "n")


def connection(r):
    check("ping", r.ping(), True)
    check("echo", r.echo("hi"), b"hi")
    check("client setname", [r.client_setname("smoke"), r.client_getname()],
          [True, "smoke" if isinstance(r.client_getname(), str) else b"smoke"])
    check("client id", r.client_id() > 0, True)
    check("client list", len(r.client_list()) >= 1, True)
    check("info", "redis_version" in r.info(), True)
    check("time", abs(r.time()[0] - time.time()) < 5, True)
    check("config get", isinstance(r.config_get("save"), dict), True)
    check("role", r.role()[0], b"master")
    check("slowlog", isinstance(r.slowlog_get(), list), True)
    check("memory usage", r.set("m", "x") and r.memory_usage("m") > 0, True)
    check("bgsave", bool(r.bgsave()), True)
    check("command count", r.command_count() > 60, True)
    refused("an unknown command", lambda: r.execute_command("NOSUCH", "x"), "unknown command")


def look_at_tree(server, r):
    """The first example of the README: a server that is idle otherwise."""
    r.set("last", "of those before")
    until = time.monotonic() + 20
    while not os.path.exists(os.path.join(server.root, "0", "last", "type")):
        check("the tree is written in time", time.monotonic() < until, True)
        time.sleep(0.1)
    time.sleep(0.1)
    r.set("msg", "Hello World")
    for name, expected in (("type", "string"), ("value", "Hello World")):
        with open(os.path.join(server.root, "0", "msg", name)) as file:
            check("0/msg/" + name, file.read(), expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--redis", action="store_true", help="run redis-server instead of dredis")
    options = parser.parse_args()
    kind = "redis" if options.redis else "dredis"
    harness.need_server(kind)
    server = Server(kind, harness.scratch()).start()
    for protocol in (2, 3):
        r = redis.Redis(port=server.port, protocol=protocol)
        r.flushall()
        for part in (strings, keys, transactions, connection):
            try:
                part(r)
            except redis.RedisError as error:
                FAILURES.append("%s, RESP%d: %s" % (part.__name__, protocol, error))
        if kind == "dredis":
            look_at_tree(server, r)
        r.set("kept", "over a restart")
        before = r.dbsize()
        r.close()
        check("exit code after SIGTERM", server.stop(), 0)
        server.start()
        r = redis.Redis(port=server.port, protocol=protocol)
        check("a key after a restart", r.get("kept"), b"over a restart")
        check("dbsize after a restart", r.dbsize(), before)
        r.close()
    for failure in FAILURES:
        print(failure)
    print("redis-py %s: %d failed" % (redis.__version__, len(FAILURES)))
    sys.exit(1 if FAILURES else 0)


if __name__ == "__main__":
    main()
