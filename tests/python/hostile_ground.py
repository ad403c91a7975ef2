"""The ground of the hostile checks: servers, what must hold after each check, and what was wrong.

A check is a function of the ground that is registered with `check`. It attacks `ground.main` or a
server of its own (`ground.fresh`), notes each thing that is wrong and goes on, and answers one line
about what it saw. After it, every server that runs must answer PING at once, hold what it held
before, and have given its memory back; at the end each stops with code 0 and `dredis check` finds
nothing. Deliberately knows no attack.
"""

import os
import re
import select
import socket
import subprocess
import threading
import time

import harness
from harness import Connection, Lost, Refused, Server

MEGABYTE = 1 << 20
PING_SECONDS_MAX = 1.0
SHOWN_BYTES_MAX = 220
# Beyond this an allocation fails: a server that takes all memory does not take the machine's.
ADDRESS_BYTES_MAX = 6 << 30
GIVEN_BACK_SECONDS_MAX = 8
OPEN_FILES = 20_000

CHECKS = []


class Check:
    """A row of the table of checks."""

    def __init__(self, name, run, ours):
        self.name, self.run, self.ours = name, run, ours


def check(name, ours=False):
    """Registers a check; `ours` are those that make no sense with redis-server in dredis' place."""
    def register(run):
        CHECKS.append(Check(name, run, ours))
        return run
    return register


def shown(value):
    """What a person can read of bytes or a reply."""
    text = repr(value)
    if len(text) > SHOWN_BYTES_MAX:
        return "%s... (%d characters)" % (text[:SHOWN_BYTES_MAX], len(text))
    return text


class Witness:
    """Some keys of each type, and how they read. They are below `w:`, which no check touches."""

    MADE = [
        (b"SET", b"w:string", b"value \r\n\x00\xff"), (b"SET", b"w:int", b"41"),
        (b"SET", b"w:late", b"x", b"PXAT", b"4102444800000"), (b"SET", b"w:large", b"z" * 300_000),
        (b"HSET", b"w:hash", b"f", b"1", b"..", b"up", b"", b"empty"),
        (b"SADD", b"w:set", b"a", b"/", b"\x00"),
        (b"ZADD", b"w:zset", b"1.5", b"m", b"-inf", b"low", b"inf", b"high"),
        (b"HSET", b"w:hash2", *[b"%d" % n for n in range(1200)]),
        (b"ZADD", b"w:zset2", *[b"%d" % (n // 2) for n in range(1200)]),
    ]
    READ = [
        (b"GET", b"w:string"), (b"GET", b"w:int"), (b"PEXPIRETIME", b"w:late"),
        (b"GET", b"w:large"), (b"HGETALL", b"w:hash"), (b"SMEMBERS", b"w:set"),
        (b"ZRANGE", b"w:zset", b"0", b"-1", b"WITHSCORES"), (b"HLEN", b"w:hash2"),
        (b"HMGET", b"w:hash2", b"0", b"598", b"1198"), (b"ZCARD", b"w:zset2"),
        (b"ZRANGEBYSCORE", b"w:zset2", b"100", b"103", b"WITHSCORES"), (b"TYPE", b"w:none"),
    ]

    def __init__(self, connection):
        connection.calls(self.MADE)
        self.read = self.values(connection)

    def values(self, connection):
        found = connection.calls(self.READ)
        return [sorted(value) if row[0] in (b"HGETALL", b"SMEMBERS") else value
                for row, value in zip(self.READ, found)]


class Guarded:
    """A server, what it has to hold, and what it may take."""

    def __init__(self, kind, settings, redis_words=(), root=None):
        limits = ("prlimit", "--as=%d" % ADDRESS_BYTES_MAX, "--nofile=%d" % OPEN_FILES)
        if kind == "dredis":
            self.server = Server(kind, root or harness.scratch(in_memory=True), settings,
                                 wrapper=limits)
        else:
            self.server = Server(kind, root or harness.scratch(in_memory=True),
                                 ["--busy-reply-threshold", "200", *redis_words], fsync="none")
        self.kind, self.password = kind, settings.get("DREDIS_PASSWORD")
        self.server.start()
        self.port, self.witness = self.server.port, None
        self.tree_is_sound = True  # Otherwise `check` has something to say at the end.
        with_witness = self.connect()
        self.witness = Witness(with_witness)
        with_witness.close()
        self.rest_bytes = self.server.memory_bytes()

    @property
    def pid(self):
        return self.server.process.pid

    def connect(self, timeout=20):
        connection = Connection(self.port, timeout)
        if self.password:
            connection.call(b"AUTH", self.password)
        return connection

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def memory(self):
        return self.server.memory_bytes()

    def reset_peak(self):
        with open("/proc/%d/clear_refs" % self.pid, "w") as file:
            file.write("5")

    def peak(self):
        """The most that was resident since `reset_peak`."""
        with open("/proc/%d/status" % self.pid) as status:
            return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) * 1024

    def runs(self):
        return self.server.process.poll() is None

    def ping(self, timeout=PING_SECONDS_MAX):
        """What a new connection is told, and after how many seconds."""
        begin = time.monotonic()
        try:
            with socket.create_connection((harness.HOST, self.port), timeout=timeout) as one:
                one.sendall(b"PING\r\n")
                return one.recv(200), time.monotonic() - begin
        except OSError as error:
            return str(error).encode(), time.monotonic() - begin

    def complaints(self):
        """What is not as it was."""
        if not self.runs():
            return ["the server ended with %s: %s" % (
                self.server.process.returncode, self.server.log_tail(6).strip())]
        said, seconds = self.ping()
        if not said.startswith(b"-NOAUTH" if self.password else b"+PONG"):
            return ["PING on a new connection: %s after %.2f s" % (shown(said), seconds)]
        if self.witness is None:
            return []
        connection = self.connect()
        try:
            now = self.witness.values(connection)
        except (Lost, Refused, OSError) as error:
            return ["the keys from before: %s" % error]
        finally:
            connection.close()
        return ["%s was %s and is %s" % (shown(row), shown(old), shown(new))
                for row, old, new in zip(Witness.READ, self.witness.read, now) if old != new]

    def end(self):
        """SIGTERM, and `check`: what is wrong with the end."""
        if not self.runs():
            return []  # Told before.
        try:
            code = self.server.stop(20)
        except subprocess.TimeoutExpired:
            self.server.kill()
            return ["SIGTERM did not end the server within 20 s"]
        wrong = [] if code == 0 else ["SIGTERM: exit code %s, expected 0" % code]
        with open(self.server.log.name, errors="replace") as log:
            panics = [line.strip() for line in log if "panicked" in line]
        wrong += ["the log says: %s" % line for line in panics[:3]]
        if self.kind == "dredis" and self.tree_is_sound:
            wrong += check_tree(self.server.root)
        return wrong


def check_tree(root):
    """What `dredis check` complains of."""
    done = subprocess.run([harness.dredis_binary(), "check", root], capture_output=True, text=True,
                          timeout=120)
    if done.returncode == 0:
        return []
    return ["dredis check: code %d, %s" % (done.returncode, (done.stdout + done.stderr)[:600])]


class Ground:
    """The servers of a run, and what the present check found wrong."""

    def __init__(self, kind, full, seed):
        self.kind, self.full, self.seed = kind, full, seed
        self.wrong, self.others = [], []
        self.main = self.start({})
        self.oracle = None
        if kind == "dredis" and harness.shutil.which("redis-server"):
            self.oracle = Server("redis", harness.scratch(True), ["--busy-reply-threshold", "200"],
                                 fsync="none").start()

    def start(self, settings):
        settings = {"DREDIS_BUSY_REPLY_THRESHOLD": 200, **settings}
        words = ["--requirepass", settings["DREDIS_PASSWORD"]] if "DREDIS_PASSWORD" in settings \
            else []
        if "DREDIS_MAXCLIENTS" in settings:
            words += ["--maxclients", str(settings["DREDIS_MAXCLIENTS"])]
        return Guarded(self.kind, settings, words)

    def fresh(self, **settings):
        """A server of the check's own, looked after like the main one until the check ends."""
        self.others.append(self.start(settings))
        return self.others[-1]

    def fail(self, what, *more):
        self.wrong.append(what % more if more else what)

    def equal(self, what, got, expected):
        if got != expected:
            self.fail("%s: got %s, expected %s", what, shown(got), shown(expected))

    def matches(self, what, got, pattern):
        if not re.search(pattern, got, re.S):
            self.fail("%s: got %s, expected %s", what, shown(got), shown(pattern))

    def below(self, what, got, most):
        if got > most:
            self.fail("%s: %s, expected at most %s", what, got, most)

    def rows(self, rows, prepare=()):
        """Rows of a command, the exact reply (None for any that Redis gives too), and the reply of
        redis-server where it is meant to differ. Answers how many there were."""
        ours = self.main.connect()
        theirs = self.oracle and Connection(self.oracle.port, 20)
        for connection in filter(None, (ours, theirs)):
            connection.calls(prepare)
        for row in rows:
            command, expected = row[0], row[1]
            got = self.raw(ours, command)
            if got is None:
                ours = self.main.connect()
            reply = expected if len(row) < 3 else row[2]
            if theirs and reply != OURS:
                said = self.raw(theirs, command)
                reply = said if reply is None else reply
                if said != reply:
                    self.fail("redis-server to %s: got %s, expected %s",
                              shown(command), shown(said), shown(reply))
            wanted = reply if expected is None and theirs else expected
            if wanted is not None and got != wanted:
                self.fail("%s: got %s, expected %s", shown(command), shown(got), shown(wanted))
        for connection in filter(None, (ours, theirs)):
            connection.close()
        return len(rows)

    def raw(self, connection, command):
        try:
            connection.send(command)
            return connection.raw()
        except (Lost, OSError) as error:
            self.fail("%s: %s", shown(command), error)
            return None

    def settled(self, server, grown_bytes_max):
        """Waits until at most so much more is resident than at rest."""
        most, begin = server.rest_bytes + grown_bytes_max, time.monotonic()
        while server.memory() > most and time.monotonic() - begin < GIVEN_BACK_SECONDS_MAX:
            time.sleep(0.1)
        now = server.memory()
        if now > most:
            self.fail("%d MB are resident %d s after, expected at most %d", now // MEGABYTE,
                      GIVEN_BACK_SECONDS_MAX, most // MEGABYTE)
        return "%d MB resident after" % (now // MEGABYTE)

    def run(self, check):
        """Runs one check and what follows each; prints and answers whether it passed."""
        self.wrong, begin = [], time.monotonic()
        try:
            seen = check.run(self) or ""
        except (Lost, Refused, OSError, ValueError, subprocess.TimeoutExpired) as error:
            seen = "gave up"
            self.fail("%s: %s", type(error).__name__, error)
        for server in [self.main, *self.others]:
            for complaint in server.complaints():
                self.fail("afterwards, %s", complaint)
        for server in self.others:
            for complaint in server.end():
                self.fail("at the end, %s", complaint)
            server.server.kill()
        self.others = []
        self.revive()
        took = time.monotonic() - begin
        print("%-6s %-26s %5.1f s  %s" % (
            "FAILED" if self.wrong else "ok", check.name, took, seen), flush=True)
        for wrong in self.wrong[:40]:
            print("         %s" % wrong, flush=True)
        return not self.wrong

    def revive(self, hangs=False):
        """A main server that no longer answers is replaced: the checks that follow need one."""
        said, _ = self.main.ping() if self.main.runs() and not hangs else (b"", 0)
        if not said.startswith(b"+PONG"):
            self.main.server.kill()
            self.main = self.start({})


OURS = object()  # In a row: redis-server is not asked.


class Talk:
    """Bytes sent on a connection of their own, and what came back."""

    def __init__(self, port, data=b"", timeout=10):
        self.socket = socket.create_connection((harness.HOST, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data, self.closed = b"", False
        self.send(data)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # It may close before all is sent; what it says is still to be read.

    def take(self, until, seconds_max=3.0, quiet=0.02):
        """Reads until `until(self)` holds, and then until nothing comes for a moment."""
        end = time.monotonic() + seconds_max
        while not self.closed:
            left = quiet if until(self) else end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                break
            try:
                part = self.socket.recv(1 << 18)
            except OSError:
                part = b""
            self.closed = not part
            self.data += part
        return self

    def close(self):
        self.socket.close()


class Asked:
    """A command that is asked in the background: its reply, and how long it took."""

    def __init__(self, server, *command, timeout=30):
        self.connection, self.command = server.connect(timeout), command
        self.reply, self.seconds = None, None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.begin = time.monotonic()
        self.thread.start()

    def _run(self):
        try:
            self.connection.send(self.command)
            self.reply = self.connection.raw()
        except (Lost, OSError) as error:
            self.reply = b"(%s)" % str(error).encode()
        self.seconds = time.monotonic() - self.begin

    def wait(self, seconds):
        """The reply, or None if it does not come in time."""
        self.thread.join(seconds)
        return self.reply

    def close(self):
        self.connection.close()
