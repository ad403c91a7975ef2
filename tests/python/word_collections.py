#!/usr/bin/env python3
"""Real input in collections: every word of the dictionary in a sorted set by its length, in a hash
for each first letter, and in a set; and trees that people make by hand.

The words are loaded with pipelines of redis-py, asked for, changed, looked for in the tree with ls
and cat, and asked for again after a restart, from which everything but the numbered directories was
removed. Runs with a Python that has redis-py (scripts/test makes a virtual environment for it).
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
import redis
from harness import Server, run
from words import add_options, read_words

BATCH = 1000
SAMPLE = 1000
GROUP_BYTES_MAX = 4096  # A larger group of members that share a score is a directory ...
GROUP_BYTES_MIN = 1024  # ... until it is smaller than this.
SHRUNK, FROM, TO = 3, 18, 17  # Lengths: whose group is made small; whose words become as if longer.


def same(what, got, expected):
    if got != expected:
        sys.exit("%s: %.300r, expected %.300r" % (what, got, expected))


def client(server):
    return redis.Redis(port=server.port, socket_timeout=120)


class Model:
    """What is to be found: words with their lengths, and the keys of the hashes."""

    def __init__(self, words):
        self.words, self.rng = words, random.Random(1)
        self.lengths = {word: len(word) for word in words}
        self.letters = {}
        for word in words:
            self.letters.setdefault(key_of(word), []).append(word)

    def order(self):
        """The words as the sorted set has them: by length, then by their bytes."""
        return sorted(self.lengths, key=lambda word: (self.lengths[word], word))

    def sample(self, count=SAMPLE):
        return self.rng.sample(self.words, count)

    def group_bytes(self, length):
        return sum(len(word) + 1 for word, have in self.lengths.items() if have == length)


def key_of(word):
    return b"letter:" + word.decode()[0].encode()


def load(r, model):
    pipe = r.pipeline(transaction=False)
    for at in range(0, len(model.words), BATCH):
        some = model.words[at : at + BATCH]
        pipe.zadd("length", {word: len(word) for word in some})
        pipe.sadd("words", *some)
        for key in sorted(set(map(key_of, some))):
            pipe.hset(key, mapping={word: len(word) for word in some if key_of(word) == key})
        added = pipe.execute()
        same("added", [*added[:2], sum(added[2:])], [len(some)] * 3)


def change(r, model):
    """A large group becomes small, and two of medium size one large one."""
    three = [word for word, length in model.lengths.items() if length == SHRUNK]
    gone = three[: len(three) - 100]
    for word in gone:
        del model.lengths[word]
    same("ZREM", r.zrem("length", *gone), len(gone))
    pipe = r.pipeline(transaction=False)
    moved = [word for word, length in model.lengths.items() if length == FROM]
    for word in moved:
        pipe.zincrby("length", TO - FROM, word)
        model.lengths[word] = TO
    same("ZINCRBY", set(pipe.execute()), {float(TO)})


def ask(r, model, when):
    begin = time.monotonic()
    ask_zset(r, model, when)
    ask_set_and_hashes(r, model, when)
    print("%s: all there, asked in %.1f s" % (when, time.monotonic() - begin), flush=True)


def ask_zset(r, model, when):
    order, rng = model.order(), model.rng
    same(when + ": ZCARD", r.zcard("length"), len(order))
    same(when + ": ZRANGE of all", r.zrange("length", 0, -1), order)
    for length in sorted(set(model.lengths.values())):
        mine = [word for word in order if model.lengths[word] == length]
        same(when + ": ZCOUNT", r.zcount("length", length, length), len(mine))
        same(when + ": ZRANGE BYSCORE", r.zrange("length", length, length, byscore=True), mine)
        last = r.zrange("length", length, "-inf", byscore=True, desc=True, offset=0, num=3)
        below = [word for word in order if model.lengths[word] <= length]
        same(when + ": ZRANGE BYSCORE REV LIMIT", last, below[:-4:-1])
    ranks = {word: rank for rank, word in enumerate(order)}
    sample = [word for word in model.sample() if word in model.lengths]
    pipe = r.pipeline(transaction=False)
    for word in sample:
        pipe.zscore("length", word)
        pipe.zrank("length", word)
        pipe.zrevrank("length", word)
    expected = [x for word in sample
                for x in (float(model.lengths[word]), ranks[word], len(order) - 1 - ranks[word])]
    same(when + ": ZSCORE, ZRANK, ZREVRANK", pipe.execute(), expected)
    for _ in range(50):
        start = rng.randrange(len(order))
        same(when + ": ZRANGE at %d" % start, r.zrange("length", start, start + 9),
             order[start : start + 10])
    picked = r.zrandmember("length", 50)
    same(when + ": ZRANDMEMBER", [len(set(picked)), set(picked) <= set(order)], [50, True])
    found = dict(r.zscan_iter("length", count=1000))
    same(when + ": ZSCAN", found, {word: float(have) for word, have in model.lengths.items()})


def ask_set_and_hashes(r, model, when):
    everything, sample = set(model.words), model.sample()
    same(when + ": SCARD", r.scard("words"), len(everything))
    same(when + ": SMEMBERS", set(r.smembers("words")), everything)
    same(when + ": SSCAN", set(r.sscan_iter("words", count=1000)), everything)
    asked = [part for word in sample for part in (word, word + b"?")]
    same(when + ": SMISMEMBER", r.smismember("words", asked), [1, 0] * len(sample))
    picked = r.srandmember("words", 50)
    same(when + ": SRANDMEMBER", [len(set(picked)), set(picked) <= everything], [50, True])
    for key, words in model.letters.items():
        same(when + ": HLEN", r.hlen(key), len(words))
        pairs = {word: b"%d" % len(word) for word in words}
        same(when + ": HGETALL", r.hgetall(key), pairs)
        same(when + ": HSCAN", dict(r.hscan_iter(key, count=1000)), pairs)
    for word in sample:
        same(when + ": HGET", r.hget(key_of(word), word), b"%d" % len(word))
    fields = r.hrandfield("letter:s", 50)
    same(when + ": HRANDFIELD", set(fields) <= set(model.letters[b"letter:s"]), True)


def listed(*path):
    """What ls shows, less what belongs to other names (%n) and markers (%!)."""
    return {name for name in run("ls", os.path.join(*path)).split("\n")[:-1] if "%" not in name}


def look(server, r, model):
    """The tree as people see it, with ls and cat."""
    r.execute_command("TREE", "SYNC")
    root = os.path.join(server.root, "0")
    words = {word.decode() for word in model.words}
    same("ls 0", listed(root), {"length", "words"} | {key.decode() for key in model.letters})
    same("ls 0/words/values", listed(root, "words/values"), words)
    same("ls 0/length/values", listed(root, "length/values"),
         {word.decode() for word in model.lengths})
    for key, mine in model.letters.items():
        same("ls 0/%s/fields" % key.decode(), listed(root, key.decode(), "fields"),
             {word.decode() for word in mine})
    for word in model.sample(200):
        name, length = word.decode(), model.lengths.get(word)
        same("a field", run("cat", os.path.join(root, key_of(word).decode(), "fields", name)),
             str(len(word)))
        if length:
            same("a score", run("cat", os.path.join(root, "length/values", name)), str(length))
    look_at_groups(root, model)


def look_at_groups(root, model):
    lengths = set(model.lengths.values())
    same("ls 0/length/scores", listed(root, "length/scores"), {str(one) for one in lengths})
    for length in sorted(lengths):
        path, size = os.path.join(root, "length/scores", str(length)), model.group_bytes(length)
        mine = {word.decode() for word, have in model.lengths.items() if have == length}
        same("%s is a directory with %d bytes" % (path, size), os.path.isdir(path),
             size > GROUP_BYTES_MAX)
        if os.path.isdir(path):
            same(path, listed(path), mine)
        else:
            lines = run("cat", path).split("\n")
            same(path, [sorted(lines[:-1]), lines[-1]], [sorted(mine), ""])


def program(server, name):
    """Runs `dredis check` or `dredis repair` on the tree."""
    done = subprocess.run([harness.dredis_binary(), name, server.root], capture_output=True,
                          text=True)
    same("%s: %s" % (name, done.stdout + done.stderr), done.returncode, 0)


def only_numbers(server):
    """Removes everything but the numbered directories."""
    for name in os.listdir(server.root):
        if not name.isdigit():
            shutil.rmtree(os.path.join(server.root, name))


def all_words(kind, every):
    model = Model(read_words(every))
    server, begin = Server(kind, harness.scratch(in_memory=True)).start(), time.monotonic()
    r = client(server)
    load(r, model)
    print("%d words loaded in %.1f s" % (len(model.words), time.monotonic() - begin), flush=True)
    ask(r, model, "after loading")
    if kind == "dredis":
        look(server, r, model)
    change(r, model)
    ask(r, model, "after a change")
    if kind == "dredis":
        look(server, r, model)
        print("ls and cat show the same", flush=True)
    same("exit code", server.stop(), 0)
    if kind == "dredis":
        program(server, "check")
        only_numbers(server)
        # What is asked in order needs no index.
        shutil.rmtree(os.path.join(server.root, "0/length/scores"))
    server.start()
    r = client(server)
    ask(r, model, "after a restart")
    if kind == "dredis":
        same("exit code", server.stop(), 0)
        program(server, "repair")  # Makes it again.
        server.start()
        look(server, client(server), model)
        same("exit code", server.stop(), 0)
        program(server, "check")
    return model


BY_HAND = """
mkdir -p 0/colours/values 0/ada/fields 0/race/values 3/lap/values 3/lap/scores 0/nothing/values
echo set > 0/colours/type
touch 0/colours/values/red 0/colours/values/green '0/colours/values/a%2Fb'
echo "what a member's file holds is of no matter" > 0/colours/values/blue
printf hash > 0/ada/type
printf Lovelace > 0/ada/fields/name
printf 36 > 0/ada/fields/age
printf 1.5 > '0/ada/fields/50%25'
echo zset > 0/race/type
echo 12.5 > 0/race/values/ada
printf 9 > 0/race/values/bob
echo -inf > 0/race/values/eve
printf 9.0 > 0/race/values/zoe
printf 4102444800000 > 0/race/expires
printf zset > 3/lap/type
echo 1 > 3/lap/values/one
echo 2 > 3/lap/values/two
echo one > 3/lap/scores/1
echo two > 3/lap/scores/2
"""


def by_hand():
    """Trees made with mkdir, echo and printf are collections like any other."""
    server = Server("dredis", harness.scratch(in_memory=True))
    subprocess.run(["sh", "-e"], input=BY_HAND, text=True, cwd=server.root, check=True)
    server.start()
    r = client(server)
    # KEYS lists directories (docs/COMPAT.md); all else looks for the type.
    same("SCAN", sorted(r.scan_iter()), [b"ada", b"colours", b"race"])
    same("EXISTS", r.exists("nothing"), 0)
    same("SMEMBERS", set(r.smembers("colours")), {b"red", b"green", b"blue", b"a/b"})
    same("HGETALL", r.hgetall("ada"), {b"name": b"Lovelace", b"age": b"36", b"50%": b"1.5"})
    order = [(b"eve", float("-inf")), (b"bob", 9.0), (b"zoe", 9.0), (b"ada", 12.5)]
    same("ZRANGE", r.zrange("race", 0, -1, withscores=True), order)
    same("PEXPIRETIME", r.execute_command("PEXPIRETIME", "race"), 4102444800000)
    same("SADD", r.sadd("colours", "red", "white"), 1)
    same("SREM", r.srem("colours", "green", "blue"), 2)
    same("HINCRBY", r.hincrby("ada", "age", 1), 37)
    same("HINCRBYFLOAT", r.hincrbyfloat("ada", "50%", 0.25), 1.75)
    same("HDEL", r.hdel("ada", "name"), 1)
    same("ZINCRBY", r.zincrby("race", -4, "ada"), 8.5)
    same("ZRANK", [r.zrank("race", name) for name in ("eve", "ada", "bob", "zoe")], [0, 1, 2, 3])
    same("ZADD", r.zadd("race", {"eve": 9}), 0)
    other = redis.Redis(port=server.port, db=3)
    same("ZRANGE in 3", other.zrange("lap", 0, -1, withscores=True), [(b"one", 1.0), (b"two", 2.0)])
    same("ZINCRBY in 3", other.zincrby("lap", 1, "one"), 2.0)
    r.execute_command("TREE", "SYNC")
    root = server.root
    same("0/colours/values", sorted(os.listdir(root + "/0/colours/values")),
         ["a%2Fb", "red", "white"])
    same("0/ada/fields", {name: run("cat", "%s/0/ada/fields/%s" % (root, name))
                          for name in os.listdir(root + "/0/ada/fields")},
         {"age": "37", "50%25": "1.75"})
    same("3/lap/scores", os.listdir(root + "/3/lap/scores"), ["2"])
    same("3/lap/scores/2", sorted(run("cat", root + "/3/lap/scores/2").split()), ["one", "two"])
    same("exit code", server.stop(), 0)
    only_numbers(server)
    server.start()
    r = client(server)
    same("ZRANGE BYSCORE", r.zrange("race", 9, 9, byscore=True), [b"bob", b"eve", b"zoe"])
    same("HKEYS", sorted(r.hkeys("ada")), [b"50%", b"age"])
    same("SCARD", r.scard("colours"), 3)
    print("trees made by hand are served", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_options(parser)
    options = parser.parse_args()
    kind = "redis" if options.redis else "dredis"
    harness.need_tools("ls", "cat")
    harness.need_server(kind)
    begin = time.monotonic()
    if kind == "dredis":
        by_hand()
    model = all_words(kind, options.every)
    print("%d words in %d collections in %.1f s" % (
        len(model.words), len(model.letters) + 2, time.monotonic() - begin))


if __name__ == "__main__":
    main()
