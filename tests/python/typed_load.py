"""The load of load.py with sets, hashes and sorted sets beside the strings.

A state maps a key of database 0, or a pair of database and key, to (value, deadline or -1). The
value of a string is its bytes, that of a collection (type, elements): a frozenset, or a dict that
is never changed but replaced. Batches are single commands of 20 elements. What is hard for a tree
of files comes often: RENAME of a key of 5,000 elements, COPY, SWAPDB, a group of members of one
score that grows into a directory and shrinks into a file again, names too long for a file.
"""

from harness import Error
from load import BATCH, FAR, Client, apply

WRONG_TYPE = Error(b"WRONGTYPE Operation against a key holding the wrong kind of value")
ELEMENTS = [b"e%d" % n for n in range(40)] + [b"%d" % n * 300 for n in range(3)]
BIG = [b"m%d" % n for n in range(5000)]
FIELDS = [b"f%d" % n for n in range(BATCH)]
# 61 bytes a line: 67 of them fit into the file of a score, 16 are left when it is one again.
GROUP = [b"%04d:" % n + b"g" * 55 for n in range(120)]
GROUP_LARGE, GROUP_SMALL = 90, 8
DATABASES_MAX = 15  # So many databases beside 0; each client that swaps has two.
TYPED_SHARE = 0.6
BIG_CLIENTS = 3  # So many have keys of 5,000 elements, one a type: to read them back takes long.


class TypedClient(Client):
    """A client with collections, and two databases of its own that only COPY and SWAPDB reach."""

    def __init__(self, number, seed):
        super().__init__(number, seed)
        self.sets, self.hashes, self.zsets = ([self.name("%s%d" % (kind, n)) for n in range(3)]
                                              for kind in "shz")
        self.batches = [self.name("batch-" + kind) for kind in ("set", "hash", "zset")]
        self.big = [self.name("big%d" % n) for n in range(2)]
        self.big_word = [b"SADD", b"HSET", b"ZADD"][number % 3]
        self.group, self.growing = self.name("group"), True
        own = (1 + 2 * number, 2 + 2 * number)
        self.databases = own if own[1] <= DATABASES_MAX else None

    def apply_one(self, state, command):
        return apply_typed(state, command)

    def command(self):
        if self.rng.random() > TYPED_SHARE:
            return super().command()
        big = 14 if self.number < BIG_CLIENTS else 0
        ways = [(16, self.point), (22, self.whole_batch), (18, self.change_group),
                (big, self.change_big), (8, self.swap_or_copy), (12, self.key_command)]
        return self.rng.choices([way for _, way in ways], [weight for weight, _ in ways])[0]()

    def point(self):
        """A command on one element, or a few."""
        rng, element = self.rng, self.rng.choice(ELEMENTS)
        score, number = b"%d" % rng.randrange(5), b"%d" % rng.randrange(1, 9)
        return rng.choice([
            [b"SADD", rng.choice(self.sets), element, rng.choice(ELEMENTS)],
            [b"SREM", rng.choice(self.sets), element],
            [b"HSET", rng.choice(self.hashes), element, self.unique()],
            [b"HDEL", rng.choice(self.hashes), element, rng.choice(ELEMENTS)],
            [b"HINCRBY", rng.choice(self.hashes), b"n", number],
            [b"ZADD", rng.choice(self.zsets), score, element],
            [b"ZINCRBY", rng.choice(self.zsets), number, element],
            [b"ZREM", rng.choice(self.zsets), element],
        ])

    def whole_batch(self):
        """20 elements in one command: after a crash all of it is there, or nothing."""
        one_set, one_hash, one_zset = self.batches
        way = self.rng.random()
        if way < 0.35:
            return [b"HSET", one_hash] + pairs(FIELDS, self.unique())
        if way < 0.65:
            self.counter += 1
            score = b"%d" % self.counter
            return [b"ZADD", one_zset] + [part for name in FIELDS for part in (score, name)]
        if way < 0.85:
            self.counter += 1
            return [b"SADD", one_set] + [b"%d/%d" % (self.counter, n) for n in range(BATCH)]
        members = self.state.get(one_set, ((b"set", frozenset()), -1))[0][1]
        if way < 0.95 and members:
            batch = min(members).split(b"/")[0]
            return [b"SREM", one_set] + [b"%b/%d" % (batch, n) for n in range(BATCH)]
        return [b"DEL", self.rng.choice(self.batches)]

    def change_group(self):
        """Members of one score: more until they need a directory, then fewer until a file does."""
        members = self.state.get(self.group, ((b"zset", {}), -1))[0][1]
        if len(members) > GROUP_LARGE:
            self.growing = False
        elif len(members) < GROUP_SMALL:
            self.growing = True
        if self.rng.random() < 0.1:
            return [b"ZINCRBY", self.group, b"1", self.rng.choice(GROUP)]
        some = self.rng.sample(GROUP, self.rng.choice([1, BATCH, 2 * BATCH]))
        if self.growing:
            return [b"ZADD", self.group] + [part for name in some for part in (b"7", name)]
        return [b"ZREM", self.group] + some

    def change_big(self):
        """5,000 elements that move from one key to the other."""
        there = [key for key in self.big if key in self.state]
        if not there or (len(there) == 1 and self.rng.random() < 0.05):
            key = self.rng.choice([key for key in self.big if key not in there])
            return self.make_big(key)
        key = self.rng.choice(there)
        other = self.big[1 - self.big.index(key)]
        way = self.rng.random()
        if way < 0.6:
            return [b"RENAME", key, other]
        if way < 0.9:
            number = b"%d" % self.rng.randrange(6000)
            name = b"m" + number
            return {b"SADD": [b"SADD", key, name], b"HSET": [b"HSET", key, name, self.unique()],
                    b"ZADD": [b"ZADD", key, number, name]}[self.big_word]
        return [b"DEL", key]

    def make_big(self, key):
        if self.big_word == b"SADD":
            return [b"SADD", key, *BIG]
        if self.big_word == b"HSET":
            return [b"HSET", key] + pairs(BIG, b"v")
        return [b"ZADD", key] + [part for n, name in enumerate(BIG) for part in (b"%d" % n, name)]

    def swap_or_copy(self):
        kind = self.rng.choice([self.sets, self.hashes, self.zsets])
        key, other = self.rng.choice(kind), self.rng.choice(kind)
        if self.databases is None or self.rng.random() < 0.35:
            return [b"COPY", key, other, b"REPLACE"] if key != other else [b"PERSIST", key]
        first, second = (b"%d" % number for number in self.databases)
        way = self.rng.random()
        if way < 0.4:
            return [b"SWAPDB", first, second]
        target = self.rng.choice([first, second])
        if way < 0.92:
            key = self.rng.choice([key, key, self.group, *self.batches])
        else:
            key = self.rng.choice(self.big)
        return [b"COPY", key, key, b"DB", target, b"REPLACE"]

    def key_command(self):
        """What works on a key of any type; seldom one that changes the type."""
        kind = self.rng.choice([self.sets, self.hashes, self.zsets])
        key, other = self.rng.choice(kind), self.rng.choice(kind)
        way = self.rng.random()
        if way < 0.35:
            return [b"RENAME", key, other]
        if way < 0.6:
            return [b"DEL", key]
        if way < 0.85:
            return [b"PEXPIREAT", key, b"%d" % (FAR + self.rng.randrange(10**6))]
        if way < 0.93:
            return [b"SET", key, self.unique()]
        return [b"EXPIREAT", key, b"1"]

    def half(self, found):
        """Half batches, those of collections too."""
        count = super().half(found)
        for key in self.batches:
            for where in [key] + [(number, key) for number in self.databases or ()]:
                kind, elements = found.get(where, ((b"none", None), -1))[0]
                count += half_batch(kind, elements)
        return count


def pairs(names, value):
    return [part for name in names for part in (name, value)]


def half_batch(kind, elements):
    """Whether a key of batches has less than all of one."""
    if kind == b"set":
        batches = {}
        for name in elements:
            batches.setdefault(name.split(b"/")[0], []).append(name)
        return any(len(batch) != BATCH for batch in batches.values())
    if kind == b"none":
        return False
    return len(elements) != BATCH or len(set(elements.values())) != 1


def apply_typed(state, command):
    """What a command does to a state; the reply where it tells something."""
    word, key = command[0], command[1]
    if word in CHANGES:
        kind, change = CHANGES[word]
        value, deadline = state.get(key, ((kind, {} if kind != b"set" else frozenset()), -1))
        if not isinstance(value, tuple) or value[0] != kind:
            return WRONG_TYPE
        elements, reply = change(value[1], command[2:])
        if elements:
            state[key] = ((kind, elements), deadline)
        else:
            state.pop(key, None)
        return reply
    if word == b"COPY":
        target = command[2] if command[3] != b"DB" else (int(command[4]), command[2])
        if key not in state:
            return 0
        state[target] = state[key]
        return 1
    if word == b"SWAPDB":
        there = {int(key): int(command[2]), int(command[2]): int(key)}
        moved = [where for where in state if isinstance(where, tuple) and where[0] in there]
        values = [(where, state.pop(where)) for where in moved]
        state.update(((there[number], name), value) for (number, name), value in values)
        return b"OK"
    return apply(state, command)


def sadd(members, names):
    after = members | set(names)
    return after, len(after) - len(members)


def srem(members, names):
    after = members - set(names)
    return after, len(members) - len(after)


def remove(elements, names):
    after = {name: value for name, value in elements.items() if name not in names}
    return after, len(elements) - len(after)


def hset(fields, words):
    after = dict(fields)
    after.update(zip(words[::2], words[1::2]))
    return after, len(after) - len(fields)


def hincrby(fields, words):
    value = int(fields.get(words[0], b"0")) + int(words[1])
    return {**fields, words[0]: b"%d" % value}, value


def zadd(members, words):
    after = dict(members)
    after.update((name, int(score)) for score, name in zip(words[::2], words[1::2]))
    return after, len(after) - len(members)


def zincrby(members, words):
    score = members.get(words[1], 0) + int(words[0])
    return {**members, words[1]: score}, b"%d" % score


# command: type, and what it makes of the elements and its words: (elements, reply)
CHANGES = {
    b"SADD": (b"set", sadd), b"SREM": (b"set", srem),
    b"HSET": (b"hash", hset), b"HDEL": (b"hash", remove), b"HINCRBY": (b"hash", hincrby),
    b"ZADD": (b"zset", zadd), b"ZREM": (b"zset", remove), b"ZINCRBY": (b"zset", zincrby),
}
