"""What servers say of their commands, as Python values, and how two such answers are compared.

Knows the replies of COMMAND INFO, DOCS, LIST and GETKEYS, of CONFIG GET and of INFO, the help of
redis-cli, and the rows of docs/COMMANDS.md. Deliberately does not know which differences are meant:
that is in known.py.
"""

import re
import subprocess

# The elements of COMMAND INFO behind the name; those that are sets are compared without order.
INFO_FIELDS = ("arity", "flags", "first key", "last key", "step", "acl", "tips", "key specs")
SETS = ("flags", "acl", "tips", "doc_flags", "tokens")
# The entries of COMMAND DOCS that are compared, and the line that redis-cli makes of the arguments.
# The summary is in each server's own words.
DOCS_FIELDS = ("since", "group", "doc_flags", "deprecated_since", "replaced_by", "complexity",
               "arguments", "help", "history")
GETKEYS_ARGS_MAX = 8
FLAGS = {"optional": "?", "multiple": "*", "multiple_token": "+"}  # In texts of arguments.
NUMBERS = ("0", "1", "2", "3", "-1", "x")  # Of keys, tried at each place where a number may stand.


def plain(value):
    """A reply with texts in place of bytes."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    return value


def command_info(connection):
    """COMMAND INFO as full name -> field -> value, subcommands beside their containers."""
    rows = {}

    def add(row):
        rows[row[0]] = dict(zip(INFO_FIELDS, row[1:9]))
        for sub in row[9]:
            add(sub)

    for row in plain(connection.call("COMMAND", "INFO")):
        add(row)
    return rows


def command_docs(connection):
    """COMMAND DOCS as full name -> entry -> value, `arguments` being a text and `tokens` the words
    in it."""
    rows = {}

    def add(entries):
        for name, entry in entries:
            entry = dict(entry)
            add(entry.pop("subcommands", []))
            if "arguments" in entry:
                entry["tokens"] = sorted(set(tokens(entry["arguments"])))
                entry["arguments"] = tree(entry["arguments"])
            rows[name] = entry

    add(plain(connection.call("COMMAND", "DOCS")))
    return rows


def tokens(arguments):
    """The words among arguments that are sent as they are."""
    for argument in arguments:
        argument = dict(argument)
        if argument.get("token"):
            yield from argument["token"].upper().strip('"').split()
        yield from tokens(argument.get("arguments", []))


def tree(arguments):
    """Arguments as a text: `name:type`, with `@` and the key specification, `=` and the token, `?`
    where they may be left out, `*` where they may come again, and in brackets what they hold."""
    shown = []
    for argument in map(dict, arguments):
        text = "%s:%s" % (argument["name"], argument["type"])
        if "key_spec_index" in argument:
            text += "@%d" % argument["key_spec_index"]
        if "token" in argument:
            text += "=%s" % argument["token"]
        text += "".join(FLAGS[flag] for flag in sorted(argument.get("flags", []), reverse=True))
        if "arguments" in argument:
            text += "(%s)" % tree(argument["arguments"])
        shown.append(text)
    return " ".join(shown)


def help_lines(port, names):
    """What redis-cli shows as the arguments of commands, by their full names."""
    asked = "".join("help %s\n" % name.replace("|", " ") for name in names)
    told = subprocess.run(["redis-cli", "-p", str(port)], input=asked, capture_output=True,
                          text=True, check=True).stdout
    found = re.findall(r"^ +\x1b\[1m(\S.*?)\x1b\[0m \x1b\[90m(.*?)\x1b\[0m", told, re.M)
    return {call.lower().replace(" ", "|"): line for call, line in found}


def same(field, ours, theirs):
    """Whether two values of a field say the same."""
    if field in SETS:
        return sorted(ours or []) == sorted(theirs or [])
    if field == "complexity":
        return bool(ours) == bool(theirs)
    return ours == theirs


def getkeys_calls(name, row):
    """Whole commands to ask COMMAND GETKEYS about: all lengths, and numbers where they may be."""
    words = name.split("|")
    calls = []
    for count in range(GETKEYS_ARGS_MAX):
        args = ["k%d" % at for at in range(count)]
        calls.append(words + args)
        if "movablekeys" in row["flags"]:
            calls += [words + args[:at] + [number] + args[at + 1:]
                      for at in range(min(count, 2)) for number in NUMBERS]
    return calls


def ask_keys(connection, calls):
    """What COMMAND GETKEYS and GETKEYSANDFLAGS say of whole commands."""
    answers = []
    for how in ("GETKEYS", "GETKEYSANDFLAGS"):
        answers += plain(connection.calls(["COMMAND", how, *call] for call in calls))
    return answers


def lists(connection):
    """What COMMAND LIST says: all names, and those of each ACL category and of some patterns."""
    found = {(): set(plain(connection.call("COMMAND", "LIST")))}
    categories = {name[1:] for row in command_info(connection).values() for name in row["acl"]}
    filters = [("ACLCAT", category) for category in sorted(categories)]
    filters += [("PATTERN", pattern) for pattern in ("*get*", "CONFIG|*", "z?d*", "[a-d]*", "")]
    for words in filters:
        found[words] = set(plain(connection.call("COMMAND", "LIST", "FILTERBY", *words)))
    return found


def parameters(connection):
    """CONFIG GET * as name -> value."""
    return dict(plain(connection.call("CONFIG", "GET", "*")))


def info_fields(connection):
    """INFO everything as section -> set of field names."""
    sections, section = {}, None
    for line in plain(connection.call("INFO", "everything")).splitlines():
        if line.startswith("# "):
            section = sections.setdefault(line[2:], set())
        elif ":" in line:
            section.add(line.split(":")[0])
    return sections


def documented(text):
    """The rows of COMMANDS.md: full name -> field -> text, with the group of its heading."""
    rows, group = {}, None
    for line in text.splitlines():
        if line.startswith("## "):
            group = line[3:]
        if not group or not line.startswith("| ") or line.startswith("| command "):
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        call, _, synopsis = cells[0].partition(" `")
        rows[call.lower().replace(" ", "|")] = {
            "call": call, "synopsis": synopsis.rstrip("`"), "arity": cells[1], "flags": cells[2],
            "since": cells[3], "summary": cells[4], "group": group}
    return rows


def synopsis_tokens(synopsis):
    """The words of a synopsis that are sent as they are."""
    return sorted(set(re.findall(r"(?<![\w:-])[A-Z][A-Z-]*(?![\w:])", synopsis)))
