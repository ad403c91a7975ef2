"""How a comparison is told: as aligned tables, and as docs/COVERAGE.md.

Knows what a finished comparison holds and where docs/COMPAT.md speaks of a command. Deliberately
does not know how anything was asked or compared.
"""

import re
import textwrap

import known

WIDTH = 120
VALUE_CHARS_MAX = 60
IN_PASSING = ("complexity", "history")  # Differ for nearly every command.


def shown(name):
    """A full name as it is typed."""
    return name.upper().replace("|", " ")


def brief(value):
    text = "-" if value is None else str(value)
    return text if len(text) <= VALUE_CHARS_MAX else text[:VALUE_CHARS_MAX - 3] + "..."


def table(heads, rows):
    """Rows in columns as wide as their longest cell; the last one is broken into lines."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads) - 1)]
    room = max(30, WIDTH - sum(widths) - 2 * len(widths))
    lines = []
    for row in [heads, ["-" * len(head) for head in heads], *rows]:
        parts = textwrap.wrap(row[-1], room, break_on_hyphens=False) or [""]
        begin = "".join(cell.ljust(width + 2) for cell, width in zip(row, widths))
        lines.append(begin + parts[0])
        lines += [" " * len(begin) + part for part in parts[1:]]
    return "\n".join(line.rstrip() for line in lines)


def section(title, heads, rows):
    return "\n%s\n\n%s" % (title, table(heads, rows)) if rows else "\n%s: none" % title


def meant(coverage):
    """The differences that are meant, by their reason: commands, field, reason."""
    by_reason = {}
    for name, field, _, _, reason in coverage.differences:
        if reason is not None:
            by_reason.setdefault((field, reason), []).append(name)
    return [(names, field, reason) for (field, reason), names in sorted(by_reason.items())]


def counted(names, names_max=6):
    """Names, or how many they are."""
    if len(names) > names_max:
        return "%d commands" % len(names)
    return ", ".join(shown(name) for name in names)


def whole(names):
    """Names, those of a container that is among them as their number."""
    subcommands = {}
    for name in names:
        container, _, sub = name.partition("|")
        if sub and container in names:
            subcommands.setdefault(container, []).append(sub)
    told = [name for name in names if name.split("|")[0] not in subcommands or "|" not in name]
    return ", ".join("%s with %d subcommands" % (shown(name), len(subcommands[name]))
                     if name in subcommands else shown(name) for name in told)


def text(coverage, verbose):
    """Everything as text, the summary last."""
    parts = [section("Redis has, and this server has not", ("what", "n", "why", "commands"), [
        (title, len(names), reason, ", ".join(map(shown, names)) if verbose else whole(names))
        for title, (reason, names) in coverage.missing.items()])]
    parts.append(section("This server has, and Redis has not", ("commands",), [
        (", ".join(map(shown, coverage.extra)),)] if coverage.extra else []))
    parts.append(section("What 7.2 changed, with which the rows of 7.0 are compared",
                         ("command", "fields", "why"), [
        (shown(name), ", ".join(field for field, _ in fields), why)
        for name, fields, why in known.CHANGED_IN_7_2]))
    parts.append(section("Differences that are meant", ("field", "commands", "why"), [
        (field, counted(names, 400 if verbose else 6), reason)
        for names, field, reason in meant(coverage)]))
    parts.append(section("Differences without a reason",
                         ("command", "field", "here", "redis-server"), [
        (shown(name), field, brief(ours), brief(theirs))
        for name, field, ours, theirs, _ in coverage.unexplained()]))
    parts.append(settings(coverage, verbose))
    parts.append(fields(coverage, verbose))
    if coverage.complaints:
        parts.append("\n" + "\n".join(coverage.complaints))
    parts.append("\n" + sentence(coverage.summary()))
    return "\n".join(parts).lstrip("\n")


def settings(coverage, verbose):
    """CONFIG GET *: what only one server has, and defaults that differ."""
    ours, theirs = coverage.ours.parameters, coverage.theirs.parameters
    both = sorted(set(ours) & set(theirs))
    lacking = sorted(set(theirs) - set(ours))
    rows = [(name, brief(ours[name]), brief(theirs[name]))
            for name in both if ours[name] != theirs[name]]
    head = "CONFIG: %d of Redis' %d parameters, %d of our own; %d with the same value" % (
        len(both), len(theirs), len(set(ours) - set(theirs)), len(both) - len(rows))
    found = section(head + "; the others", ("parameter", "here", "redis-server"), rows)
    if verbose:
        found += section("\nParameters that only Redis has", ("parameters",),
                         [(", ".join(lacking),)] if lacking else [])
    return found


def fields(coverage, verbose):
    """INFO: sections and fields that only Redis has."""
    rows = []
    for name, theirs in coverage.theirs.sections.items():
        ours = coverage.ours.sections.get(name)
        lacking = sorted(theirs - (ours or set()))
        if ours is None or lacking:
            told = ", ".join(lacking) if verbose or len(lacking) <= 8 else "(--verbose)"
            rows.append((name, "-" if ours is None else len(theirs & ours), len(theirs),
                         told))
    return section("INFO: sections in which Redis has more fields",
                   ("section", "shared", "Redis'", "only in Redis"), rows)


def sentence(summary):
    """The summary; the last line is short, for those who show only that."""
    return ("redis-server {redis_version}, {changed_in_7_2} rows made those of 7.2; {compared} "
            "rows, {trees} trees of arguments, {help_lines} lines of redis-cli's help and "
            "{getkeys_calls} answers to GETKEYS compared\n"
            "{missing} commands of Redis' are missing, {ours} are our own\n"
            "{there} of {redis_commands} commands, {identical} of {compared} rows identical, "
            "{explained} differences explained, {unexplained} not, "
            "{complaints} complaints").format(**summary)


def notes(compat):
    """Where COMPAT.md speaks of commands: (bold text, heading) of each bullet, in its order."""
    found, heading = [], None
    compat = re.sub(r"\n {2}(?=\S)", " ", compat)
    for line in compat.splitlines():
        if line.startswith("## "):
            heading = line[3:]
        elif line.startswith("- "):
            found += [(bold, heading) for bold in re.findall(r"\*\*(.+?)\*\*", line)]
    return found


def notes_of(name, is_container, bold_texts):
    """The bullets whose bold text has a command's full name; a container's not before a word."""
    pattern = r"(?<![A-Z|-])(?<![A-Z] )%s(?![\w-])" % re.escape(shown(name))
    if is_container:
        pattern += "(?! [A-Z])"
    return [(bold, heading) for bold, heading in bold_texts if re.search(pattern, bold)]


def markdown(heads, rows):
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| %s |" % " | ".join(row) for row in [heads, *cells]]
    return "\n".join([lines[0], "|" + "---|" * len(heads), *lines[1:]])


def anchor(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def document(coverage, compat):
    """The text of docs/COVERAGE.md."""
    bold_texts = notes(compat)
    spoken = {}
    containers = {name.split("|")[0] for name in coverage.ours.info if "|" in name}
    for name in sorted(coverage.ours.info):
        links = ["[%s](COMPAT.md#%s)" % (bold.rstrip("., :"), anchor(heading))
                 for bold, heading in notes_of(name, name in containers, bold_texts)]
        if links:
            spoken.setdefault(coverage.documented_group(name), []).append(
                (shown(name), ", ".join(links)))
    figures = coverage.summary()
    parts = [
        "# Coverage", "Made by `scripts/coverage --write-docs`, which asks this server and a "
        "redis-server; `scripts/coverage` compares it.\n[COMMANDS.md](COMMANDS.md) has the "
        "commands that are there, with arguments, flags and what they do;\n[COMPAT.md](COMPAT.md) "
        "what they do otherwise than Redis.",
        "Redis is the %s of Debian, with what 7.2 added and changed. Subcommands count as "
        "commands." % ".".join(figures["redis_version"].split(".")[:2]),
        markdown(("what", "how many"), [
            ("commands of Redis", figures["redis_commands"]),
            ("of these here", figures["there"]),
            ("of our own", figures["ours"]),
            ("compared with redis-server", figures["compared"]),
            ("of these the same in COMMAND, but for what its DOCS leaves out",
             figures["identical"])]),
        "## Not there", markdown(("what", "why", "commands"), [
            (title, reason, whole(names))
            for title, (reason, names) in coverage.missing.items()]),
        "## Of our own", ", ".join(map(shown, coverage.extra)) + ".",
        "## Different in COMMAND", markdown(("what", "commands", "why"), [
            (field, counted(names), reason) for names, field, reason in meant(coverage)]),
        "## What 7.2 added and changed", markdown(("command", "what", "here"), [
            (shown(name), why, "yes" if name in coverage.ours.info else "no")
            for name, *_, why in sorted(known.ADDED_IN_7_2 + known.CHANGED_IN_7_2)]),
        "Arguments that have another name since 7.2:",
        markdown(("commands", "in 7.0", "since"), [
            (", ".join(map(shown, names.split())), old.split(":")[0], new.split(":")[0])
            for names, old, new in known.RENAMED_IN_7_2]),
        "## Commands that COMPAT.md speaks of",
    ]
    for group in sorted(spoken):
        parts += ["### %s" % group, markdown(("command", "see"), spoken[group])]
    return "\n\n".join(parts) + "\n"
