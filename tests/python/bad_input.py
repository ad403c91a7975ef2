#!/usr/bin/env python3
"""Broken, hostile and slow input: the server answers as Redis does and nothing else changes.

Each case is bytes sent on a fresh connection; the reply, and whether the connection is closed
after it, must be those of redis-server. Then streams of commands with bytes spoiled at random, and
what no oracle is needed for: half commands on many connections, byte by byte, replies not read.
Deliberately does not look at valid commands with wrong arguments: scripts/differential does.
"""

import argparse
import os
import random
import re
import resource
import select
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness
from harness import Connection, Lost, Refused, Server, encode

IDLE_SECONDS = 0.05
SETTLE_SECONDS_MAX = 3.0
MANY = 9_990  # With those of this script the 10,000 that are allowed by default.
MEGABYTE = 1 << 20

# What is sent on a fresh connection.
CASES = [
    b"PING\r\n", b"ping\n", b"  PING  \r\n", b"\r\n\r\nPING\r\n", b"\n\n\nPING\n",
    b"SET a 'b c'\r\nGET a\r\n", b'SET a "x\\x41\\n\\"y"\r\nGET a\r\n',
    b"SET a 'it\\'s'\r\nGET a\r\n",
    b'SET a "unbalanced\r\nPING\r\n', b"SET a 'b'c\r\nPING\r\n", b'GET ""\r\n', b"GET a\x00b\r\n",
    b"ECHO \"\\\"\r\nPING\r\n", b"ECHO '\\x41' \"\\xzz\"\r\n", b"ECHO \"\\a\\b\\t\\r\"\r\n",
    b"*0\r\nPING\r\n", b"*-1\r\nPING\r\n", b"*-9223372036854775808\r\nPING\r\n", b"*\r\nPING\r\n",
    b"*abc\r\nPING\r\n", b"*1048577\r\n", b"*2147483648\r\n", b"*99999999999999999999\r\n",
    b"* 1\r\n$4\r\nPING\r\n", b"*1 \r\n$4\r\nPING\r\n", b"*+1\r\n$4\r\nPING\r\n",
    b"*01\r\n$4\r\nPING\r\n", b"*1\n$4\nPING\n", b"*1\r\n$4\r\nPINGxxPING\r\n",
    b"*1\r\n:4\r\nPING\r\n", b"*1\r\nPING\r\n", b"*1\r\n\r\nPING\r\n", b"*1\r\n\x00\r\n",
    b"*1\r\n$-1\r\nPING\r\n", b"*1\r\n$abc\r\nPING\r\n", b"*1\r\n$\r\nPING\r\n",
    b"*1\r\n$536870913\r\n", b"*1\r\n$9223372036854775808\r\n", b"*1\r\n$-9223372036854775808\r\n",
    b"*1\r\n$04\r\nPING\r\n", b"*1\r\n$0\r\n\r\nPING\r\n", b"*2\r\n$3\r\nGET\r\n$-5\r\n",
    b"*1" + b"1" * (70 << 10), b"*1\r\n$" + b"1" * (70 << 10), b"x" * (70 << 10),
    b"x" * (60 << 10) + b"\r\n", b" " * (70 << 10), b"\x00\x01\x02\xff\r\n",
    b"\x16\x03\x01\x02\x00",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"Host: x\r\n", b"$4\r\nPING\r\n", b":1\r\n", b"+OK\r\n", b"-ERR\r\n", b"_\r\n", b"%1\r\n",
    encode([b"PING"]) * 3 + b"*x\r\n" + encode([b"PING"]),
    encode([b"SET", b"k", b"v"]) + b"*1\r\n$x\r\n",
    encode([b"QUIT"]) + encode([b"PING"]), encode([b"HELLO", b"3"]) + b"*9x\r\n",
    encode([b"x" * 200] + [b"y" * 300] * 20), encode([b"GET"] + [b"k"] * 5000),
    encode([b"a\r\nb", b"c\r\nd"]), encode([b"PING"]) + b"\r\n" + encode([b"PING"]) + b"\n",
]
# The same before a password was given.
LOCKED = [
    b"PING\r\n", b"GET a\r\n", b"*11\r\n", b"*10\r\n$4\r\nPING\r\n", b"*1\r\n$16385\r\n",
    b"*1\r\n$16384\r\n", b"HELLO 3\r\n", b"AUTH wrong\r\n", b"AUTH secret\r\nPING\r\n",
    b"AUTH default secret\r\nPING\r\n", b"AUTH other secret\r\n", b"NOSUCH\r\n", b"RESET\r\n",
    b"HELLO 3 AUTH default wrong\r\n", b"HELLO 2 AUTH default secret\r\n", b"QUIT\r\n",
    b"COMMAND\r\n",
    b"AUTH secret\r\nRESET\r\nGET a\r\n", b"AUTH\r\n", b"AUTH a b c\r\n", b"SELECT 1\r\n",
]
PLAIN = [[b"PING"], [b"SET", b"a", b"1"], [b"GET", b"a"], [b"INCR", b"a"], [b"DEL", b"a"],
         [b"ECHO", b"hello"], [b"MSET", b"a", b"1", b"b", b"2"], [b"MGET", b"a", b"b"],
         [b"APPEND", b"b", b"x\r\ny"], [b"STRLEN", b"b"], [b"EXISTS", b"a", b"b"]]


class Wrong(Exception):
    """What was sent, what was expected, what came."""


class Talk:
    """Bytes sent to one server, and what has come back so far."""

    def __init__(self, port, data):
        self.socket = socket.create_connection((harness.HOST, port), timeout=30)
        self.data, self.closed = b"", False
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # It may close before all is sent; what it says is still to be read.

    def take(self, seconds):
        while not self.closed and select.select([self.socket], [], [], seconds)[0]:
            try:
                part = self.socket.recv(1 << 16)
            except OSError:
                part = b""
            self.closed = not part
            self.data += part


def same_answers(ports, data, what):
    """Sends `data` to both; they must say the same, and close or not alike."""
    ours, theirs = (Talk(port, data) for port in ports)
    begin = time.monotonic()
    while True:
        theirs.take(IDLE_SECONDS)
        ours.take(IDLE_SECONDS if not ours.data else 0)
        if (masked(ours.data), ours.closed) == (masked(theirs.data), theirs.closed):
            break
        late = time.monotonic() - begin > SETTLE_SECONDS_MAX
        if late and stopped_at_nul(data, theirs):
            break
        if late:
            raise Wrong("%s: sent %r\n  dredis %r%s\n  redis  %r%s" % (
                what, data[:200], ours.data[:300], " (closed)" if ours.closed else "",
                theirs.data[:300], " (closed)" if theirs.closed else ""))
    ours.socket.close()
    theirs.socket.close()


def stopped_at_nul(data, theirs):
    """Redis looks for the end of a line with strchr: a NUL in it hides that from it for ever."""
    return b"\x00" in data and not theirs.closed and theirs.data.count(b"\n") < data.count(b"\n")


def masked(data):
    """Without what each server has of its own in the reply to HELLO, and what 7.2 says otherwise."""
    data = data.replace(b"otherwise the HELLO <proto> AUTH", b"otherwise the HELLO AUTH")
    data = re.sub(rb"\$2\r\nid\r\n:\d+", b"id", data)
    return re.sub(rb"version\r\n\$\d+\r\n[\d.]+", b"version", data)


def spoiled(rng):
    """A few commands with some bytes changed, dropped, doubled or put in."""
    data = bytearray(b"".join(encode(rng.choice(PLAIN)) for _ in range(rng.randint(1, 5))))
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data))
        way = rng.randint(0, 3)
        if way == 0:
            data[at] = rng.choice(b"\r\n*$:-0123456789 \x00\xffaZ'\"")
        elif way == 1:
            del data[at]
            data = data or bytearray(b"\n")
        elif way == 2:
            data[at:at] = data[at : at + rng.randint(1, 8)]
        else:
            data[at:at] = bytes(rng.choice(b"\r\n*$019- ") for _ in range(rng.randint(1, 3)))
    return bytes(data)


def compare_all(ports, seed, streams):
    failures = []
    def attempt(data, what):
        try:
            same_answers(ports, data, what)
        except Wrong as wrong:
            failures.append(str(wrong))
    for number, data in enumerate(CASES):
        attempt(data, "case %d" % number)
    rng = random.Random(seed)
    for number in range(streams):
        attempt(spoiled(rng), "stream %d of seed %d" % (number, seed))
    return failures


def byte_by_byte(server):
    """A command that comes one byte at a time is a command."""
    connection = server.connect()
    for byte in encode([b"SET", b"slow", b"value"]) + encode([b"GET", b"slow"]):
        connection.socket.sendall(bytes([byte]))
    if (connection.raw(), connection.raw()) != (b"+OK\r\n", b"$5\r\nvalue\r\n"):
        raise Wrong("byte by byte")
    connection.close()


def large(server):
    """Requests and replies above 10 MB, and many at once."""
    connection, value = server.connect(), bytes(range(256)) * (12 * MEGABYTE // 256)
    connection.call(b"SET", b"large", value)
    if connection.calls([(b"GET", b"large")] * 3) != [value] * 3:
        raise Wrong("a value of 12 MB came back changed")
    if connection.call(b"STRLEN", b"large") != len(value) or connection.call(b"DEL", b"large") != 1:
        raise Wrong("STRLEN or DEL of a value of 12 MB")
    connection.close()


def many_connections(server):
    """Half a command on each of many connections; the server serves all the same, then each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(MANY, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
    connections = []
    for _ in range(count):
        connections.append(Connection(server.port))
        connections[-1].send_bytes(b"*1\r\n$4\r\nPI")
    other = server.connect()
    if other.call(b"PING") != b"PONG":
        raise Wrong("PING beside %d connections" % count)
    for connection in connections:
        connection.send_bytes(b"NG\r\n")
    if any(connection.raw() != b"+PONG\r\n" for connection in connections):
        raise Wrong("PING on %d connections" % count)
    for connection in connections:
        connection.close()
    return count


def unread_replies(server):
    """A client that asks and never reads does not take all memory, nor others their turn."""
    one = server.connect()
    one.call(b"SET", b"big", b"z" * MEGABYTE)
    greedy = socket.create_connection((harness.HOST, server.port), timeout=1)
    before = server.memory_bytes()
    try:
        greedy.sendall(encode([b"GET", b"big"]) * 600)
        time.sleep(0.5)
    except OSError:
        pass  # Closed, or no longer read: both keep the memory.
    if one.call(b"PING") != b"PONG":
        raise Wrong("PING beside a client that does not read")
    grown = server.memory_bytes() - before
    greedy.close()
    one.call(b"DEL", b"big")
    one.close()
    if server.kind == "dredis" and grown > 512 * MEGABYTE:
        raise Wrong("600 replies of 1 MB that nobody reads took %d MB" % (grown // MEGABYTE))


def start_locked(kind):
    """A server that wants a password."""
    if kind == "dredis":
        return Server(kind, harness.scratch(), {"DREDIS_PASSWORD": "secret"}).start()
    return Server(kind, harness.scratch(), ["--requirepass", "secret"], fsync="none").start()


def locked_cases(kind):
    ports = [start_locked(one).port for one in (kind, "redis")]
    failures = []
    for number, data in enumerate(LOCKED):
        try:
            same_answers(ports, data, "before AUTH, case %d" % number)
        except Wrong as wrong:
            failures.append(str(wrong))
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--streams", type=int, default=150)
    parser.add_argument("--redis", action="store_true", help="redis against redis")
    options = parser.parse_args()
    kind = "redis" if options.redis else "dredis"
    harness.need_server(kind)
    harness.need_server("redis")
    print("seed %d" % options.seed, flush=True)
    ours = Server(kind, harness.scratch(), fsync="always").start()
    theirs = Server("redis", harness.scratch(), fsync="none").start()
    watch = ours.connect()
    watch.call(b"SET", b"witness", b"untouched")
    failures = compare_all((ours.port, theirs.port), options.seed, options.streams)
    failures += locked_cases(kind)
    for check in (byte_by_byte, large, unread_replies, many_connections):
        try:
            check(ours)
        except (Wrong, Lost, Refused, OSError) as wrong:
            failures.append("%s: %s" % (check.__name__, wrong))
    try:
        if watch.call(b"GET", b"witness") != b"untouched":
            failures.append("another client's key changed")
    except Lost as lost:
        failures.append("another client's connection: %s" % lost)
    for failure in failures:
        print(failure)
    total = len(CASES) + len(LOCKED) + options.streams + 5
    print("%d cases, %d failed" % (total, len(failures)))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
