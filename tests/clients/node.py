"""Clients of Node.js and what is built upon them; the checks themselves are JavaScript."""

import json
import os

MODULES = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../target/clients/node/node_modules")


def javascript(name):
    def check(target):
        environment = dict(os.environ, NODE_PATH=os.path.normpath(MODULES))
        code, output = target.run("node", target.path(name), str(target.port), env=environment)
        target.expect("exit code of node", code, 0)
        lines = output.strip().split("\n")
        try:
            target.failures.extend(json.loads(lines[-1]))
        except ValueError:
            target.failures.append(output)

    return check


CHECKS = [
    ("ioredis", javascript("ioredis.js")),
    ("node-redis", javascript("node_redis.js")),
    ("node limiter and locks", javascript("limiter_and_locks.js")),
]
