"""Rate limiters from PyPI that decide by Lua scripts: limits and pyrate-limiter."""

import time

from limits import RateLimitItemPerSecond, storage, strategies
from pyrate_limiter import Limiter, Rate, RedisBucket

HITS, SECONDS = 5, 2


def limits_fixed_window(target):
    decide(target, strategies.FixedWindowRateLimiter, HITS)


def limits_sliding_window(target):
    # Right after the window's end the last one still counts in proportion.
    decide(target, strategies.SlidingWindowCounterRateLimiter, None)


def limits_moving_window(target):
    target.need_command("LPUSH")
    decide(target, strategies.MovingWindowRateLimiter, HITS)


def decide(target, strategy, again):
    """`HITS` are let pass, one more is not; after a window `again` pass, or some (None)."""
    kept = storage.storage_from_string("redis://127.0.0.1:%d" % target.port)
    limiter, item = strategy(kept), RateLimitItemPerSecond(HITS, SECONDS)
    target.expect("storage", kept.check(), True)
    begin = time.time()
    target.expect("test before", limiter.test(item, "ada"), True)
    target.expect("hits", [limiter.hit(item, "ada") for _ in range(HITS + 2)],
                  [True] * HITS + [False] * 2)
    target.expect("test of a full window", limiter.test(item, "ada"), False)
    stats = limiter.get_window_stats(item, "ada")
    target.expect("remaining", stats.remaining, 0)
    target.expect_between("reset", begin, stats.reset_time, begin + 2 * SECONDS + 1)
    target.expect("another's window", limiter.hit(item, "bob", cost=HITS), True)
    target.expect("more than there is", limiter.hit(item, "bob"), False)
    limiter.clear(item, "bob")
    target.expect("a cleared window", limiter.hit(item, "bob"), True)
    time.sleep(SECONDS + 0.2)
    passed = [limiter.hit(item, "ada") for _ in range(HITS + 1)].count(True)
    if again is None:
        target.expect_between("hits after the window", 0, passed, HITS)
        time.sleep(2 * SECONDS)
        passed = [limiter.hit(item, "ada") for _ in range(HITS + 1)].count(True)
    target.expect("hits when the window is over", passed, HITS)
    kept.reset()
    target.expect("a reset storage", limiter.get_window_stats(item, "ada").remaining, HITS)


def pyrate_limiter(target):
    with target.client() as client:
        bucket = RedisBucket.init([Rate(HITS, SECONDS * 1000), Rate(HITS + 2, 60_000)], client,
                                  "bucket")
        limiter = Limiter(bucket)
        hits = [limiter.try_acquire("ada", blocking=False) for _ in range(HITS + 1)]
        target.expect("hits", hits, [True] * HITS + [False])
        target.expect("count", bucket.count(), HITS)
        target.expect("more than there is", limiter.try_acquire("ada", 2, blocking=False), False)
        begin = time.monotonic()
        target.expect("a hit that waits", limiter.try_acquire("ada", blocking=True), True)
        target.expect_between("seconds it waited", 0.1, time.monotonic() - begin, SECONDS + 3)
        hits = [limiter.try_acquire("ada", blocking=False) for _ in range(2)]
        target.expect("the second rate", hits, [True, False])
        target.expect("keys", client.keys(), [b"bucket"])
        limiter.close()


CHECKS = [
    ("limits fixed-window", limits_fixed_window),
    ("limits sliding-window", limits_sliding_window),
    ("limits moving-window", limits_moving_window),
    ("pyrate-limiter", pyrate_limiter),
]
