"""Where two servers may answer differently and both be right: one row each, with its reason.

Every reply that no row names must be equal byte for byte. Error replies are never normalised but
where a row says so. A check is given the two values; one of SCORED is given the exact replies,
since it looks at how numbers are written. Deliberately does not know how commands are made or sent.
"""

import math
from decimal import Decimal
from fractions import Fraction
from itertools import zip_longest

from harness import Error, decode

INFINITY = float("inf")
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


def unordered_pairs(ours, theirs):
    """The same fields with the same values: a flat list in RESP2, a map in RESP3."""
    return as_pairs(ours) == as_pairs(theirs)


def as_pairs(value):
    if isinstance(value, list) and value and not isinstance(value[0], tuple):
        value = list(zip(value[::2], value[1::2]))
    return sorted(value) if isinstance(value, list) else value


def unordered_values(ours, theirs):
    """The same values, each as often."""
    return isinstance(ours, list) and isinstance(theirs, list) and sorted(ours) == sorted(theirs)


def same_shape(ours, theirs):
    """The same number of elements, nested alike."""
    if not isinstance(ours, list) or not isinstance(theirs, list):
        return same_type(ours, theirs)
    return len(ours) == len(theirs) and all(map(same_shape, ours, theirs))


# What was large once stays in its large form as long as it is in memory: reading it back from the
# tree begins a new history. 7.0 has no small form of a set that is not all integers.
ENCODINGS = {
    b"hashtable": {b"hashtable", b"listpack", b"intset"},
    b"skiplist": {b"skiplist", b"listpack"},
}


def encoding(ours, theirs):
    return isinstance(theirs, bytes) and ours in ENCODINGS.get(theirs, {theirs})


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


def zrank(ours, theirs):
    """7.2 takes a fourth argument, WITHSCORE; 7.0 counts it as one too many."""
    return (isinstance(ours, Error) and isinstance(theirs, Error)
            and ours == b"ERR syntax error" and theirs.startswith(b"ERR wrong number of arguments"))


def is_written_as_in_7_2(text, value):
    """Integers up to 2^62 are written in full, other numbers with the digits that Grisu2 finds: the
    fewest, or one more; some more only where the fewest are as near to the next double."""
    if value == int(value) and abs(value) <= 2.0 ** 62:
        return text == b"%d" % value
    mine, fewest = (Decimal(number).normalize() for number in (text.decode(), repr(value)))
    neighbours = filter(math.isfinite, (math.nextafter(value, to) for to in (INFINITY, -INFINITY)))
    is_between = any(2 * Fraction(fewest) == Fraction(value) + Fraction(one) for one in neighbours)
    more = len(mine.as_tuple().digits) - len(fewest.as_tuple().digits)
    return text == laid_out(mine) and (more in (0, 1) or is_between)


def laid_out(number):
    """A decimal number as 7.2 places its point."""
    sign, digits, power = number.as_tuple()
    digits, minus = "".join(map(str, digits)), "-" * sign
    exponent = abs(power + len(digits) - 1)
    if power >= 0 and exponent < len(digits) + 7:
        return (minus + digits + "0" * power).encode()
    if power < 0 and (power > -7 or exponent < 4):
        whole = digits.rjust(1 - power, "0")
        return ("%s%s.%s" % (minus, whole[:power], whole[power:])).encode()
    point = "." if len(digits) > 1 else ""
    shown = "%s%s%s%se%+d" % (minus, digits[0], point, digits[1:], power + len(digits) - 1)
    return shown.encode()


def elements(raw):
    """The kind and text of everything in a reply, in its order."""
    at = 0
    while at < len(raw):
        line = raw.index(b"\r\n", at)
        kind, text, at = raw[at : at + 1], raw[at + 1 : line], line + 2
        if kind == b"$" and text != b"-1":
            end = at + int(text)
            text, at = raw[at:end], end + 2
        yield kind, text


def same_scores(ours, theirs):
    """Equal but for numbers, which are what 7.2 makes of those that 7.0 wrote."""
    ours, theirs = list(elements(ours)), list(elements(theirs))
    return len(ours) == len(theirs) and all(map(same_element, ours, theirs))


def first_difference(ours, theirs):
    """Number, ours and theirs of the first element that differs, for the report of a mismatch."""
    pairs = enumerate(zip_longest(elements(ours), elements(theirs)))
    return next(((at, *pair) for at, pair in pairs if None in pair or not same_element(*pair)), None)


def same_element(ours, theirs):
    if ours == theirs:
        return True
    if ours[0] != theirs[0] or ours[0] not in (b"$", b","):
        return False
    if {ours[1], theirs[1]} == {b"0", b"-0"}:
        return True
    try:
        value = float(theirs[1])
        is_same = math.isfinite(value) and float(ours[1]) == value
        return is_same and is_written_as_in_7_2(ours[1], value)
    except (ValueError, ArithmeticError):
        return False


def hello(ours, theirs):
    """The same names and protocol; version and id are the server's own."""
    if isinstance(ours, Error) or isinstance(theirs, Error):
        return ours == theirs
    def pairs(value):
        if value and isinstance(value[0], tuple):
            return value
        return list(zip(value[::2], value[1::2]))
    one, two = pairs(ours), pairs(theirs)
    return [k for k, _ in one] == [k for k, _ in two] and dict(one)[b"proto"] == dict(two)[b"proto"]


# commands, check of the two values, reason
NORMALISERS = [
    ([b"KEYS"], unordered, "the order of keys is nobody's promise"),
    ([b"RANDOMKEY"], same_type, "a random pick; the driver asks whether that key exists"),
    ([b"TTL", b"EXPIRETIME"], near(1000), "the two servers run a command at different moments"),
    ([b"PTTL", b"PEXPIRETIME"], near(1), "the two servers run a command at different moments"),
    ([b"SMEMBERS", b"SINTER", b"SUNION", b"SDIFF", b"HKEYS"], unordered,
     "the order of members and fields is nobody's promise"),
    ([b"HVALS"], unordered_values, "the order of fields is nobody's promise"),
    ([b"HGETALL"], unordered_pairs, "the order of fields is nobody's promise"),
    ([b"SRANDMEMBER", b"HRANDFIELD", b"ZRANDMEMBER"], same_shape,
     "random picks; the driver asks whether they are elements"),
    ([b"OBJECT ENCODING"], encoding, "follows from a value's history, and 7.2 has one form more"),
    ([b"ZRANK", b"ZREVRANK"], zrank, "WITHSCORE came with 7.2"),
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
# As above, but the check is given the exact replies.
SCORED = [
    ([b"ZADD", b"ZINCRBY", b"ZSCORE", b"ZMSCORE", b"ZRANGE", b"ZREVRANGE", b"ZRANGEBYSCORE",
      b"ZREVRANGEBYSCORE", b"ZPOPMIN", b"ZPOPMAX", b"ZMPOP", b"ZUNION", b"ZINTER", b"ZDIFF"],
     same_scores, "7.0 writes a score with 17 digits, 7.2 with the fewest; no score here is -0, and "
     "7.0 keeps it"),
]
EXACT_TABLE = {command: check for commands, check, _ in SCORED for command in commands}
TABLE = {command: check for commands, check, _ in NORMALISERS for command in commands}


def agree(args, ours, theirs):
    """Whether the exact replies of both servers to one command agree."""
    if ours == theirs:
        return True
    if name(args) in EXACT_TABLE:
        return EXACT_TABLE[name(args)](ours, theirs)
    check = TABLE.get(name(args))
    if check is None or ours[:1] != theirs[:1]:
        return False
    return check(decode(ours), decode(theirs))
