#!/usr/bin/env python3
"""What only dredis has: its settings, its tree, TREE and BACKUP, `check`, and a disk that fails.

Each check is a function with a server or a folder of its own. What Redis has too is compared with
Redis, in scripts/differential and bad_input.py.
"""

import collections
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness
from harness import Lost, Refused, Server

SETTINGS = ["DREDIS_HOST", "DREDIS_PORT", "ROOT_DIR", "DEBUG", "FLUSHALL_ON_STARTUP",
            "DREDIS_FSYNC", "DREDIS_CACHE_BYTES", "DREDIS_PASSWORD", "DREDIS_MAXCLIENTS",
            "DREDIS_UNIXSOCKET", "DREDIS_BACKLOG_BYTES", "DREDIS_JOURNAL_BYTES",
            "DREDIS_BATCH_BYTES", "DREDIS_BACKUP_JOURNAL_BYTES"]
BAD_SETTINGS = [("DREDIS_FSYNC", "bogus"), ("DREDIS_PORT", "99999"), ("DREDIS_CACHE_BYTES", "lots"),
                ("DREDIS_MAXCLIENTS", "-1"), ("DEBUG", "perhaps"), ("DREDIS_BACKLOG_BYTES", "64xb")]
STRANGE = [b"..", b".", b"", b"/etc/passwd", b"../../x", b"a/b", b"\x00", b"\xff\xfe", b"%41", b"%",
           b".hidden", b"caf\xc3\xa9", b"n" * 255, b"n" * 256, b"\x01" * 300, b"a\nb", b"-rf", b"~"]


def same(what, got, expected):
    if got != expected:
        raise AssertionError("%s: %r, expected %r" % (what, got, expected))


def run_dredis(*words, **environment):
    """Exit code, and all that was printed."""
    env = {**os.environ, **environment}
    env.pop("DREDIS_BIN", None)  # The harness' own: the server warns of what it does not know.
    done = subprocess.run([harness.dredis_binary(), *words], capture_output=True, text=True,
                          timeout=30, env=env)
    return done.returncode, done.stdout + done.stderr


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def shown(*path):
    """The content of a file, "a directory", or None where nothing is."""
    if os.path.isdir(os.path.join(*path)):
        return "a directory"
    return read(*path) if os.path.exists(os.path.join(*path)) else None


def start(root=None, wrapper=(), fsync="always", **options):
    return Server("dredis", root or harness.scratch(), options, fsync, wrapper).start()


def every_setting_is_in_the_help():
    code, text = run_dredis("--help")
    same("exit code", code, 0)
    same("missing", [name for name in SETTINGS if name not in text], [])


def bad_settings_are_one_line_and_code_2():
    for name, value in BAD_SETTINGS:
        code, text = run_dredis(**{"ROOT_DIR": harness.scratch(), name: value})
        same("%s=%s: exit code" % (name, value), code, 2)
        same("%s=%s: lines" % (name, value), len(text.strip().split("\n")), 1)
        same("%s=%s is named in %r" % (name, value, text), value in text, True)


def one_server_a_folder():
    server = start()
    code, text = run_dredis(ROOT_DIR=server.root, DREDIS_PORT=str(harness.free_port()))
    same("exit code of the second server (%s)" % text, code, 1)
    same("the first", server.connect().call("PING"), b"PONG")


def an_unfinished_backup_is_refused():
    root = harness.scratch()
    open(os.path.join(root, "incomplete"), "w").close()
    code, text = run_dredis(ROOT_DIR=root, DREDIS_PORT=str(harness.free_port()))
    same("exit code", code, 1)
    same("the text names it: %r" % text, "incomplete" in text, True)


def the_tree_shows_a_write_at_once():
    """The reply waits for the tree, but not for ever: on a disk that stalls a few come before it."""
    server = start()
    r = server.connect()
    r.call("SELECT", "15")
    steps = [
        (["SET", "msg", "Hello World"], "msg/type", b"string"),
        (["SET", "msg", "Hello again"], "msg/value", b"Hello again"),
        (["PEXPIREAT", "msg", "4102444800000"], "msg/expires", b"4102444800000"),
        (["PERSIST", "msg"], "msg/expires", None),
        (["DEL", "msg"], "msg", None),
    ]
    rounds, late = 20, collections.Counter()
    for _ in range(rounds):
        for words, path, content in steps:
            r.call(*words)
            if shown(server.root, "15", path) != content:
                late[path] += 1
                r.call("TREE", "SYNC")
                same(path, shown(server.root, "15", path), content)
    same("mostly late: %r" % late, [path for path in late if late[path] > rounds / 2], [])
    r.call(*steps[0][0])
    r.call("TREE", "SYNC")
    for folder, _, files in os.walk(os.path.join(server.root, "15")):
        same(folder, stat.S_IMODE(os.stat(folder).st_mode), 0o700)
        for name in files:
            mode = stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)
            same(name, mode, 0o444 if name == "type" else 0o600)


def a_tree_made_by_hand_is_a_database():
    root = harness.scratch()
    os.makedirs(root + "/0/hello")
    for name, text in (("type", "string\n"), ("value", "by hand\n")):
        with open(os.path.join(root, "0/hello", name), "w") as file:
            file.write(text)
    r = start(root).connect()
    same("GET", r.call("GET", "hello"), b"by hand\n")
    same("KEYS", r.call("KEYS", "*"), [b"hello"])
    same("DBSIZE", r.call("DBSIZE"), 1)
    same("APPEND", r.call("APPEND", "hello", "!"), 9)


def the_numbered_folders_are_enough():
    server = start()
    r = server.connect()
    for number in range(200):
        r.call("SET", "k%d" % number, "v%d" % number)
    same("exit code", server.stop(), 0)
    for name in os.listdir(server.root):
        if not name.isdigit():
            shutil.rmtree(os.path.join(server.root, name))
    server.start()
    r = server.connect()
    same("DBSIZE", r.call("DBSIZE"), 200)
    same("GET", r.call("GET", "k7"), b"v7")


def no_name_leaves_the_folder():
    parent = harness.scratch()
    os.mkdir(os.path.join(parent, "a"))
    server = start(os.path.join(parent, "a", "root"))
    r = server.connect()
    for name in STRANGE:
        r.call("SET", name, b"<" + name)
    r.call("TREE", "SYNC")
    same("beside ROOT_DIR", (os.listdir(parent), os.listdir(parent + "/a")), (["a"], ["root"]))
    same("KEYS", sorted(r.call("KEYS", "*")), sorted(STRANGE))
    same("exit code", server.stop(), 0)
    same("check", run_dredis("check", server.root)[0], 0)
    server.start()
    r = server.connect()
    same("after a restart", [r.call("GET", name) for name in STRANGE],
         [b"<" + name for name in STRANGE])


def tree_commands():
    server = start()
    r = server.connect()
    r.call("SET", "a/b", "x")
    r.call("TREE", "SYNC")
    path = os.fsdecode(r.call("TREE", "PATH", "a/b"))
    same("TREE PATH %s" % path, read(server.root, path, "value"), b"x")
    same("TREE STATUS says something", bool(r.call("TREE", "STATUS")), True)
    try:
        same("TREE NOSUCH", r.call("TREE", "NOSUCH"), "an error")
    except Refused as refused:
        same("TREE NOSUCH", "unknown subcommand" in str(refused), True)


def backup_commands():
    server = start()
    r = server.connect()
    r.call("SET", "a", "1")
    number = r.call("BACKUP", "START")
    same("journal/backup", os.path.exists(server.root + "/journal/backup"), True)
    same("BACKUP STATUS says something", bool(r.call("BACKUP", "STATUS")), True)
    r.call("SET", "a", "2")
    for wrong in ("nosuch", "999999"):
        try:
            same("STOP of another", r.call("BACKUP", "STOP", wrong), "an error")
        except Refused:
            pass
    r.call("BACKUP", "STOP", number)
    same("journal/backup", os.path.exists(server.root + "/journal/backup"), False)
    try:
        same("STOP again", r.call("BACKUP", "STOP", number), "an error")
    except Refused:
        pass


def check_finds_damage():
    server = start()
    r = server.connect()
    for name in ("whole", "half", "odd"):
        r.call("SET", name, "x")
    same("exit code", server.stop(), 0)
    same("check of a whole tree", run_dredis("check", server.root)[0], 0)
    os.unlink(server.root + "/0/half/value")
    before = harness.run("find", server.root)
    code, text = run_dredis("check", "--json", server.root)
    same("check of half a key: code 0 (%s)" % text, code == 0, False)
    json.loads(text[text.index("{"):])
    same("it is named in %s" % text, "half" in text, True)
    same("check changed something", harness.run("find", server.root), before)


def sockets():
    path = os.path.join(harness.scratch(), "socket")
    server = start(DREDIS_UNIXSOCKET=path, DREDIS_HOST="::")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"PING\r\n")
        same("unix socket", client.recv(64), b"+PONG\r\n")
    for host in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
        with socket.create_connection((host, server.port)) as client:
            client.sendall(b"PING\r\n")
            same(host, client.recv(64), b"+PONG\r\n")


def flush_on_start_and_other_fsyncs():
    for fsync in ("everysec", "no"):
        server = start(fsync=fsync)
        server.connect().call("SET", "a", "1")
        same("exit code", server.stop(), 0)
        server.start()
        same(fsync, server.connect().call("GET", "a"), b"1")
        server.stop()
        server.options["FLUSHALL_ON_STARTUP"] = "true"
        server.start()
        same("FLUSHALL_ON_STARTUP", server.connect().call("DBSIZE"), 0)


def clients_of_7_2():
    server = start()
    one, two = server.connect(), server.connect()
    same("SETINFO", one.call("CLIENT", "SETINFO", "LIB-NAME", "own"), b"OK")
    same("LIST", b"lib-name=own" in one.call("CLIENT", "LIST"), True)
    same("KILL", one.call("CLIENT", "KILL", "ID", two.call("CLIENT", "ID")), 1)
    try:
        same("a killed client", two.call("PING"), "nothing")
    except Lost:
        pass
    one.send(["SHUTDOWN"])
    same("SHUTDOWN", server.process.wait(30), 0)


def a_failed_sync_ends_the_server():
    """From some fdatasync on all fail: nothing after it is acknowledged, nothing before is lost."""
    if shutil.which("strace") is None:
        print("SKIPPED a_failed_sync_ends_the_server: strace is not installed")
        return
    for when in (8, 20, 33):
        wrapper = ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync",
                   "-e", "inject=fdatasync:error=EIO:when=%d+" % when]
        server, acknowledged = Server("dredis", harness.scratch(), {}, wrapper=wrapper), 0
        try:
            server.start()
            r = server.connect()
            for number in range(1000):
                r.call("SET", "k", number)
                acknowledged = number
            raise AssertionError("1000 writes were acknowledged though fdatasync failed")
        except (Lost, Refused):
            pass  # At start or later: it depends on the number.
        same("it ended with 0", server.process.wait(30) == 0, False)
        server.wrapper = ()
        server.start()
        found = int(server.connect().call("GET", "k") or 0)
        same("%d or one more (%d) after a restart" % (acknowledged, found),
             found in (acknowledged, acknowledged + 1), True)


CHECKS = [every_setting_is_in_the_help, bad_settings_are_one_line_and_code_2, one_server_a_folder,
          an_unfinished_backup_is_refused, the_tree_shows_a_write_at_once,
          a_tree_made_by_hand_is_a_database, the_numbered_folders_are_enough,
          no_name_leaves_the_folder, tree_commands, backup_commands, check_finds_damage, sockets,
          flush_on_start_and_other_fsyncs, clients_of_7_2, a_failed_sync_ends_the_server]


def main():
    harness.need_server("dredis")
    wanted, failed = sys.argv[1:], 0
    checks = [check for check in CHECKS if not wanted or check.__name__ in wanted]
    for check in checks:
        begin = time.monotonic()
        try:
            check()
            print("passed %s, %.1f s" % (check.__name__, time.monotonic() - begin), flush=True)
        except (AssertionError, Lost, Refused, OSError, ValueError, RuntimeError,
                subprocess.TimeoutExpired) as error:
            failed += 1
            line = traceback.extract_tb(error.__traceback__)[1].lineno
            print("FAILED %s, line %d: %s" % (check.__name__, line, error), flush=True)
    print("%d checks, %d failed" % (len(checks), failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
