"""Too many clients, at once and one after the other."""

import resource
import socket
import struct
import time

import harness
from harness import Connection, encode
from hostile_ground import MEGABYTE, Talk, check, shown
from hostile_protocol import leaked

CROWD = 9_900
CHURN = 4_000
FULL = b"-ERR max number of clients reached\r\n"


@check("hang-up-after-request")
def hang_up_after_request(ground):
    """`printf 'PING\\r\\n' | nc -N`: a request and the end of the stream arrive together."""
    before = ground.main.descriptors()
    for request, reply in ((b"PING\r\n", b"+PONG\r\n"), (encode([b"PING"]), b"+PONG\r\n"),
                           (b"*1\r\n$4\r\nPI", b""), (b"SET half", b""), (b"", b""),
                           (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n")) * 5:
        talk = Talk(ground.main.port, request)
        talk.socket.shutdown(socket.SHUT_WR)
        talk.take(lambda talk: False, 1.0 if not ground.wrong else 0.1)
        ground.equal("%s and the end of the stream: reply, closed" % shown(request),
                     (talk.data, talk.closed), (reply, True))
        talk.close()
    left = leaked(ground.main, before, 2)
    ground.below("descriptors left", left, 0)
    return "30 half-closed connections, %d descriptors left" % left


@check("crowd")
def crowd(ground):
    """As many connections as the machine allows, each of which is served."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(CROWD if ground.full or hard >= 12_000 else 1_000, hard - 400)
    before, memory = ground.main.descriptors(), ground.main.memory()
    connections = []
    for _ in range(count):
        connections.append(Connection(ground.main.port))
    for number, connection in enumerate(connections):
        connection.send((b"SET", b"c:%d" % (number % 100), b"%d" % number), (b"PING",))
    wrong = sum(connection.raws(2) != [b"+OK\r\n", b"+PONG\r\n"] for connection in connections)
    ground.equal("connections that were answered wrongly", wrong, 0)
    said, seconds = ground.main.ping()
    ground.equal("PING beside them", said, b"+PONG\r\n")
    grown = (ground.main.memory() - memory) // 1024 // count
    ground.below("KB for each connection", grown, 32)
    for connection in connections:
        connection.close()
    left = leaked(ground.main, before)
    ground.below("descriptors left", left, 0)
    one = ground.main.connect()
    one.call(b"DEL", *[b"c:%d" % n for n in range(100)])
    one.close()
    return "%d connections at once, %d KB each, PING beside them %.0f ms, %d descriptors left" % (
        count, grown, seconds * 1000, left)


@check("maxclients")
def maxclients(ground):
    server = ground.fresh(DREDIS_MAXCLIENTS=50)
    before = server.descriptors()
    connections = [server.connect() for _ in range(50)]
    ground.equal("PING on the last", connections[-1].call(b"PING"), b"PONG")
    for _ in range(200):
        talk = Talk(server.port)
        talk.take(lambda talk: False, 1.0)
        ground.equal("one too many", (talk.data, talk.closed), (FULL, True))
        talk.close()
        if ground.wrong:
            break
    for connection in connections:
        ground.equal("PING on those before", connection.call(b"PING"), b"PONG")
        connection.close()
    time.sleep(0.1)
    said, _ = server.ping()
    ground.equal("PING when they are gone", said, b"+PONG\r\n")
    left = leaked(server, before)
    ground.below("descriptors left", left, 0)
    return "50 served, 200 refused with %s" % shown(FULL)


@check("churn")
def churn(ground):
    """Connections that come and go: closed, reset, or with a request in flight."""
    count = CHURN * (10 if ground.full else 1)
    before, memory = ground.main.descriptors(), ground.main.memory()
    linger = struct.pack("ii", 1, 0)
    for number in range(count):
        one = socket.create_connection((harness.HOST, ground.main.port), timeout=10)
        if number % 2:
            one.sendall(encode([b"GET", b"w:string"]))
        if number % 3 == 0:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        one.close()
    left = leaked(ground.main, before)
    ground.below("descriptors left", left, 0)
    grown = (ground.main.memory() - memory) // MEGABYTE
    ground.below("MB grown", grown, 32)
    return "%d connections came and went, %d descriptors left, %d MB grown" % (count, left, grown)
