#!/usr/bin/env python3
"""Real input: every word of the dictionary as a key, its length as the value, by redis-cli --pipe.

Then the words are asked for, looked for in the tree with ls and grep, the derived files are
removed, and after a restart they are asked for again.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness
from harness import Server, encode, run

WORDS = "/usr/share/dict/words"
SAMPLE = 2000


def add_options(parser):
    parser.add_argument("--redis", action="store_true", help="run redis-server instead of dredis")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th word")


def read_words(every=1):
    if not os.path.exists(WORDS):
        harness.skip("%s is not there (Debian: wamerican)" % WORDS)
    with open(WORDS, "rb") as file:
        return sorted(set(file.read().split()))[::every]


def load(server, words):
    data = b"".join(encode([b"SET", word, b"%d" % len(word)]) for word in words)
    done = subprocess.run(["redis-cli", "-p", str(server.port), "--pipe"], input=data,
                          capture_output=True)
    expected = b"errors: 0, replies: %d" % len(words)
    if expected not in done.stdout:
        sys.exit("redis-cli --pipe: %s" % (done.stdout + done.stderr).decode())


def ask(server, words, when):
    connection = server.connect()
    if connection.call(b"DBSIZE") != len(words):
        sys.exit("%s: DBSIZE %d, expected %d" % (when, connection.call(b"DBSIZE"), len(words)))
    for word in random.Random(1).sample(words, SAMPLE):
        if connection.call(b"GET", word) != b"%d" % len(word):
            sys.exit("%s: GET %r answered %r" % (when, word, connection.call(b"GET", word)))
    found, cursor = set(), b"0"
    while True:
        cursor, names = connection.call(b"SCAN", cursor, b"COUNT", 1000)
        found.update(names)
        if cursor == b"0":
            break
    if found != set(words):
        sys.exit("%s: SCAN found %d of %d" % (when, len(found & set(words)), len(words)))
    connection.close()


def look(server, words):
    """The tree as people see it."""
    connection = server.connect(timeout=600)
    connection.call(b"TREE", b"SYNC")
    connection.close()
    names = os.listdir(os.path.join(os.fsencode(server.root), b"0"))
    plain = {name for name in names if b"%" not in name}
    missing = [word for word in words if word.isalpha() and word not in plain]
    if len(names) != len(words) or missing:
        sys.exit("the tree has %d names of %d; missing: %r" % (
            len(names), len(words), missing[:5]))
    longest = max(words, key=len)
    listed = run("grep", "-rlx", str(len(longest)), "--include=value",
                 os.path.join(server.root, "0"))
    if os.path.join(server.root, "0", longest.decode(), "value") not in listed.split("\n"):
        sys.exit("grep -r does not find %r by its length" % longest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_options(parser)
    options = parser.parse_args()
    kind = "redis" if options.redis else "dredis"
    words = read_words(options.every)
    harness.need_tools("redis-cli", "grep")
    harness.need_server(kind)
    server, begin = Server(kind, harness.scratch()).start(), time.monotonic()
    load(server, words)
    print("%d words loaded in %.1f s" % (len(words), time.monotonic() - begin), flush=True)
    ask(server, words, "after loading")
    if kind == "dredis":
        look(server, words)
    server.stop()
    if kind == "dredis":
        for name in os.listdir(server.root):
            if not name.isdigit():
                shutil.rmtree(os.path.join(server.root, name))
    server.start()
    ask(server, words, "after a restart")
    print("%d words in %.1f s" % (len(words), time.monotonic() - begin))


if __name__ == "__main__":
    main()
