"""The server that the clients are tried on, and what one check found.

A check is a function of a `Target`: it uses a client as its users do and says what it expected.
A wrong answer does not end it, so that one run shows all of them; an exception does. Deliberately
does not know any client but redis-py, in which checks prepare what they look at.
"""

import os
import subprocess

import harness
import redis

TIMEOUT_SECONDS = 30


class Missing(Exception):
    """A program or a command of the server that a check needs is not there."""


class Target:
    """One server, and the failures and notes of the check that runs on it now."""

    def __init__(self, server):
        self.server, self.kind, self.port = server, server.kind, server.port
        self.failures, self.notes = [], []

    def begin(self):
        """An empty database and nothing found yet."""
        self.failures, self.notes = [], []
        with self.client() as client:
            client.flushall()
            client.script_flush()

    def client(self, **options):
        options.setdefault("socket_timeout", TIMEOUT_SECONDS)
        return redis.Redis(port=self.port, **options)

    def expect(self, what, got, expected):
        if got != expected:
            self.failures.append("%s: %.300r, expected %.300r" % (what, got, expected))
        return got == expected

    def expect_in(self, what, part, whole):
        if part not in whole:
            self.failures.append("%s: no %.300r in %.600r" % (what, part, whole))

    def expect_between(self, what, low, got, high):
        if not low <= got <= high:
            self.failures.append("%s: %r, expected %r to %r" % (what, got, low, high))

    def expect_error(self, what, kind, text, action):
        """`action` has to raise an exception of this kind whose words hold `text`."""
        try:
            self.failures.append("%s: %.300r, expected %s" % (what, action(), kind.__name__))
        except kind as error:
            self.expect_in(what, text, str(error))

    def need_command(self, name):
        """Leaves the check out where the server does not know a command."""
        connection = self.server.connect()
        if connection.call("COMMAND", "INFO", name) == [None]:
            raise Missing("the server has no %s" % name)
        connection.close()

    def note(self, text):
        self.notes.append(text)

    def run(self, *words, input="", timeout=TIMEOUT_SECONDS, env=None):
        """Runs a program to its end, or kills it; returns its exit code and what it printed."""
        program = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
            stdin=subprocess.PIPE)
        try:
            output, _ = program.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            program.kill()
            output, _ = program.communicate()
        return program.returncode, output

    def folder(self):
        return harness.scratch(in_memory=True)

    def path(self, name):
        """A file beside this one."""
        return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
