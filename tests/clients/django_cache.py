"""Django's own Redis cache backend, sessions that are kept in it, and the package django-redis."""

import time

import django
from django.conf import settings
from django.core.cache import caches

PREFIX = b"shop:1:"  # How the backend names keys: KEY_PREFIX, version, key.


def kept_in(backend, port):
    return {"BACKEND": backend, "LOCATION": "redis://127.0.0.1:%d/1" % port, "KEY_PREFIX": "shop"}


def configured(target, name="default"):
    if not settings.configured:
        settings.configure(
            CACHES={
                "default": kept_in("django.core.cache.backends.redis.RedisCache", target.port),
                "other": kept_in("django_redis.cache.RedisCache", target.port),
            },
            SESSION_ENGINE="django.contrib.sessions.backends.cache",
            USE_TZ=True,
        )
        django.setup()
    return caches[name]


def values(target):
    cache = configured(target)
    cache.set("a", {"any": ["thing", 1]})
    cache.set("n", 41)
    target.expect("get", [cache.get("a"), cache.get("none"), cache.get("none", 5)],
                  [{"any": ["thing", 1]}, None, 5])
    target.expect("add", [cache.add("a", 1), cache.add("new", 1), cache.get("new")],
                  [False, True, 1])
    target.expect("incr, decr", [cache.incr("n"), cache.incr("n", 8), cache.decr("n", 50)],
                  [42, 50, 0])
    target.expect_error("incr of none", ValueError, "not found", lambda: cache.incr("none"))
    target.expect("has_key", [cache.has_key("a"), "none" in cache], [True, False])
    cache.set_many({"k%d" % number: number for number in range(50)})
    target.expect("get_many", cache.get_many(["k1", "k49", "none"]), {"k1": 1, "k49": 49})
    cache.delete_many(["k%d" % number for number in range(49)])
    target.expect("delete_many", cache.get_many(["k%d" % number for number in range(50)]),
                  {"k49": 49})
    target.expect("delete", [cache.delete("k49"), cache.delete("k49")], [True, False])
    target.expect("get_or_set", [cache.get_or_set("made", lambda: 7), cache.get("made")], [7, 7])
    cache.set("v", "one", version=1)
    cache.incr_version("v")
    target.expect("versions", [cache.get("v"), cache.get("v", version=2)], [None, "one"])
    cache.clear()
    target.expect("clear", cache.get("a"), None)


def timeouts(target):
    cache = configured(target)
    with target.client(db=1) as client:
        cache.set("default", 1)
        cache.set("forever", 1, timeout=None)
        cache.set("short", 1, timeout=1)
        cache.set("gone", 1, timeout=0)
        cache.set_many({"m1": 1, "m2": 2}, timeout=100)
        ttls = [client.ttl(PREFIX + name) for name in (b"forever", b"gone")]
        target.expect("ttl", ttls, [-1, -2])
        target.expect_between("the default", 295, client.ttl(PREFIX + b"default"), 300)
        target.expect_between("of many", 95, client.ttl(PREFIX + b"m2"), 100)
        touched = [cache.touch("forever", 50), cache.touch("default", None), cache.touch("none")]
        target.expect("touch", touched, [True, True, False])
        target.expect_between("touched", 45, client.ttl(PREFIX + b"forever"), 50)
        target.expect("touched for ever", client.ttl(PREFIX + b"default"), -1)
        cache.incr("m1")
        target.expect_between("incr keeps the timeout", 90, client.ttl(PREFIX + b"m1"), 100)
    target.expect("before the time is over", cache.get("short"), 1)
    time.sleep(1.2)
    target.expect("when it is over", [cache.get("short"), cache.add("short", 2)], [None, True])


def sessions(target):
    configured(target)
    from django.contrib.sessions.backends.cache import SessionStore

    session = SessionStore()
    session["user"] = 7
    session.save()
    again = SessionStore(session.session_key)
    target.expect("a session", again["user"], 7)
    again.cycle_key()
    target.expect("the old key", SessionStore().exists(session.session_key), False)
    target.expect("the new key", SessionStore(again.session_key)["user"], 7)
    again.flush()
    target.expect("a session that ended", SessionStore(again.session_key).get("user"), None)


def django_redis(target):
    cache = configured(target, "other")
    cache.set("a", {"any": ["thing", 1]}, timeout=100)
    cache.set("n", 1, timeout=None)
    target.expect("get", [cache.get("a"), cache.get("none")], [{"any": ["thing", 1]}, None])
    target.expect("ttl", [cache.ttl("a") in (99, 100), cache.ttl("n"), cache.ttl("none")],
                  [True, None, 0])
    target.expect("set nx", [cache.set("a", 1, nx=True), cache.set("new", 1, nx=True)],
                  [False, True])
    target.expect("incr", [cache.incr("n", 5), cache.decr("n", 2), cache.get("n")], [6, 4, 4])
    target.expect_error("incr of none", ValueError, "not found", lambda: cache.incr("none"))
    cache.set_many({"k%d" % number: number for number in range(50)})
    target.expect("keys", sorted(cache.keys("k4?")), ["k4%d" % number for number in range(10)])
    target.expect("iter_keys", len(set(cache.iter_keys("k*"))), 50)
    target.expect("delete_pattern", cache.delete_pattern("k1*"), 11)
    target.expect("persist, expire", [cache.persist("a"), cache.expire("n", 50), cache.ttl("a")],
                  [True, True, None])
    with cache.lock("locked", timeout=10):
        target.expect("a held lock", cache.lock("locked").acquire(blocking=False), False)
    target.expect("touch", [cache.touch("n", 5), cache.touch("none", 5)], [True, False])
    cache.clear()
    target.expect("clear", cache.get("a"), None)


CHECKS = [
    ("django cache", values),
    ("django timeouts", timeouts),
    ("django sessions", sessions),
    ("django-redis", django_redis),
]
