"""Names, values and numbers that no server should take at their word, and trees made by hand."""

import hashlib
import os
import shutil
import threading
import time

from harness import Lost, scratch
from hostile_ground import MEGABYTE, Asked, check, shown

NOT_INT = b"-ERR value is not an integer or out of range\r\n"
RANGE = b"-ERR value is out of range\r\n"
NOT_FLOAT = b"-ERR value is not a valid float\r\n"
TOO_LONG = b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"
INT_MAX, INT_MIN = b"9223372036854775807", b"-9223372036854775808"
HALF_GIGABYTE = 512 * MEGABYTE

NAMES = [
    b"..", b".", b"", b"../x", b"../../../../../../etc/passwd", b"/etc/passwd", b"/", b"//", b"a/b",
    b"\x00", b"a\x00b", b"\n", b"a\nb", b"\r\n", b"%", b"%%", b"%00", b"%2e%2e", b"%2F", b"%!",
    b"%n",
    b"x%n", b"\xff\xfe\xc0\x80", b"\xed\xa0\x80", b"type", b"value", b"expires", b"fields",
    b"scores",
    b"values", b".dredis", b"journal", b"incomplete", b"-rf", b"~", b"*", b"$(touch /tmp/x)",
    b"`id`",
    b"con", b"nul", b"caf\xc3\xa9", b"cafe\xcc\x81", b"CAFE", b"cafe", b" ", b"a ", b"a.", b"\x7f",
    b"n" * 255, b"n" * 256, b"n" * 65_536, b"/" * 65_536, b"\x00" * 65_536, b"..%2F" * 13_000,
]


def outside(root):
    """Everything beside a root, with what changes when it is touched."""
    parent, found = os.path.dirname(root), {}
    for folder, folders, files in os.walk(parent):
        if folder == root:
            folders[:] = []
            continue
        for name in [*files, *folders]:
            path = os.path.join(folder, name)
            stat = os.lstat(path)
            found[path] = (stat.st_size, stat.st_mode, path != root and stat.st_mtime_ns)
    return found


@check("names", ours=True)
def names(ground):
    """Whatever keys, fields and members are called, they read back, and nothing leaves the tree."""
    parent = scratch(in_memory=True)
    root = os.path.join(parent, "root")
    os.mkdir(root)
    with open(os.path.join(parent, "x"), "w") as file:
        file.write("untouched")
    server = ground.start({"ROOT_DIR": root})
    ground.others.append(server)
    server.server.root = root
    passwd = open("/etc/passwd", "rb").read()
    before = outside(root)
    one = server.connect()
    made = [(b"SET", b"v" + name, name) for name in NAMES]
    made += [(b"SET", name, b"value of " + name[:99]) for name in NAMES]
    made += [(b"HSET", b"h:h", name, name) for name in NAMES]
    made += [(b"SADD", b"h:s", name) for name in NAMES]
    made += [(b"ZADD", b"h:z", b"1", n) for n in NAMES]
    made += [(b"HSET", b"h:" + name, name, name) for name in NAMES]
    replies = one.calls(made)
    wrong = [(made[at][:2], reply) for at, reply in enumerate(replies) if reply not in (b"OK", 1)]
    ground.equal("replies to writes", shown(wrong[:3]) if wrong else None, None)
    one.close()
    ground.equal("exit code", server.server.stop(), 0)
    server.server.start()
    one = server.connect()
    for name in NAMES:
        got = one.calls([(b"GET", name), (b"HGET", b"h:h", name), (b"SISMEMBER", b"h:s", name),
                         (b"ZSCORE", b"h:z", name), (b"HGET", b"h:" + name, name)])
        ground.equal("%s after a restart" % shown(name[:60]), got,
                     [b"value of " + name[:99], name, 1, b"1", name])
    ground.equal("DBSIZE", one.call(b"DBSIZE") - 9, 3 * len(NAMES) + 3)
    for name in NAMES:
        one.calls([(b"RENAME", name, b"moved" + name), (b"DEL", b"moved" + name, b"h:" + name,
                                                        b"v" + name)])
    one.call(b"DEL", b"h:h", b"h:s", b"h:z")
    one.close()
    ground.equal("beside ROOT_DIR", outside(root), before)
    ground.equal("/etc/passwd", open("/etc/passwd", "rb").read(), passwd)
    return "%d names as keys, fields and members; nothing beside ROOT_DIR changed" % len(NAMES)


PLANTED_COMMANDS = [
    (b"GET",), (b"TYPE",), (b"HGETALL",), (b"SMEMBERS",), (b"ZRANGE", b"0", b"-1"), (b"STRLEN",),
    (b"TTL",), (b"APPEND", b"y"), (b"HSET", b"f", b"w"), (b"COPY", b"c:copy"),
    (b"RENAME", b"c:moved"), (b"SET", b"new"), (b"DEL",)]
LOADED_SECONDS = 0.5  # By then the names of the databases are known.


def planted(ground, keys, plants):
    """A server that was stopped while files were planted below `0/`, and the folder around it."""
    parent = scratch(in_memory=True)
    root, secret = os.path.join(parent, "root"), os.path.join(parent, "secret")
    os.mkdir(root)
    os.mkdir(secret)
    for name, text in (("type", "string"), ("value", "secret"), ("fields", "")):
        with open(os.path.join(secret, name), "w") as file:
            file.write(text)
    server = ground.fresh()
    server.server.stop()
    server.server.root, server.witness, server.tree_is_sound = root, None, False
    server.server.start()
    one = server.connect()
    one.calls([*keys, (b"SET", b"other", b"x")])
    one.close()
    server.server.stop()
    for path, make in plants:
        path = os.path.join(root, "0", path)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
        make(path, secret)
    server.server.start()
    time.sleep(LOADED_SECONDS)
    return server, root


def link(to):
    return lambda path, secret: os.symlink(to.replace("SECRET", secret), path)


def fifo(path, _secret):
    os.mkfifo(path)


def device(path, _secret):
    if os.geteuid() == 0:
        os.mknod(path, 0o20600, os.makedev(1, 5))


def put_to(ground, server, command):
    """One command to a planted key: answered, nothing followed, and the server goes on."""
    asked = Asked(server, *command)
    reply = asked.wait(2)
    asked.close()
    if reply is None:
        ground.fail("%s: no reply within 2 s", shown(command))
    elif b"secret" in reply or b"root:" in reply:
        ground.fail("%s followed a link: %s", shown(command), shown(reply))
    if server.ping()[0].startswith(b"+PONG"):
        return reply
    time.sleep(0.1)
    ground.fail("%s: %s, and the server: %s", shown(command), shown(reply),
                server.server.log_tail(1).strip())
    server.server.kill()
    server.server.start()
    time.sleep(LOADED_SECONDS)
    if not server.runs():
        raise Lost("started again it ends again: %s" % server.server.log_tail(1).strip())
    return reply


@check("planted-parts", ours=True)
def planted_parts(ground):
    """Links, FIFOs and devices in the place of files are neither followed nor waited for."""
    names = (b"l:value", b"l:type", b"f:value", b"f:type", b"d:value")
    keys = [(b"SET", name, b"x") for name in names]
    keys += [(b"HSET", name, b"f", b"v") for name in (b"l:field", b"f:field", b"l:fields")]
    keys += [(b"SADD", b"f:member", b"m"), (b"ZADD", b"f:score", b"1", b"m"),
             (b"SET", b"f:expires", b"x", b"EX", b"1000")]
    plants = [
        ("l:value/value", link("/etc/passwd")), ("l:type/type", link("SECRET/type")),
        ("l:field/fields/f", link("/etc/passwd")), ("l:fields/fields", link("SECRET")),
        ("f:value/value", fifo), ("f:type/type", fifo), ("f:field/fields/f", fifo),
        ("f:member/values/n", fifo), ("f:score/values/m", fifo), ("f:expires/expires", fifo),
        ("d:value/value", device)]
    server, root = planted(ground, keys, plants)
    before = outside(root)
    for key in [command[1] for command in keys]:
        for name, *more in PLANTED_COMMANDS:
            put_to(ground, server, (name, key, *more))
    for command in ((b"KEYS", b"*"), (b"DBSIZE",), (b"SCAN", b"0", b"COUNT", b"1000"),
                    (b"RANDOMKEY",), (b"FLUSHALL",)):
        put_to(ground, server, command)
    ground.equal("beside ROOT_DIR", outside(root), before)
    return "%d planted files, %d commands each; none followed, none waited for" % (
        len(plants), len(PLANTED_COMMANDS))


@check("planted-keys", ours=True)
def planted_keys(ground):
    """The same in the place of a key's directory: it stays, and the key lies elsewhere."""
    ends = []
    for name, make in (("link away", link("SECRET")), ("link up", link("..")),
                       ("link to itself", link("key")), ("FIFO", fifo), ("device", device)):
        server, root = planted(ground, [], [("key", make)])
        before = outside(root)
        try:
            for word, *more in PLANTED_COMMANDS:
                put_to(ground, server, (word, b"key", *more))
            put_to(ground, server, (b"SET", b"key", b"its value"))
            server.server.kill()
            server.server.start()
            reply = put_to(ground, server, (b"GET", b"key"))
            ground.equal("GET beside a %s" % name, reply, b"$9\r\nits value\r\n")
            ground.equal("the %s" % name, os.path.isdir(os.path.join(root, "0/key"))
                         and not os.path.islink(os.path.join(root, "0/key")), False)
            put_to(ground, server, (b"FLUSHALL",))
        except Lost as lost:
            ground.fail("a %s: %s", name, lost)
            ends.append(name)
            server.server.kill()
            ground.others.remove(server)
        ground.equal("beside ROOT_DIR", outside(root), before)
    return "5 kinds, of which %s ended the server" % (", ".join(ends) or "none")


NUMBERS = [
    ((b"INCRBY", b"n:max", b"1"), b"-ERR increment or decrement would overflow\r\n"),
    ((b"DECRBY", b"n:min", b"1"), b"-ERR increment or decrement would overflow\r\n"),
    ((b"DECRBY", b"n:zero", INT_MIN), b"-ERR decrement would overflow\r\n"),
    ((b"INCR", b"n:text"), NOT_INT), ((b"INCRBY", b"n:zero", b"9223372036854775808"), NOT_INT),
    ((b"INCRBY", b"n:zero", b" 1"), NOT_INT), ((b"INCRBY", b"n:zero", b"0x10"), NOT_INT),
    ((b"INCRBYFLOAT", b"n:zero", b"nan"), None), ((b"INCRBYFLOAT", b"n:zero", b"inf"), None),
    ((b"INCRBYFLOAT", b"n:zero", b"1e5000"), None),
    ((b"HINCRBY", b"n:h", b"max", b"1"), b"-ERR increment or decrement would overflow\r\n"),
    ((b"HINCRBYFLOAT", b"n:h", b"zero", b"nan"), None),
    ((b"HINCRBYFLOAT", b"n:h", b"zero", b"inf"), None),
    ((b"HINCRBYFLOAT", b"n:h", b"zero", b"-1e5000"), None),
    ((b"ZADD", b"n:z", b"nan", b"m"), NOT_FLOAT), ((b"ZADD", b"n:z", b"1e", b"m"), NOT_FLOAT),
    ((b"ZADD", b"n:z", b"", b"m"), NOT_FLOAT), ((b"ZADD", b"n:z", b"inf", b"inf"), b":0\r\n"),
    ((b"ZINCRBY", b"n:z", b"-inf", b"inf"), b"-ERR resulting score is not a number (NaN)\r\n"),
    ((b"ZADD", b"n:z", b"INCR", b"-inf", b"inf"),
     b"-ERR resulting score is not a number (NaN)\r\n"),
    ((b"ZINCRBY", b"n:z", b"nan", b"m"), NOT_FLOAT),
    ((b"ZRANGEBYSCORE", b"n:z", b"nan", b"1"), b"-ERR min or max is not a float\r\n"),
    ((b"ZRANGEBYSCORE", b"n:z", b"((1", b"1"), b"-ERR min or max is not a float\r\n"),
    ((b"ZUNIONSTORE", b"n:d", b"2", b"n:z", b"n:z", b"WEIGHTS", b"nan", b"1"),
     b"-ERR weight value is not a float\r\n"),
    ((b"EXPIRE", b"n:zero", INT_MAX), b"-ERR invalid expire time in 'expire' command\r\n"),
    ((b"EXPIRE", b"n:zero", INT_MIN), b"-ERR invalid expire time in 'expire' command\r\n"),
    ((b"PEXPIRE", b"n:zero", INT_MAX), b"-ERR invalid expire time in 'pexpire' command\r\n"),
    ((b"EXPIREAT", b"n:zero", INT_MAX), b"-ERR invalid expire time in 'expireat' command\r\n"),
    ((b"SET", b"n:zero", b"0", b"EX", INT_MAX), b"-ERR invalid expire time in 'set' command\r\n"),
    ((b"SET", b"n:zero", b"0", b"EX", b"0"), b"-ERR invalid expire time in 'set' command\r\n"),
    ((b"SET", b"n:zero", b"0", b"PX", INT_MIN), b"-ERR invalid expire time in 'set' command\r\n"),
    ((b"SETEX", b"n:zero", INT_MAX, b"0"), b"-ERR invalid expire time in 'setex' command\r\n"),
    ((b"PSETEX", b"n:zero", b"-1", b"0"), b"-ERR invalid expire time in 'psetex' command\r\n"),
    ((b"GETEX", b"n:zero", b"PX", INT_MAX), b"-ERR invalid expire time in 'getex' command\r\n"),
    ((b"GETRANGE", b"n:text", INT_MIN, INT_MAX), b"$4\r\ntext\r\n"),
    ((b"GETRANGE", b"n:text", INT_MAX, INT_MIN), b"$0\r\n\r\n"),
    ((b"GETRANGE", b"n:text", b"-9223372036854775807", b"-9223372036854775808"), None),
    ((b"GETRANGE", b"n:text", b"9223372036854775808", b"1"), NOT_INT),
    ((b"SETRANGE", b"n:text", b"-1", b"x"), b"-ERR offset is out of range\r\n"),
    ((b"SETRANGE", b"n:text", INT_MAX, b"x"), TOO_LONG),
    ((b"SETRANGE", b"n:text", b"536870912", b"x"), TOO_LONG),
    ((b"SETRANGE", b"n:text", b"9223372036854775800", b"xxxxxxxxxxxx"), TOO_LONG),
    ((b"SETRANGE", b"n:none", INT_MAX, b""), b":0\r\n"),
    ((b"SCAN", b"x"), b"-ERR invalid cursor\r\n"),
    ((b"SCAN", b"18446744073709551616"), b"-ERR invalid cursor\r\n"),
    ((b"SCAN", b" 0"), b"-ERR invalid cursor\r\n"), ((b"SCAN", b"0", b"COUNT", b"0"),
                                                     b"-ERR syntax error\r\n"),
    ((b"SCAN", b"0", b"COUNT", b"-1"), b"-ERR syntax error\r\n"),
    ((b"SCAN", b"0", b"COUNT", b"9223372036854775808"), NOT_INT),
    ((b"SSCAN", b"n:s", b"x"), b"-ERR invalid cursor\r\n"),
    ((b"HSCAN", b"n:h", b"0", b"COUNT", b"x"), NOT_INT),
    ((b"SINTERCARD", b"9223372036854775807", b"n:s"),
     b"-ERR Number of keys can't be greater than number of args\r\n"),
    ((b"SINTERCARD", b"9223372036854775808", b"n:s"),
     b"-ERR numkeys should be greater than 0\r\n"),
    ((b"SINTERCARD", b"1", b"n:s", b"LIMIT", b"-1"), b"-ERR LIMIT can't be negative\r\n"),
    ((b"SINTERCARD", b"1", b"n:s", b"LIMIT", INT_MAX), b":2\r\n"),
    ((b"ZUNIONSTORE", b"n:d", INT_MAX, b"n:z"), b"-ERR syntax error\r\n"),
    ((b"ZUNIONSTORE", b"n:d", INT_MIN, b"n:z"), None),
    ((b"ZUNION", b"4294967297", b"n:z"), b"-ERR syntax error\r\n"),
    ((b"ZINTERCARD", INT_MAX, b"n:z"), None), ((b"ZMPOP", INT_MAX, b"n:z", b"MIN"), None),
    ((b"ZMPOP", b"1", b"n:z", b"MIN", b"COUNT", b"0"), None),
    ((b"ZRANGE", b"n:z", INT_MIN, INT_MAX), b"*1\r\n$3\r\ninf\r\n"),
    ((b"ZREVRANGE", b"n:z", INT_MAX, INT_MIN), b"*0\r\n"),
    ((b"ZRANGEBYSCORE", b"n:z", b"-inf", b"inf", b"LIMIT", INT_MAX, INT_MAX), b"*0\r\n"),
    ((b"ZRANGEBYSCORE", b"n:z", b"-inf", b"inf", b"LIMIT", b"-1", b"1"), b"*0\r\n"),
    ((b"ZREMRANGEBYRANK", b"n:none", INT_MIN, INT_MAX), b":0\r\n"),
    ((b"SRANDMEMBER", b"n:s", INT_MIN), None), ((b"SPOP", b"n:s", INT_MIN), None),
    ((b"ZPOPMAX", b"n:none", INT_MAX), b"*0\r\n"), ((b"SELECT", INT_MAX), None),
    ((b"SELECT", b"-1"), None), ((b"SWAPDB", b"0", INT_MAX), None),
    ((b"MOVE", b"n:s", INT_MAX), None),
    ((b"COPY", b"n:s", b"n:t", b"DB", INT_MAX), None), ((b"OBJECT", b"FREQ", b"n:s"), None),
    ((b"SLOWLOG", b"GET", INT_MIN), None), ((b"CLIENT", b"KILL", b"ID", INT_MAX), None),
    ((b"CLIENT", b"SETNAME", b"a b"), None), ((b"HELLO", INT_MAX), None), ((b"HELLO", b"x"), None),
    ((b"LCS", b"n:text", b"n:text", b"MINMATCHLEN", INT_MIN), None),
    ((b"%s" * 100, b"%n%n"), None), ((b"\x00\xff\r\n-ERR", b"\r\n+OK"), None),
]
PREPARE = [(b"SET", b"n:max", INT_MAX), (b"SET", b"n:min", INT_MIN), (b"SET", b"n:zero", b"0"),
           (b"SET", b"n:text", b"text"), (b"HSET", b"n:h", b"max", INT_MAX, b"zero", b"0"),
           (b"ZADD", b"n:z", b"inf", b"inf"), (b"SADD", b"n:s", b"1", b"2")]


@check("numbers")
def numbers(ground):
    count = ground.rows(NUMBERS, PREPARE)
    one = ground.main.connect()
    ground.equal("n:zero", one.call(b"GET", b"n:zero"), b"0")
    ground.equal("TTL of it", one.call(b"TTL", b"n:zero"), -1)
    one.call(b"DEL", b"n:max", b"n:min", b"n:zero", b"n:text", b"n:h", b"n:z", b"n:s")
    one.close()
    return "%d rows" % count


@check("largest-values", ours=True)
def largest_values(ground):
    """512 MiB is a value, a byte more is not, and memory comes back."""
    server = ground.fresh(DREDIS_CACHE_BYTES="64mb")
    one = server.connect(60)
    piece = os.urandom(MEGABYTE)
    one.send_bytes(b"*3\r\n$3\r\nSET\r\n$3\r\nv:1\r\n$%d\r\n" % HALF_GIGABYTE)
    wanted = hashlib.sha1()
    server.reset_peak()
    slowest = 0.0
    for number in range(512):
        one.send_bytes(piece)
        wanted.update(piece)
        if number % 64 == 0:
            slowest = max(slowest, server.ping(10)[1])
    one.send_bytes(b"\r\n")
    stop = threading.Event()
    waits = []

    def watch():
        while not stop.is_set():
            waits.append(server.ping(30)[1])
            time.sleep(0.02)
    watcher = threading.Thread(target=watch)
    watcher.start()
    ground.equal("SET of 512 MiB", one.raw(), b"+OK\r\n")
    stop.set()
    watcher.join()
    slowest = max(waits + [slowest])
    ground.below("seconds for the slowest PING while 512 MiB are written", round(slowest, 2), 3.0)
    ground.equal("STRLEN", one.call(b"STRLEN", b"v:1"), HALF_GIGABYTE)
    for command in ((b"APPEND", b"v:1", b"x"), (b"SETRANGE", b"v:1", b"536870911", b"xy"),
                    (b"SETRANGE", b"v:1", b"536870912", b"x")):
        ground.equal(shown(command), ground.raw(one, command), TOO_LONG)
    ground.equal("GETRANGE", one.call(b"GETRANGE", b"v:1", b"-3", b"-1"), piece[-3:])
    ground.equal("STRLEN after the refused", one.call(b"STRLEN", b"v:1"), HALF_GIGABYTE)
    one.send((b"GET", b"v:1"))
    got = one.raw()
    ground.matches("GET of 512 MiB", got[:60], rb"^\$536870912|^-ERR the reply")
    if got.startswith(b"$"):
        head = got.index(b"\n") + 1
        ground.equal("its bytes", hashlib.sha1(got[head:-2]).digest(), wanted.digest())
    peak = server.peak() // MEGABYTE
    told = got[:40]
    del got
    ground.below("MB at most", peak, 5 * 512)
    ground.equal("DEL", one.call(b"DEL", b"v:1"), 1)
    one.close()
    return "512 MiB set and read (%s); peak %d MB, slowest PING %.2f s; %s" % (
        shown(told), peak, slowest, ground.settled(server, 192 * MEGABYTE))
