"""What is known of the differences between this server's commands and Redis': tables, a row each.

Knows which commands are missing and why, what Redis 7.2 changed beside the 7.0 that Debian has, and
which differences are meant. Deliberately knows nothing of servers or of how replies are compared.
"""

from fnmatch import fnmatchcase

# Why commands are missing: title | reason | names, a subcommand behind a `|`, with `*` for any.
# What a container lacks altogether is named by its own name and `name|*`.
MISSING = [
    ("lists", "not yet: there is no such type",
     "lindex linsert llen lmove lmpop lpop lpos lpush lpushx lrange lrem lset ltrim rpop rpoplpush"
     " rpush rpushx"),
    ("blocking", "not yet: no command waits for another client",
     "blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin client|unblock"),
    ("streams", "not yet: there is no such type",
     "xack xadd xautoclaim xclaim xdel xgroup xgroup|* xinfo xinfo|* xlen xpending xrange xread"
     " xreadgroup xrevrange xsetid xtrim"),
    ("pub/sub", "not yet: there are no channels",
     "psubscribe publish pubsub pubsub|* punsubscribe spublish ssubscribe subscribe sunsubscribe"
     " unsubscribe"),
    ("geo", "not yet",
     "geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro"
     " geosearch geosearchstore"),
    ("bitmaps", "not yet", "bitcount bitfield bitfield_ro bitop bitpos getbit setbit"),
    ("HyperLogLog", "not yet", "pfadd pfcount pfdebug pfmerge pfselftest"),
    ("sorting", "not yet", "sort sort_ro"),
    ("serialized values", "not yet: there is no RDB format",
     "dump restore restore-asking migrate"),
    ("functions", "not yet: scripts are there", "fcall fcall_ro function function|*"),
    ("ACL", "not yet: there is one user with one password", "acl acl|*"),
    ("client tracking", "not yet",
     "client|caching client|getredir client|tracking client|trackinginfo"),
    ("clients held up", "not yet", "client|pause client|unpause client|reply client|no-touch"),
    ("looking inside", "not yet",
     "monitor memory|malloc-stats"),
    ("debugging Redis", "not yet: they test or show Redis itself", "debug lolwut"),
    ("replication", "not yet: this server is a master without replicas",
     "failover psync replconf sync wait waitaof"),
    ("cluster", "not yet: one server has all keys",
     "asking cluster cluster|* readonly readwrite"),
    ("modules", "not yet: nothing is loaded into this server", "module module|*"),
]

# Commands of our own.
OURS = "backup backup|* tree tree|*"

# Commands that Redis 7.2 has and 7.0 has not: name | why.
ADDED_IN_7_2 = [
    ("client|no-touch", "reads that do not count as uses"),
    ("client|setinfo", "name and version of the client's library"),
    ("cluster|myshardid", "the shard of a node"),
    ("waitaof", "waits until the AOF is synced"),
]

ALL_NODES = ["request_policy:all_nodes", "response_policy:all_succeeded"]


def deprecated(since, replaced_by):
    """The fields of COMMAND DOCS for a command that became deprecated."""
    return [("doc_flags", ["deprecated"]), ("deprecated_since", since),
            ("replaced_by", replaced_by)]


NEW_FORMAT = (
    "client-id:integer=ID?"
    " client-type:oneof=TYPE?(normal:pure-token=NORMAL master:pure-token=MASTER"
    " slave:pure-token=SLAVE replica:pure-token=REPLICA pubsub:pure-token=PUBSUB)"
    " username:string=USER? addr:string=ADDR? laddr:string=LADDR?"
    " skipme:oneof=SKIPME?(yes:pure-token=YES no:pure-token=NO)")
CLIENT_KILL = "filter:oneof(old-format:string new-format:oneof*(%s))" % NEW_FORMAT
NEW_HELP = (
    "[ID client-id]|[TYPE NORMAL|MASTER|SLAVE|REPLICA|PUBSUB]|[USER username]|[ADDR addr]|"
    "[LADDR laddr]|[SKIPME YES|NO]")
CLIENT_LIST = (
    "client-type:oneof=TYPE?(normal:pure-token=NORMAL master:pure-token=MASTER"
    " replica:pure-token=REPLICA pubsub:pure-token=PUBSUB) client-id:integer=ID?*")
WHOLE_COMMAND = [("arguments", "command:string arg:string?*"), ("help", "command [arg [arg ...]]")]
RANK = [("arity", -3), ("tokens", ["WITHSCORE"]), ("help", "key member [WITHSCORE]"),
        ("arguments", "key:key@0 member:string withscore:pure-token=WITHSCORE?")]

# What rows of Redis 7.0 have to be to be those of 7.2: command | fields and their values | why.
# The field `tokens` is added to; the others are replaced. `arguments` are texts, see tables.tree,
# and `help` is what the redis-cli of 7.0 makes of them.
CHANGED_IN_7_2 = [
    ("client|kill", [("tokens", ["YES", "NO"]), ("arguments", CLIENT_KILL),
                     ("help", "old-format|%s [%s ...]" % (NEW_HELP, NEW_HELP))],
     "the words of SKIPME are told (redis#11201), and the formats named"),
    ("client|list", [("arguments", CLIENT_LIST)], "ID and its numbers are one argument"),
    ("client|setname", [("tips", ALL_NODES)], "tips for proxies"),
    ("command|getkeys", [("arity", -3), *WHOLE_COMMAND],
     "7.0 refused commands of one word (redis#11201)"),
    ("command|getkeysandflags", [("arity", -3), *WHOLE_COMMAND],
     "7.0 refused commands of one word (redis#11201)"),
    ("config|get", [("arguments", "parameter:string*")], "the parameter is in no block"),
    ("lcs", [("help", "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]")],
     "a better name of the number behind MINMATCHLEN"),
    ("psetex", deprecated("2.6.12", "`SET` with the `PX` argument"), "deprecated (redis#11512)"),
    ("quit", deprecated("7.2.0", "just closing the connection"), "deprecated (redis#11439)"),
    ("setex", deprecated("2.6.12", "`SET` with the `EX` argument"), "deprecated (redis#11512)"),
    ("setnx", deprecated("2.6.12", "`SET` with the `NX` argument"), "deprecated (redis#11512)"),
    ("zrank", RANK, "WITHSCORE (redis#11235)"),
    ("zrevrank", RANK, "WITHSCORE (redis#11235)"),
]

# Arguments that have another name since 7.2: commands | what 7.0 writes | what 7.2 does.
RENAMED_IN_7_2 = [
    ("client|reply", "on_off_skip:oneof", "action:oneof"),
    ("client|unblock", "timeout_error:oneof", "unblock-type:oneof"),
    ("config|set", "parameter_value:block", "data:block"),
    ("flushall flushdb script|flush", "async:oneof", "flush-type:oneof"),
    ("hello", "username_password:block", "auth:block"),
    ("hmset hset", "field_value:block", "data:block"),
    ("lcs", "len:integer", "min-match-len:integer"),
    ("mset msetnx", "key_value:block", "data:block"),
    ("shutdown", "nosave_save:oneof", "save-selector:oneof"),
    ("zadd", "score_member:block", "data:block"),
    ("zrange zrangebylex zrangebyscore zrangestore zrevrangebylex zrevrangebyscore",
     "offset_count:block", "limit:block"),
]

# Differences that are meant: commands | field | why. COMPAT.md names each.
MEANT = [
    ("*", "complexity", "COMMAND DOCS gives none"),
    ("*", "history", "COMMAND DOCS gives none"),
    ("replicaof slaveof", "arguments", "only NO ONE is taken"),
    ("replicaof slaveof", "help", "only NO ONE is taken"),
]


def matches(name, patterns):
    """Whether a name is one of those that a text lists."""
    return any(fnmatchcase(name, pattern) for pattern in patterns.split())


def why_missing(name):
    """Title and reason of a missing command; `None` where no row has it."""
    for title, reason, names in MISSING:
        if matches(name, names):
            return title, reason
    return None


def why_different(name, field):
    """The reason of a difference that is meant; `None` where no row has it."""
    for names, of, reason in MEANT:
        if of == field and matches(name, names):
            return reason
    return None
