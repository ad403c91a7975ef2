"""What the scripts share: a small RESP client, servers to start and stop, disks to mount and cut.

Knows how dredis and redis-server are started on a free port of 127.0.0.1, and how a file becomes a
loop-mounted file system. Everything made here is undone when the script ends, however it ends.
Deliberately does not know what any test looks for.
"""

import atexit
import csv
import fcntl
import io
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOST = "127.0.0.1"
MEMORY = "/dev/shm"
READY_SECONDS_MAX = 20
SKIPPED = 77  # The exit code of a script that could not run here; scripts/test counts it apart.


class Refused(Exception):
    """An error reply, as an exception."""


class Lost(Exception):
    """The connection ended, or the server did not come up."""


class Error(bytes):
    """An error reply, as a value."""


def encode(args):
    """The bytes of one command."""
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        if isinstance(arg, str):
            arg = arg.encode()
        elif isinstance(arg, int):
            arg = b"%d" % arg
        out.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
    return b"".join(out)


class Connection:
    """One client connection. Replies come as exact bytes (`raw`) or as values (`read`, `call`)."""

    def __init__(self, port, timeout=60, host=HOST):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send_bytes(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Lost(str(error)) from error

    def send(self, *commands):
        self.send_bytes(b"".join(encode(command) for command in commands))

    def _fill(self, size):
        """Has at least `size` bytes in the buffer."""
        if len(self.buffer) >= size:
            return
        parts, have = [self.buffer], len(self.buffer)
        while have < size:
            try:
                part = self.socket.recv(1 << 18)
            except OSError as error:
                raise Lost(str(error)) from error
            if not part:
                self.buffer = b"".join(parts)
                raise Lost("connection closed")
            parts.append(part)
            have += len(part)
        self.buffer = b"".join(parts)

    def _end(self, at):
        """Where the reply that starts at `at` ends, and reads until it is there."""
        line = self.buffer.find(b"\r\n", at)
        while line < 0:
            self._fill(len(self.buffer) + 1)
            line = self.buffer.find(b"\r\n", at)
        kind = self.buffer[at : at + 1]
        if kind in b"+-:_#,(":
            return line + 2
        size = int(self.buffer[at + 1 : line])
        if size < 0:
            return line + 2
        if kind in b"$=!":
            self._fill(line + 2 + size + 2)
            return line + 2 + size + 2
        if kind not in b"*~>%|":
            raise Lost("not a reply: %r" % self.buffer[at : at + 40])
        end = line + 2
        for _ in range(size * 2 if kind in b"%|" else size):
            end = self._end(end)
        return end

    def raw(self):
        """The exact bytes of the next reply."""
        end = self._end(0)
        reply, self.buffer = self.buffer[:end], self.buffer[end:]
        return reply

    def raws(self, count):
        """The exact bytes of the next `count` replies."""
        replies, at = [], 0
        for _ in range(count):
            end = self._end(at)
            replies.append(self.buffer[at:end])
            at = end
        self.buffer = self.buffer[at:]
        return replies

    def read(self):
        return decode(self.raw())

    def call(self, *args):
        """Sends one command and returns its value; an error reply is raised as `Refused`."""
        self.send(args)
        value = self.read()
        if isinstance(value, Error):
            raise Refused(value.decode(errors="replace"))
        return value

    def calls(self, commands):
        """Sends commands as one pipeline and returns their values, errors among them."""
        commands = list(commands)
        self.send(*commands)
        return [decode(raw) for raw in self.raws(len(commands))]


def decode(raw):
    """The value of a reply: bytes, int, None, float, bool, list, or for a map a list of pairs."""
    return _decode(raw, 0)[0]


def parts(raw):
    """The exact replies that an array is made of; `None` for what is no array."""
    if not raw.startswith(b"*") or raw.startswith(b"*-1"):
        return None
    at, found = raw.index(b"\r\n") + 2, []
    while at < len(raw):
        end = _decode(raw, at)[1]
        found.append(raw[at:end])
        at = end
    return found


def _decode(raw, at):
    line = raw.index(b"\r\n", at)
    kind, head, end = raw[at : at + 1], raw[at + 1 : line], line + 2
    if kind == b"+":
        return head, end
    if kind == b"-":
        return Error(head), end
    if kind in b":(":
        return int(head), end
    if kind == b"_":
        return None, end
    if kind == b"#":
        return head == b"t", end
    if kind == b",":
        return float(head), end
    size = int(head)
    if size < 0:
        return None, end
    if kind in b"$=!":
        body = raw[end : end + size]
        value = {b"$": body, b"=": body[4:], b"!": Error(body)}[kind]
        return value, end + size + 2
    items = []
    for _ in range(size * 2 if kind in b"%|" else size):
        item, end = _decode(raw, end)
        items.append(item)
    if kind in b"%|":
        items = list(zip(items[::2], items[1::2]))
    return items, end


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def dredis_binary():
    """The server under test: $DREDIS_BIN, or the release build of this repository."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(REPOSITORY, "target"))
    return os.environ.get("DREDIS_BIN", os.path.join(target, "release", "dredis"))


class Server:
    """One server process on a folder. `options` are environment variables for dredis, command
    line words for redis-server, `wrapper` the words of a program that runs the server."""

    def __init__(self, kind, root, options=None, fsync="always", wrapper=()):
        self.kind, self.root, self.fsync, self.wrapper = kind, root, fsync, wrapper
        self.options = options if options is not None else ({} if kind == "dredis" else [])
        self.port = free_port()
        self.process = None
        self.log = tempfile.NamedTemporaryFile(prefix="server-", suffix=".log", delete=False)
        undo(lambda: os.path.exists(self.log.name) and os.unlink(self.log.name))
        undo(self.kill)

    def start(self, wait=True):
        if self.kind == "dredis":
            words, env = [*self.wrapper, dredis_binary()], dict(os.environ)
            env.update(DREDIS_PORT=str(self.port), ROOT_DIR=self.root, DREDIS_FSYNC=self.fsync)
            env.update({name: str(value) for name, value in self.options.items()})
        else:
            env = None
            words = ["redis-server", "--port", str(self.port), "--bind", HOST, "--dir", self.root]
            words += ["--save", ""]
            if self.fsync != "none":
                words += ["--appendonly", "yes", "--appendfsync", self.fsync]
            words += self.options
        self.process = subprocess.Popen(
            words, env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            start_new_session=True,
        )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds_max=READY_SECONDS_MAX):
        """Waits until PING is answered (-NOAUTH is an answer too); returns the seconds it took."""
        begin = time.monotonic()
        while time.monotonic() - begin < seconds_max:
            if self.process.poll() is not None:
                raise Lost("%s exited with %s:\n%s" % (
                    self.kind, self.process.returncode, self.log_tail()))
            try:
                with socket.create_connection((HOST, self.port), timeout=seconds_max) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(64).startswith((b"+PONG", b"-NOAUTH")):
                        return time.monotonic() - begin
            except OSError:
                pass
            time.sleep(0.002)
        raise Lost("%s did not answer PING in %d s:\n%s" % (
            self.kind, seconds_max, self.log_tail()))

    def connect(self, timeout=60):
        return Connection(self.port, timeout)

    def kill(self):
        """kill -9, of a wrapper's process too, and waits for the end."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self, seconds_max=60):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds_max)

    def memory_bytes(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise Lost("no VmRSS for process %d" % self.process.pid)

    def log_tail(self, lines=40):
        with open(self.log.name, errors="replace") as log:
            return "".join(log.readlines()[-lines:])


class Disk:
    """A file system of its own in a file, mounted through a loop device; or a tmpfs.

    With `direct` the kernel keeps a block once in its memory, as of a real disk, and not a second
    time as a part of the file.
    """

    def __init__(self, kind, megabytes, options=(), direct=False):
        self.kind, self.folder = kind, scratch()
        self.mount_point = os.path.join(self.folder, "mnt")
        self.image = os.path.join(self.folder, "image")
        self.loop = None
        os.mkdir(self.mount_point)
        undo(self.remove)
        if kind == "tmpfs":
            run("mount", "-t", "tmpfs", "-o", "size=%dm" % megabytes, "tmpfs", self.mount_point)
            return
        with open(self.image, "wb") as image:
            image.truncate(megabytes << 20)
        quiet = ["-q", "-F"] if kind == "ext4" else ["-q", "-f"]
        run("mkfs." + kind, *quiet, *options, self.image)
        how = ["--direct-io=on"] if direct else []
        self.loop = run("losetup", *how, "--show", "-f", self.image).strip()
        self.mount()

    def mount(self):
        run("mount", self.loop, self.mount_point)

    def unmount(self):
        """Unmounts, with some patience for a process that is just going."""
        for attempt in range(50):
            done = subprocess.run(["umount", self.mount_point], capture_output=True, text=True)
            if done.returncode == 0:
                return
            time.sleep(0.02 * (attempt + 1))
        raise RuntimeError("umount %s: %s" % (self.mount_point, done.stderr.strip()))

    def cut_power(self):
        """FS_IOC_SHUTDOWN without flushing the log: what is not on the disk now never will be."""
        request = 2 << 30 | 4 << 16 | ord("X") << 8 | 125  # _IOR('X', 125, u32)
        descriptor = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, request, struct.pack("I", 2))
        finally:
            os.close(descriptor)

    def remove(self):
        if os.path.ismount(self.mount_point):
            if subprocess.run(["umount", self.mount_point], capture_output=True).returncode:
                subprocess.run(["umount", "-l", self.mount_point], capture_output=True)
        if self.loop:
            subprocess.run(["losetup", "-d", self.loop], capture_output=True)
            self.loop = None


def run(*words, **options):
    """Runs a program; returns its output, raises with its error text."""
    done = subprocess.run(words, capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError("%s: %s" % (" ".join(words), (done.stderr or done.stdout).strip()))
    return done.stdout


def redis_benchmark(server, clients, requests, keys_range, *what):
    """The row that redis-benchmark prints of one test: `rps`, `p99_latency_ms` and others."""
    text = run("redis-benchmark", "-h", HOST, "-p", str(server.port), "-c", str(clients), "-n",
               str(requests), "-r", str(keys_range), "--csv", *what)
    rows = list(csv.DictReader(io.StringIO(text)))
    if len(rows) != 1:
        raise RuntimeError("redis-benchmark answered: %s" % text)
    return rows[0]


_undo = []


def undo(action):
    """Runs `action` when the script ends, the last one first."""
    _undo.append(action)


def scratch(in_memory=False):
    """A new folder that is removed at the end; in memory for a test that looks at no disk.

    The files of a big collection that comes and goes cost ten times as much on an ext4 without a
    journal, which does not use an inode again for some seconds, as they do on a tmpfs.
    """
    parent = MEMORY if in_memory and os.access(MEMORY, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="dredis-test-", dir=parent)
    undo(lambda: shutil.rmtree(folder, ignore_errors=True))
    return folder


def _undo_all():
    for action in reversed(_undo):
        try:
            action()
        except Exception as error:  # The rest has to be undone all the same.
            print("while cleaning up: %s" % error, file=sys.stderr)
    _undo.clear()


def skip(reason):
    print("SKIPPED: %s" % reason)
    sys.exit(SKIPPED)


def need_root(what):
    if os.geteuid() != 0:
        skip("%s needs root (loop devices and mounts)" % what)


def need_tools(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            skip("%s is not installed" % tool)


def need_server(kind):
    """Skips without redis-server; without our own build, says how to make one."""
    if kind == "redis":
        need_tools("redis-server")
    elif not os.access(dredis_binary(), os.X_OK):
        sys.exit("%s is not there: run `cargo build --release` first" % dredis_binary())


def _ended(signum, _frame):
    sys.exit(128 + signum)


atexit.register(_undo_all)
signal.signal(signal.SIGTERM, _ended)
signal.signal(signal.SIGINT, _ended)
signal.signal(signal.SIGHUP, _ended)
