"""Debian's prometheus-redis-exporter: which metrics it makes of the server, and whether right ones.

A redis-server with the same keys shows which there should be; what it has more is a note, and a
failure only for those that people alert on.
"""

import re
import subprocess
import textwrap
import time
import urllib.request

import harness
from target import Target

WAIT_SECONDS_MAX = 10
OPTIONS = [
    "-include-system-metrics", "-include-config-metrics", "-export-client-list",
    "-redis-only-metrics", "-check-keys", "db0=user:1*", "-check-single-keys", "db0=h,db0=z,db0=s",
    "-count-keys", "db0=user:*", "-check-key-groups", "^(user):.*$",
]
EXPECTED = {  # After what `fill` writes.
    'up': 1,
    'exporter_last_scrape_error{err=""}': 0,
    'db_keys{db="db0"}': 53,
    'db_keys{db="db3"}': 1,
    'db_keys{db="db1"}': 0,
    'commands_total{cmd="set"}': 52,
    'commands_total{cmd="hset"}': 2,
    'commands_failed_calls_total{cmd="hset"}': 1,
    'commands_rejected_calls_total{cmd="get"}': 1,
    'commands_total{cmd="exec"}': 1,
    'commands_total{cmd="incr"}': 1,
    'commands_failed_calls_total{cmd="incr"}': 1,
    'commands_failed_calls_total{cmd="eval"}': 1,
    'errors_total{err="WRONGTYPE"}': 2,
    'errors_total{err="ERR"}': 1,
    'key_size{db="db0",key="h"}': 2,
    'key_size{db="db0",key="z"}': 2,
    'key_size{db="db0",key="s"}': 3,
    'key_size{db="db0",key="user:17"}': 17,
    'keys_count{db="db0",key="user:*"}': 50,
    'key_group_count{db="db0",key_group="user"}': 50,
    'keyspace_hits_total': 3,
    'keyspace_misses_total': 1,
    'config_maxclients': 10000,
    'blocked_clients': 0,
    'loading_dump_file': 0,
    'connected_slaves': 0,
    'memory_max_bytes': 0,
    'evicted_keys_total': 0,
}
RANGES = {  # Inclusive.
    'connected_clients': (2, 50),
    'uptime_in_seconds': (0, 3600),
    'memory_used_bytes': (1, 1 << 32),
    'memory_used_peak_bytes': (1, 1 << 32),
    'memory_used_rss_bytes': (1 << 20, 1 << 32),
    'connections_received_total': (1, 1e6),
    'commands_processed_total': (56, 1e6),
    'net_input_bytes_total': (1000, 1e9),
    'net_output_bytes_total': (100, 1e9),
    'commands_duration_seconds_total{cmd="set"}': (0, 60),
    'key_group_memory_usage_bytes{db="db0",key_group="user"}': (1000, 1e6),
    'expired_keys_total': (0, 1e6),
    'cpu_sys_seconds_total': (0, 1e6),
    'cpu_user_seconds_total': (0, 1e6),
    'start_time_seconds': (1.5e9, 1e10),
    'slowlog_length': (0, 128),
    'last_slow_execution_duration_seconds': (0, 100),
}
SAME = (  # As redis-server has it; another value is a note.
    "db_keys_expiring", "total_system_memory_bytes",
    "rejected_connections_total",
)


def fill(server):
    connection = server.connect()
    connection.call("CONFIG", "RESETSTAT")
    for number in range(50):
        connection.call("SET", "user:%d" % number, "x" * number)
    connection.call("SET", "deadline", "x", "EX", 1000)
    connection.call("SADD", "s", 1, 2, 3)
    connection.call("ZADD", "z", 1, "a", 2, "b")
    connection.calls([["GET", "user:1"], ["GET", "user:2"], ["GET", "none"], ["GET"]])
    connection.call("DEL", "deadline")
    connection.calls([["HSET", "s", "a", 1], ["EVAL", "return redis.call('INCR', 's')", 0]])
    connection.calls([["MULTI"], ["GET", "user:1"], ["EXEC"]])
    connection.call("HSET", "h", "a", 1, "b", 2)
    connection.call("SELECT", 3)
    connection.call("SET", "other", "x", "EX", 1000)
    return connection


def scraped(server):
    """Names of metrics with their labels, and the values the exporter reports for this server."""
    address = "%s:%d" % (harness.HOST, harness.free_port())
    program = subprocess.Popen(
        ["prometheus-redis-exporter", "-redis.addr", "redis://127.0.0.1:%d" % server.port,
         "-web.listen-address", address, *OPTIONS],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    harness.undo(program.kill)
    try:
        text = fetched("http://%s/metrics" % address)
    finally:
        program.terminate()
        program.wait()
    rows = [line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#"]
    return {name.removeprefix("redis_"): float(value) for name, value in rows}


def fetched(url):
    begin = time.monotonic()
    while True:
        try:
            with urllib.request.urlopen(url, timeout=WAIT_SECONDS_MAX) as answer:
                return answer.read().decode()
        except OSError:
            if time.monotonic() - begin > WAIT_SECONDS_MAX:
                raise
            time.sleep(0.05)


def judge(target, metrics):
    for name, value in EXPECTED.items():
        target.expect(name, metrics.get(name), value)
    for name, (low, high) in RANGES.items():
        target.expect_between(name, low, metrics.get(name, -1.0), high)
    target.expect("instance_info", [name for name in metrics if re.match(
        r'instance_info\{.*redis_mode="standalone".*role="master"', name)] != [], True)
    for name in metrics:
        if name.startswith("exporter_last_scrape_error") and metrics[name]:
            target.failures.append("the scrape failed: %s" % name)


def compare(target, metrics, reference):
    """Notes on what redis-server has and this server does not."""
    def names(of):
        return {name.split("{")[0] for name in of}

    missing = sorted(names(reference) - names(metrics))
    if missing:
        target.note("%d of %d metrics that redis-server has are not there:" % (
            len(missing), len(names(reference))))
        target.notes.extend("  " + line for line in textwrap.wrap(" ".join(missing), 92))
    for name, value in reference.items():
        if name.split("{")[0] in SAME and name in metrics and metrics[name] != value:
            target.note("%s is %.10g, of redis-server %.10g" % (name, metrics[name], value))


def exporter(target):
    held = fill(target.server)
    metrics = scraped(target.server)
    held.close()
    judge(target, metrics)
    reference = Target(harness.Server("redis", target.folder(), fsync="none").start())
    held = fill(reference.server)
    compare(target, metrics, scraped(reference.server))
    held.close()
    reference.server.kill()


CHECKS = [("prometheus-redis-exporter", exporter)]
