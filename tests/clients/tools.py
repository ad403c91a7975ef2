"""redis-cli and redis-benchmark, as they come with Debian.

`redis-cli --hotkeys` is not here: it needs a policy of eviction that dredis does not have.
"""

import json
import re
import subprocess
import time

PIPED = 10_000
REQUESTS = 2000
TESTS = "ping_inline ping_mbulk set get incr sadd hset spop zadd zpopmin mset".split()
LIST_TESTS = "lpush rpush lpop rpop".split()
ITEM_COUNTS = {"string": 31, "hash": 1, "set": 1, "zset": 1}
BIGGEST = {  # The last line about a type, of --bigkeys; of --memkeys by the name alone.
    "string": "Biggest string found '\"large\"' has 5000 bytes",
    "hash": "Biggest   hash found '\"h\"' has 40 fields",
    "set": "Biggest    set found '\"s\"' has 30 members",
    "zset": "Biggest   zset found '\"z\"' has 20 members",
}


def fill(target):
    with target.client() as client:
        client.mset({"user:%d" % number: "x" * number for number in range(30)})
        client.set("large", "x" * 5000)
        client.hset("h", mapping={"f%d" % number: number for number in range(40)})
        client.sadd("s", *range(30))
        client.zadd("z", {"m%d" % number: number for number in range(20)})


def cli(target, *words, **options):
    code, output = target.run("redis-cli", "-p", str(target.port), *words, **options)
    target.expect("exit code of redis-cli " + " ".join(words), code, 0)
    return output


def big_keys(target):
    fill(target)
    output = cli(target, "--bigkeys")
    target.expect_in("--bigkeys", "Sampled 34 keys in the keyspace!", output)
    for kind, line in BIGGEST.items():
        target.expect_in("--bigkeys", line, output)
        target.expect_in("--bigkeys", "%d %ss with" % (ITEM_COUNTS[kind], kind), output)


def memory_keys(target):
    fill(target)
    output = cli(target, "--memkeys")
    target.expect_in("--memkeys", "Sampled 34 keys in the keyspace!", output)
    for line in BIGGEST.values():
        target.expect_in("--memkeys", line.split(" has ")[0], output)
    sizes = [int(size) for size in re.findall(r"Biggest +\w+ found '.*' has (\d+) bytes", output)]
    target.expect("sizes above 0", [size > 0 for size in sizes], [True] * 4)


def scan(target):
    fill(target)
    output = cli(target, "--scan", "--pattern", "user:1*")
    target.expect("--scan", sorted(output.split()), sorted(
        "user:%d" % number for number in range(30) if str(number).startswith("1")))
    target.expect("--scan", len(cli(target, "--scan").split()), 34)


def stat(target):
    """Some lines of what goes on for ever, then its end."""
    fill(target)
    program = subprocess.Popen(
        ["stdbuf", "-oL", "redis-cli", "-p", str(target.port), "--stat", "-i", "0.3"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(1.4)
    program.terminate()
    lines = program.communicate()[0].splitlines()
    target.expect_in("--stat", "keys       mem      clients blocked requests", lines[1])
    rows = [line.split() for line in lines[2:]]
    target.expect_between("rows", 2, len(rows), 6)
    for row in rows:
        target.expect("keys", row[0], "34")
        target.expect("memory", re.fullmatch(r"[0-9.]+[BKMG]", row[1]) is not None, True)
        target.expect("clients above 0", int(row[2]) > 0, True)
    requests = [int(row[4]) for row in rows]
    target.expect("requests rise", requests, sorted(set(requests)))


def latency(target):
    words = cli(target, "--latency", "-i", "1", "--raw").split()
    target.expect("--latency --raw", len(words), 4)
    least, most, average, count = map(float, words)
    target.expect_between("milliseconds", least, average, most)
    target.expect_between("samples", 1, count, 110)


def pipe(target):
    commands = "".join("SET p:%d %d\r\nINCR p:%d\r\n" % (n, n, n) for n in range(PIPED // 2))
    output = cli(target, "--pipe", input=commands)
    target.expect_in("--pipe", "errors: 0, replies: %d" % PIPED, output)
    code, output = target.run("redis-cli", "-p", str(target.port), "--pipe",
                              input="SADD s 1\r\nINCR s\r\nPING\r\n")
    target.expect("exit code of --pipe with an error", code, 1)
    target.expect_in("--pipe", "WRONGTYPE", output)
    target.expect_in("--pipe", "errors: 1, replies: 3", output)
    with target.client() as client:
        target.expect("keys", client.dbsize(), PIPED // 2 + 1)
        target.expect("a value", client.get("p:77"), b"78")


def formats(target):
    cli(target, "HSET", "h", "a", "1")
    cli(target, "ZADD", "z", "1.5", "m")
    target.expect("--csv", cli(target, "--csv", "HGETALL", "h"), '"a","1"\n')
    target.expect("-3", cli(target, "-3", "--no-raw", "HGETALL", "h"), '1# "a" => "1"\n')
    target.expect("-3", cli(target, "-3", "--no-raw", "ZSCORE", "z", "m"), "(double) 1.5\n")
    target.expect("--json", json.loads(cli(target, "--json", "HGETALL", "h")), {"a": "1"})
    target.expect("-x", cli(target, "-x", "SET", "x", input="of stdin"), "OK\n")
    target.expect("-n", cli(target, "-n", "3", "DBSIZE"), "0\n")
    target.expect("-r", cli(target, "-r", "3", "INCR", "n"), "1\n2\n3\n")
    target.expect("lines of stdin", cli(target, input="MULTI\nINCR n\nINCR n\nEXEC\n"),
                  "OK\nQUEUED\nQUEUED\n4\n5\n")
    target.expect_in("INFO", "redis_version:", cli(target, "INFO"))
    code, output = target.run("redis-cli", "-p", str(target.port), "-e", "INCR", "h")
    target.expect("-e", [code, output[:9]], [1, "WRONGTYPE"])
    script = target.folder() + "/script.lua"
    with open(script, "w") as file:
        file.write("return {KEYS[1], ARGV[1], redis.call('HGET', KEYS[1], ARGV[1])}")
    target.expect("--eval", cli(target, "--eval", script, "h", ",", "a"), "h\na\n1\n")


def help_of_commands(target):
    """What redis-cli has from COMMAND DOCS, without its colours."""
    output = re.sub("\x1b\\[[0-9;]*m", "", cli(target, "help", "HSET"))
    for part in ("  HSET", "  summary: ", "  since: 2.0.0", "  group: hash"):
        target.expect_in("help HSET", part, output)
    if "key field value [field value ...]" not in output:
        target.note("`help HSET` shows no arguments, as COMMAND DOCS has none")
    for command in ("ZADD", "ZRANGE", "ZSCAN"):
        target.expect_in("help @sorted-set", command, cli(target, "help", "@sorted-set"))


def benchmark(target, tests, *options):
    words = ["redis-benchmark", "-p", str(target.port), "-q", "-n", str(REQUESTS), *options]
    code, output = target.run(*words, "-t", ",".join(tests), timeout=50)
    output = output.replace("\r", "\n")
    rows = [line for line in output.split("\n") if "requests per second" in line]
    target.expect("exit code of redis-benchmark", code, 0)
    target.expect("rows of redis-benchmark", len(rows), len(tests))
    for word in ("ERR", "Error", "WARN", "WRONGTYPE"):
        target.expect(word, [line for line in output.split("\n") if word in line], [])


def benchmark_plain(target):
    benchmark(target, TESTS, "-r", "1000")


def benchmark_pipelined(target):
    benchmark(target, ["set", "get", "zadd", "spop"], "-P", "16", "--threads", "2")
    benchmark(target, ["set", "hset"], "-3", "-d", "2000")


def benchmark_lists(target):
    target.need_command("LPUSH")
    benchmark(target, LIST_TESTS)


CHECKS = [
    ("redis-cli --bigkeys", big_keys),
    ("redis-cli --memkeys", memory_keys),
    ("redis-cli --scan", scan),
    ("redis-cli --stat", stat),
    ("redis-cli --latency", latency),
    ("redis-cli --pipe", pipe),
    ("redis-cli formats", formats),
    ("redis-cli help", help_of_commands),
    ("redis-benchmark", benchmark_plain),
    ("redis-benchmark pipelined", benchmark_pipelined),
    ("redis-benchmark lists", benchmark_lists),
]
