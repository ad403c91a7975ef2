#!/usr/bin/env python3
"""Hostile input: what clients send to take the memory, the time, the files or the data of others.

Runs the checks of the hostile_* modules, prints what each saw and everything that was wrong, and
ends with 1 if a check failed. What must hold after each is in hostile_ground.py.
"""

import argparse
import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness
import hostile_crowd
import hostile_data
import hostile_lua
import hostile_protocol
import hostile_replies
from hostile_ground import CHECKS, Ground

# Their checks are in the table once they are imported; they run in this order.
MODULES = [hostile_protocol, hostile_replies, hostile_lua, hostile_data, hostile_crowd]

REPLY_DEPTH_MAX = 10_000  # Replies of scripts may nest so deep, and are read by recursion.


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--full", action="store_true", help="larger counts, and the costly checks")
    parser.add_argument("--redis", action="store_true", help="redis-server in dredis' place")
    parser.add_argument("--list", action="store_true", help="the names of the checks")
    parser.add_argument("only", nargs="*", metavar="CHECK", help="only these")
    options = parser.parse_args()
    kind = "redis" if options.redis else "dredis"
    order = [module.__name__ for module in MODULES]
    checks = sorted(CHECKS, key=lambda check: order.index(check.run.__module__))
    chosen = [check for check in checks if not options.only or check.name in options.only]
    chosen = [check for check in chosen if not (options.redis and check.ours)]
    if options.list:
        print("\n".join(check.name for check in chosen))
        return
    unknown = set(options.only) - {check.name for check in CHECKS}
    if unknown:
        sys.exit("no such check: %s; --list names them" % ", ".join(sorted(unknown)))
    harness.need_server(kind)
    harness.need_tools("prlimit")
    sys.setrecursionlimit(REPLY_DEPTH_MAX * 2)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print("seed %d" % options.seed, flush=True)
    begin = time.monotonic()
    ground = Ground(kind, options.full, options.seed)
    failed = [check.name for check in chosen if not ground.run(check)]
    complaints = ground.main.end()
    for complaint in complaints:
        print("FAILED at the end, %s" % complaint)
    if failed:
        print("failed: %s" % " ".join(failed))
    print("%d checks, %d failed, %.0f s" % (
        len(chosen) + 1, len(failed) + bool(complaints), time.monotonic() - begin))
    sys.exit(1 if failed or complaints else 0)


if __name__ == "__main__":
    main()
