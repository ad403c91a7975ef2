#!/usr/bin/env python3
"""What scripts/backup sends where: a folder by rsync, an s3:// address by a stand-in for `aws`.

The server is a stand-in too, that answers CONFIG GET dir and BACKUP: here only the copier is
tested, its order, what it leaves out, and that a file of the same size and time is sent again.
Whether a copy of a live server is one moment is for scripts/backup-rounds.
"""

import os
import socketserver
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness

BACKUP = os.path.join(harness.REPOSITORY, "scripts", "backup")
# `aws s3 cp|rm|sync` on folders below $BUCKETS; sync skips what has the same size and time.
AWS = """#!/usr/bin/env python3
import os, shutil, subprocess, sys
words = sys.argv[3:]
verb, words = sys.argv[2], [w for w in words if w not in ("--only-show-errors", "--delete",
                                                          "--no-follow-symlinks")]
left_out = ["--exclude=/" + words[n + 1] for n, w in enumerate(words) if w == "--exclude"]
paths = [w.replace("s3://", os.environ["BUCKETS"] + "/") for w in words[:2]]
for path in paths[-1:]:
    os.makedirs(os.path.dirname(path), exist_ok=True)
if verb == "cp":
    shutil.copyfile(*paths)
elif verb == "rm":
    os.unlink(paths[0])
else:
    os.makedirs(paths[1], exist_ok=True)
    sys.exit(subprocess.run(["rsync", "-rt", "--delete", *left_out,
                             paths[0] + "/", paths[1] + "/"]).returncode)
"""


class StandIn(socketserver.StreamRequestHandler):
    """A server that only knows its folder and when a backup starts and stops."""

    def handle(self):
        while True:
            head = self.rfile.readline()
            if not head:
                return
            args = []
            for _ in range(int(head[1:])):
                size = int(self.rfile.readline()[1:])
                args.append(self.rfile.read(size + 2)[:-2])
            self.server.seen.append(args)
            if args[0] == b"CONFIG":
                self.wfile.write(harness.encode([b"dir", os.fsencode(self.server.root)]))
            elif args[1] == b"START":
                # The marker is there before the backup starts.
                self.server.marked.append(os.path.exists(self.server.marker))
                self.wfile.write(b"$4\r\nid-1\r\n")
            else:
                self.server.marked.append(os.path.exists(self.server.marker))
                self.wfile.write(self.server.stop_reply)


def write(path, text, times=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    if times:
        os.utime(path, ns=times)


def tree(folder):
    """Files below a folder and what they hold."""
    found = {}
    for at, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(at, name)
            with open(path) as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def check(what, got, expected):
    if got != expected:
        sys.exit("%s: %r, expected %r" % (what, got, expected))


def one_target(server, folder, dest, copy, environment):
    """Two backups into one target, with every kind of change between them."""
    root = server.root = os.path.join(folder, "root")
    server.marker, server.seen, server.marked = os.path.join(copy, "incomplete"), [], []
    server.stop_reply = b"+OK\r\n"
    same = os.path.join(root, "0", "same", "value")
    write(same, "a")
    write(os.path.join(root, "0", "gone", "value"), "x")
    write(os.path.join(root, "0", "journal", "value"), "a key of that name")
    journal = os.path.join(root, "journal", "1")
    write(journal, "old")
    write(os.path.join(root, "journal", "2"), "gone")
    write(os.path.join(root, ".dredis", "lock"), "")

    def back_up():
        return subprocess.run([BACKUP, "--port", str(server.server_address[1]), "--quiet", dest],
                              capture_output=True, text=True, env=environment)
    check("first backup", back_up().stderr, "")
    first = {"0/same/value": "a", "0/gone/value": "x", "journal/1": "old", "journal/2": "gone",
             "0/journal/value": "a key of that name"}
    check("first copy", tree(copy), first)
    before = os.stat(same)
    write(same, "b", (before.st_atime_ns, before.st_mtime_ns))
    before = os.stat(journal)
    write(journal, "new", (before.st_atime_ns, before.st_mtime_ns))
    subprocess.run(["rm", "-r", os.path.join(root, "0", "gone"), os.path.join(root, "journal", "2")])
    write(os.path.join(root, "journal", "3"), "newer")
    check("second backup", back_up().stderr, "")
    second = {"0/same/value": "b", "journal/1": "new", "journal/3": "newer",
              "0/journal/value": "a key of that name"}
    check("second copy", tree(copy), second)
    check("the marker at START and STOP", server.marked, [True] * 4)
    check("the last command", server.seen[-1], [b"BACKUP", b"STOP", b"id-1"])
    server.stop_reply = b"-ERR the pin was lost\r\n"
    failed = back_up()
    check("exit code when STOP fails", failed.returncode, 1)
    check("its message", "the pin was lost" in failed.stderr, True)
    check("the marker of a failed backup", os.path.exists(server.marker), True)
    subprocess.run(["rm", "-r", root])


def main():
    harness.need_tools("rsync")
    folder = harness.scratch()
    program = os.path.join(folder, "bin", "aws")
    write(program, AWS)
    os.chmod(program, 0o755)
    environment = dict(os.environ, BUCKETS=os.path.join(folder, "buckets"),
                       XDG_STATE_HOME=os.path.join(folder, "state"),
                       PATH=os.path.dirname(program) + ":" + os.environ["PATH"])
    server = socketserver.ThreadingTCPServer((harness.HOST, 0), StandIn)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    copy = os.path.join(folder, "copy")
    one_target(server, folder, copy, copy, environment)
    bucket = os.path.join(folder, "buckets", "b", "db")
    one_target(server, folder, "s3://b/db", bucket, environment)
    print("2 targets, as they should be")


if __name__ == "__main__":
    main()
