#!/usr/bin/env python3
"""SCAN, SSCAN, HSCAN and ZSCAN over 100,000 elements while others write and the server restarts.

What was there from the first step to the last has to be returned, whatever comes and goes beside
it, is loaded and evicted, and however often the server is stopped or killed between two steps.
`--redis` puts redis-server in its place, without restarts: its cursors do not survive them, which
`--redis --restarts 2` shows.
"""

import argparse
import os
import random
import sys
import threading
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])

import harness
from harness import Connection, Error, Lost, Server

LOAD_BATCH = 1000
DISK_MEGABYTES = 4000
STEPS_MAX = 100_000
VOLATILE = 20_000  # So many names come and go.
# A first step waits until the tree has what there was: after a load that is all of it.
PATIENCE = 600
# command, key, how its elements are loaded: the arguments behind the key
SCANS = [
    (b"SCAN", None, None),
    (b"SSCAN", b"set", lambda names: [b"SADD", b"set", *names]),
    (b"HSCAN", b"hash", lambda names: [b"HSET", b"hash", *between(names, lambda n: (n, b"v"))]),
    (b"ZSCAN", b"group", lambda names: [b"ZADD", b"group", *between(names, lambda n: (b"7", n))]),
    (b"ZSCAN", b"zset", lambda names: [b"ZADD", b"zset", *between(names, lambda n: (n[-5:], n))]),
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--elements", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=2, help="scans of each kind")
    parser.add_argument("--restarts", type=int, help="in each scan (default: 3; 0 with --redis)")
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--cache", default="8mb", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--redis", action="store_true", help="run redis-server instead of dredis")
    return parser.parse_args()


def between(names, make):
    return [part for name in names for part in make(name)]


def stable(number):
    return b"stable:%06d" % number


class Writer(threading.Thread):
    """Writes beside what is stable, into it and over it, and reads; comes back after restarts."""

    def __init__(self, server, seed, elements):
        super().__init__(daemon=True)
        self.server, self.rng, self.elements = server, random.Random(seed), elements
        self.ending, self.sent, self.errors = threading.Event(), 0, []

    def run(self):
        while not self.ending.is_set():
            try:
                connection = Connection(self.server.port, timeout=60)
                while not self.ending.is_set():
                    commands = self.commands()
                    replies = connection.calls(commands)
                    self.errors += [reply for reply in replies if isinstance(reply, Error)
                                    and not reply.startswith(b"LOADING")]
                    self.sent += len(commands)
            except (Lost, OSError):
                time.sleep(0.01)

    def commands(self):
        rng = self.rng
        some, other = b"volatile:%d" % rng.randrange(VOLATILE), b"v:%d" % rng.randrange(VOLATILE)
        known, score = stable(rng.randrange(self.elements)), b"%d" % rng.randrange(1000)
        far = stable(rng.randrange(self.elements))
        return [
            [b"SADD", b"set", some, other], [b"SREM", b"set", other], [b"SADD", b"set", known],
            [b"SISMEMBER", b"set", far],
            [b"HSET", b"hash", some, score, known, score], [b"HDEL", b"hash", other],
            [b"HGET", b"hash", far],
            [b"ZADD", b"zset", score, some, score, known], [b"ZREM", b"zset", other],
            [b"ZINCRBY", b"zset", b"0.5", far],
            [b"ZADD", b"group", b"7", some, b"8", known, b"7", far], [b"ZREM", b"group", other],
            [b"SET", some, score], [b"SET", other, b"v"], [b"DEL", some], [b"APPEND", known, b"x"],
            [b"GET", far], [b"SET", known, b"v"],
        ]

    def stop(self):
        self.ending.set()
        self.join()


class Scan:
    """One scan from its first step to its last."""

    def __init__(self, server, rng, command, key, elements):
        self.server, self.rng, self.command, self.key = server, rng, command, key
        self.elements, self.steps, self.found = elements, 0, set()

    def run(self, restarts):
        expected = self.elements // 300
        times = {self.rng.randrange(1, max(2, expected)) for _ in range(restarts)}
        connection, cursor = self.server.connect(PATIENCE), b"0"
        while self.steps == 0 or cursor != b"0":
            if self.steps in times:
                self.restart(connection)
                connection = self.server.connect(PATIENCE)
            words = [self.command] + ([self.key] if self.key else []) + [cursor]
            count = self.rng.choice([50, 200, 500, 500, 1000])
            cursor, names = connection.call(*words, b"COUNT", count)
            self.found.update(names[::2] if self.command in (b"HSCAN", b"ZSCAN") else names)
            self.steps += 1
            if self.steps > STEPS_MAX:
                sys.exit("%s does not come to its end" % self.command.decode())
        connection.close()

    def restart(self, connection):
        connection.close()
        if self.rng.random() < 0.5:
            self.server.kill()
        elif self.server.stop() != 0:
            sys.exit("the server stopped with %d:\n%s" % (
                self.server.process.returncode, self.server.log_tail()))
        self.server.start()

    def wrong(self):
        """What is missing, and what nobody wrote."""
        known = {stable(number) for number in range(self.elements)}
        strange = {name for name in self.found - known
                   if not name.startswith((b"volatile:", b"v:"))}
        if self.command == b"SCAN":
            strange -= {key for _, key, _ in SCANS}
        return known - self.found, strange


def folder():
    """On an ext4 of its own, where one can be mounted."""
    if os.geteuid() != 0:
        return harness.scratch()
    return os.path.join(harness.Disk("ext4", DISK_MEGABYTES, ["-i", "4096"]).mount_point, "root")


def load(server, elements):
    connection = server.connect(timeout=600)
    for at in range(0, elements, LOAD_BATCH):
        names = [stable(number) for number in range(at, min(elements, at + LOAD_BATCH))]
        commands = [make(names) for _, _, make in SCANS if make]
        commands += [[b"SET", name, b"v"] for name in names]
        failed = [reply for reply in connection.calls(commands) if isinstance(reply, Error)]
        if failed:
            sys.exit("while loading: %r" % failed[0])
    connection.close()


def main():
    options = arguments()
    kind = "redis" if options.redis else "dredis"
    restarts = options.restarts
    if restarts is None:
        restarts = 0 if options.redis else 3
    harness.need_server(kind)
    settings = {"DREDIS_CACHE_BYTES": options.cache} if kind == "dredis" else []
    server, begin = Server(kind, folder(), settings, fsync="everysec").start(), time.time()
    print("seed %d" % options.seed, flush=True)
    load(server, options.elements)
    print("%d elements of each kind loaded in %.0f s" % (
        options.elements, time.time() - begin), flush=True)
    rng = random.Random(options.seed)
    writers = [Writer(server, "%d/%d" % (options.seed, number), options.elements)
               for number in range(options.writers)]
    for writer in writers:
        writer.start()
    lost = strange = 0
    for _ in range(options.rounds):
        for command, key, _ in SCANS:
            scan = Scan(server, rng, command, key, options.elements)
            scan.run(restarts)
            missing, odd = scan.wrong()
            lost, strange = lost + len(missing), strange + len(odd)
            print("%s %s: %d steps, %d found, %d missing%s, %d that nobody wrote%s" % (
                command.decode(), (key or b"").decode(), scan.steps, len(scan.found),
                len(missing), example(missing), len(odd), example(odd)), flush=True)
    for writer in writers:
        writer.stop()
    errors = [error for writer in writers for error in writer.errors]
    print("%d scans, %d restarts in each, %d commands beside them, %d missing, %d strange, "
          "%d errors%s, %.0f s" % (
              options.rounds * len(SCANS), restarts, sum(writer.sent for writer in writers), lost,
              strange, len(errors), example(errors), time.time() - begin))
    sys.exit(1 if lost or strange or errors else 0)


def example(names):
    return " (%r)" % min(names) if names else ""


if __name__ == "__main__":
    main()
