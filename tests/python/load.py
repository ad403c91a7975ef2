"""Clients that write at random and know what the server may hold after any crash.

Each thread has keys of its own and one connection, so the state of its keys is the state after its
acknowledged commands and some prefix of those it sent since. Batches (MSET and MSETNX of 20 keys)
write one value into all keys of the batch, as transactions of as many commands do, and scripts.
Values are unique. typed_load.py adds the other types.
Deliberately does not know what ends the server or how it is started again.
"""

import random
import threading

from harness import Connection, Error, Lost, decode, encode

BATCH = 20
KEYS = 30
PIPELINE_MAX = 16
FAR = 4102444800000  # A deadline that no test reaches.
LONG = b"x" * 3000
CALL_MAX = 7000  # A call of a script takes so many arguments, and some more.
# Runs commands: KEYS has the key of each, ARGV how many words each has, then all words.
SCRIPT = b"""local replies, at = {}, #KEYS
for n = 1, #KEYS do
  local last = at + ARGV[n]
  replies[n] = redis.pcall(unpack(ARGV, at + 1, last))
  at = last
end
return replies"""
# Runs commands that do not fail.
SCRIPT_SURE = SCRIPT.replace(b"pcall", b"call")


class Transaction:
    """Commands between MULTI and EXEC: one batch."""

    word = b"EXEC"

    def __init__(self, commands):
        self.commands = commands

    def __getitem__(self, part):  # As it is named in messages.
        return [self.word][part]

    def wire(self):
        return b"".join(map(encode, [[b"MULTI"], *self.commands, [b"EXEC"]]))

    def receive(self, connection):
        """The reply of EXEC."""
        replies = connection.raws(len(self.commands) + 2)
        refused = [reply for reply in replies if reply.startswith(b"-")]
        return decode(refused[0] if refused else replies[-1])

    def apply(self, state, apply_one):
        return [apply_one(state, command) for command in self.commands]


class Script(Transaction):
    """Commands that a script runs: one batch too. `sure` if none of them can fail."""

    word = b"EVAL"

    def __init__(self, commands, sure=False):
        super().__init__(commands)
        self.text = SCRIPT_SURE if sure else SCRIPT

    def wire(self):
        keys = [command[1] for command in self.commands]
        counts = [len(command) for command in self.commands]
        words = [word for command in self.commands for word in command]
        return encode([b"EVAL", self.text, len(keys), *keys, *counts, *words])

    def receive(self, connection):
        return decode(connection.raw())


class Client:
    """One thread's keys. `state` maps a key to (value, deadline or -1); `pending` holds what was
    sent after it and is not acknowledged."""

    def __init__(self, number, seed):
        self.number, self.rng = number, random.Random("%d/%d" % (seed, number))
        self.state, self.pending = {}, []
        self.counter, self.acknowledged, self.refused = 0, 0, 0
        self.keys = [self.name("k%d" % n) for n in range(KEYS)]
        self.numbers = [self.name("n%d" % n) for n in range(5)]
        self.batch = [self.name("b%d" % n) for n in range(BATCH)]
        self.fresh = [[self.name("f%d.%d" % (g, n)) for n in range(BATCH)] for g in range(3)]
        self.log = None  # When a list: every command acknowledged or sent, for backup-rounds.
        self.wrong = []

    def name(self, text):
        return b"t%d:%s" % (self.number, text.encode())

    def apply(self, state, command):
        if isinstance(command, Transaction):
            return command.apply(state, self.apply_one)
        return self.apply_one(state, command)

    def apply_one(self, state, command):
        return apply(state, command)

    def groups(self):
        return [self.batch] + self.fresh

    def unique(self):
        self.counter += 1
        value = b"%d.%d.%d" % (self.number, self.counter, self.rng.getrandbits(32))
        return value + LONG if self.rng.random() < 0.02 else value

    def command(self):
        """The next random command."""
        rng, key = self.rng, self.rng.choice(self.keys)
        way = rng.random()
        if way < 0.30:
            return [b"SET", key, self.unique()]
        if way < 0.35:
            return [b"SET", key, self.unique(), b"PXAT", b"%d" % (FAR + self.counter)]
        if way < 0.50:
            return [b"INCR", rng.choice(self.numbers)]
        if way < 0.60:
            return [b"APPEND", key, b"+%d" % rng.randrange(1000)]
        if way < 0.68:
            return [b"DEL", key, rng.choice(self.keys)]
        if way < 0.78:
            return self.mset(self.batch)
        if way < 0.84:
            group = rng.choice(self.fresh)
            return self.mset(group, b"MSETNX") if rng.random() < 0.6 else [b"DEL"] + group
        if way < 0.90:
            return [b"RENAME", key, rng.choice(self.keys)]
        if way < 0.96:
            return [b"PEXPIREAT", key, b"%d" % (FAR + rng.randrange(10**6))]
        if way < 0.98:
            return [b"PERSIST", key]
        return [b"EXPIREAT", key, b"1"]

    def next(self):
        """The next random command, or a transaction or script of some."""
        way = self.rng.random()
        if way < 0.04:
            return Transaction(self.one_value())
        if way < 0.10:
            return Transaction(self.commands(self.rng.randint(1, 6)))
        if way < 0.13:
            return Script(self.one_value(), sure=True)
        if way < 0.18:
            commands = self.commands(self.rng.randint(1, 6))
            return Script([command for command in commands if len(command) <= CALL_MAX])
        return self.command()

    def one_value(self):
        """Does what MSET does."""
        value = self.unique()
        return [[b"SET", key, value] for key in self.batch]

    def commands(self, count):
        """Commands for a batch: it swaps databases once, see docs/COMPAT.md."""
        commands = [self.command() for _ in range(count)]
        swaps = [command for command in commands if command[0] == b"SWAPDB"]
        return [command for command in commands if not any(command is swap for swap in swaps[1:])]

    def mset(self, group, word=b"MSET"):
        value = self.unique()
        return [word] + [part for key in group for part in (key, value)]

    def step(self, connection):
        """One pipeline: sends it, then takes each reply as it comes."""
        commands = [self.next() for _ in range(self.rng.choice([1, 1, 2, PIPELINE_MAX]))]
        self.pending = list(commands)
        if self.log is not None:
            self.log.extend(commands)
        connection.send_bytes(b"".join(
            command.wire() if isinstance(command, Transaction) else encode(command)
            for command in commands))
        for command in commands:
            if isinstance(command, Transaction):
                self.taken(command, command.receive(connection))
            else:
                self.taken(command, decode(connection.raw()))

    def taken(self, command, reply):
        after = dict(self.state)
        expected = self.apply(after, command)
        if isinstance(reply, Error) and reply.startswith((b"MISCONF", b"EXECABORT")):
            self.pending.pop(0)
            self.refused += 1
            return
        if isinstance(reply, Error) and not reply.startswith(b"ERR no such key"):
            if reply != expected:  # It stays pending: nobody knows whether it was done.
                raise Lost("%s answered %s" % (command[0].decode(), reply.decode(errors="replace")))
        self.state = after
        if isinstance(expected, list) and isinstance(reply, list):
            reply = [one if two is not None else None for one, two in zip(reply, expected)]
        if expected is not None and reply != expected and not isinstance(reply, Error):
            self.wrong.append("%r answered %r, expected %r" % (command[:3], reply, expected))
        self.pending.pop(0)
        self.acknowledged += 1

    def possible(self):
        """The states that may be found: after what is acknowledged, and after each one sent."""
        states, state = [dict(self.state)], dict(self.state)
        for command in self.pending:
            self.apply(state, command)
            states.append(dict(state))
        return states

    def judge(self, found):
        """What is wrong with the state found: (keys lost or wrong, half batches)."""
        states, half = self.possible(), self.half(found)
        if found in states:
            return [], half
        lost = []
        for key in sorted(set(found).union(*states), key=repr):
            allowed = [state.get(key) for state in states]
            if found.get(key) not in allowed:
                lost.append((key, found.get(key), allowed[0]))
        return lost or [(b"(a mixture of states)", None, None)], half

    def half(self, found):
        """Batches of which only a part is there."""
        return sum(1 for group in self.groups() if len({found.get(key) for key in group}) > 1)

    def settle(self, found):
        """Goes on from what was found."""
        self.state, self.pending = dict(found), []


def apply(state, command):
    """What a command does to a state; the reply where it tells something."""
    word, key = command[0], command[1]
    if word == b"SET":
        state[key] = (command[2], int(command[4]) if len(command) > 3 else -1)
        return b"OK"
    if word == b"INCR":
        value, deadline = state.get(key, (b"0", -1))
        state[key] = (b"%d" % (int(value) + 1), deadline)
        return int(state[key][0])
    if word == b"APPEND":
        value, deadline = state.get(key, (b"", -1))
        state[key] = (value + command[2], deadline)
        return len(state[key][0])
    if word == b"DEL":
        return sum(state.pop(name, None) is not None for name in command[1:])
    if word in (b"MSET", b"MSETNX"):
        if word == b"MSETNX" and any(name in state for name in command[1::2]):
            return 0
        state.update((name, (value, -1)) for name, value in zip(command[1::2], command[2::2]))
        return b"OK" if word == b"MSET" else 1
    if word == b"RENAME":
        if key in state:
            state[command[2]] = state.pop(key)
        return None
    if word == b"PEXPIREAT":
        if key not in state:
            return 0
        state[key] = (state[key][0], int(command[2]))
        return 1
    if word == b"PERSIST":
        if state.get(key, (b"", -1))[1] < 0:
            return 0
        state[key] = (state[key][0], -1)
        return 1
    if word == b"EXPIREAT":  # Only ever with a time long past.
        return 1 if state.pop(key, None) else 0
    raise AssertionError(word)


class Load:
    """Several clients at work until the server goes or `stop` is called."""

    def __init__(self, threads, seed, client=Client):
        self.clients = [client(number, seed) for number in range(threads)]
        self.threads, self.stopping, self.ended = [], False, []

    def start(self, port):
        self.stopping, self.ended = False, []
        self.threads = [threading.Thread(target=self._work, args=(client, port), daemon=True)
                        for client in self.clients]
        for thread in self.threads:
            thread.start()

    def _work(self, client, port):
        try:
            connection = Connection(port, timeout=30)
            while not self.stopping:
                client.step(connection)
            connection.close()
        except (Lost, OSError) as error:
            self.ended.append(str(error))

    def stop(self):
        self.stopping = True
        self.join()

    def join(self):
        for thread in self.threads:
            thread.join()

    @property
    def acknowledged(self):
        return sum(client.acknowledged for client in self.clients)

    @property
    def refused(self):
        """Commands that found no room on the disk."""
        return sum(client.refused for client in self.clients)

    def wrong(self):
        return [text for client in self.clients for text in client.wrong]


def read_state(connection, databases=1):
    """Everything in database 0: a map from key to (value, deadline or -1), as typed_load.py has it
    where there are other types. With more databases, a pair of number and key for theirs."""
    state = {}
    for number in range(databases):
        if databases > 1:
            connection.call(b"SELECT", number)
        keys = connection.call(b"KEYS", b"*")
        types = connection.calls([(b"TYPE", key) for key in keys])
        values = [read_value(connection, key, kind) for key, kind in zip(keys, types)]
        deadlines = connection.calls([(b"PEXPIRETIME", key) for key in keys])
        for key, value, deadline in zip(keys, values, deadlines):
            state[key if number == 0 else (number, key)] = (value, deadline)
    return state


def read_value(connection, key, kind):
    if kind == b"string":
        return connection.call(b"GET", key)
    if kind == b"set":
        return kind, frozenset(connection.call(b"SMEMBERS", key))
    if kind == b"hash":
        flat = connection.call(b"HGETALL", key)
        return kind, dict(zip(flat[::2], flat[1::2]))
    flat = connection.call(b"ZRANGE", key, b"0", b"-1", b"WITHSCORES")
    return kind, {name: int(score) for name, score in zip(flat[::2], flat[1::2])}


def share(state, client):
    """The part of a state that is one client's."""
    prefix = b"t%d:" % client.number
    return {key: value for key, value in state.items()
            if (key if isinstance(key, bytes) else key[1]).startswith(prefix)}
