"""Where two servers may answer differently and both be right: one row each, with its reason.

Every reply that no row names must be equal byte for byte. Error replies are never normalised but
where a row says so. Deliberately does not know how commands are made or sent.
"""

from harness import Error, decode

MILLISECONDS_OFF_MAX = 5_000
NAMED_MAX = 20


def name(args):
    """The command's name in capitals, with its subcommand where it has any."""
    first = args[0].upper()
    if first in (b"OBJECT", b"CLIENT", b"CONFIG", b"COMMAND") and len(args) > 1:
        return first + b" " + args[1].upper()
    return first


def unordered(ours, theirs):
    """The same elements, and none twice."""
    return (isinstance(ours, list) and isinstance(theirs, list)
            and sorted(ours) == sorted(theirs) and len(set(ours)) == len(ours))


def near(unit):
    """The same number within the time that passes between the two servers."""
    def check(ours, theirs):
        if not isinstance(ours, int) or not isinstance(theirs, int) or min(ours, theirs) < 0:
            return ours == theirs
        return abs(ours - theirs) <= max(1, MILLISECONDS_OFF_MAX // unit)
    return check


def same_type(ours, theirs):
    """Both an error, both a number, both a text, both an array, both nothing."""
    if isinstance(ours, Error) or isinstance(theirs, Error):
        return ours == theirs
    return type(ours) is type(theirs)


def fields(text):
    return {word.split(b"=")[0] for word in text.split() if b"=" in word}


def known_fields(ours, theirs):
    """At least the fields of the other, in the text of CLIENT INFO and LIST."""
    if not isinstance(theirs, bytes) or isinstance(theirs, Error) or isinstance(ours, Error):
        return ours == theirs
    return isinstance(ours, bytes) and fields(ours) >= fields(theirs)


def command_rows(ours, theirs):
    """The same name, arity, flags in any order, first key, last key and step."""
    if isinstance(theirs, list) and len(theirs) > NAMED_MAX:
        return isinstance(ours, list)  # Nobody was named: all commands, in no order.
    if not isinstance(ours, list) or not isinstance(theirs, list) or len(ours) != len(theirs):
        return ours == theirs
    for one, two in zip(ours, theirs):
        if one is None or two is None:
            if one is not two:
                return False
        elif one[:2] + one[3:6] != two[:2] + two[3:6] or set(one[2]) != set(two[2]):
            return False
    return True


def get_keys(ours, theirs):
    """7.0 counts one argument too many as needed; 7.2 answers what it makes of the command."""
    seven = b"ERR wrong number of arguments for 'command|getkeys' command"
    return ours == theirs or (isinstance(ours, Error) and theirs == seven)


def hello(ours, theirs):
    """The same names and protocol; version and id are the server's own."""
    if isinstance(ours, Error) or isinstance(theirs, Error):
        return ours == theirs
    def as_pairs(value):
        if value and isinstance(value[0], tuple):
            return value
        return list(zip(value[::2], value[1::2]))
    one, two = as_pairs(ours), as_pairs(theirs)
    return [k for k, _ in one] == [k for k, _ in two] and dict(one)[b"proto"] == dict(two)[b"proto"]


# commands, check of the two values, reason
NORMALISERS = [
    ([b"KEYS"], unordered, "the order of keys is nobody's promise"),
    ([b"RANDOMKEY"], same_type, "a random pick; the driver asks whether that key exists"),
    ([b"TTL", b"EXPIRETIME"], near(1000), "the two servers run a command at different moments"),
    ([b"PTTL", b"PEXPIRETIME"], near(1), "the two servers run a command at different moments"),
    ([b"OBJECT IDLETIME"], same_type, "Redis shares small integers, and their clock with them"),
    ([b"OBJECT REFCOUNT"], same_type, "counts Redis' shared small integers, an inner matter"),
    ([b"TIME"], same_type, "the time"),
    ([b"INFO"], same_type, "figures and sections of each server"),
    ([b"CLIENT ID"], same_type, "each server numbers its own connections"),
    ([b"CLIENT INFO", b"CLIENT LIST"], known_fields, "addresses and ids; 7.2 has more fields"),
    ([b"COMMAND COUNT", b"COMMAND LIST", b"COMMAND"], same_type, "not every command is here"),
    ([b"COMMAND DOCS", b"OBJECT HELP"], same_type, "texts in our own words"),
    ([b"COMMAND INFO"], command_rows, "tips, categories and key specifications differ by version"),
    ([b"COMMAND GETKEYS"], get_keys, "its arity was wrong in 7.0 (redis#11201)"),
    ([b"CONFIG GET"], same_type, "each server has its own settings"),
    ([b"HELLO"], hello, "version and connection id"),
]
TABLE = {command: check for commands, check, _ in NORMALISERS for command in commands}


def agree(args, ours, theirs):
    """Whether the exact replies of both servers to one command agree."""
    if ours == theirs:
        return True
    check = TABLE.get(name(args))
    if check is None or ours[:1] != theirs[:1]:
        return False
    return check(decode(ours), decode(theirs))
