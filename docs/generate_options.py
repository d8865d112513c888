"""Write docs/options.md from the schema, so that the reference page cannot say anything the server does not do.

python docs/generate_options.py            write the page
python docs/generate_options.py --check    exit with 1 if the page on disk is not what would be written
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from uwsgi_deploy.config.controls import CONTROLS, Control
from uwsgi_deploy.config.schema import OPTIONS, Kind, OptionSpec, sections

PAGE = Path(__file__).with_name("options.md")

INTRODUCTION = """\
# Options

Generated from the settings dataclasses by `docs/generate_options.py`; edit those, not this page.

Every option has one name and may have aliases (uWSGI's). It is written `--name value` on the command line,
`name = value` in an ini file, `UWSGI_NAME` with underscores in the environment, and `"name": value` in Django's `UWSGI`
and Flask's `app.config["UWSGI"]`. How these are combined is told in [configuration.md](configuration.md).

Sizes take `k`, `m`, `g` (`64k`); times take `ms`, `s`, `m`, `h`, `d` (`1m`, `0.5`), and a plain number means the unit
that the table names.
"""

TITLES = {"http": "HTTP", "tls": "TLS", "gateway": "The http router"}

VALUE_OF_KIND = {
    Kind.FLAG: "",
    Kind.TEXT: "text",
    Kind.INTEGER: "number",
    Kind.SECONDS: "seconds",
    Kind.MILLISECONDS: "milliseconds",
    Kind.BYTES: "bytes",
    Kind.KIBIBYTES: "KiB",
    Kind.MEBIBYTES: "MiB",
    Kind.MODE: "octal mode",
}


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_controls(), *_options()])


def _options() -> Iterator[str]:
    subjects = sections()
    for section, specs in groupby(OPTIONS, key=lambda spec: spec.section):
        summary = (subjects[section].__doc__ or "").strip().splitlines()[0]
        yield f"## {TITLES.get(section, section.capitalize())}\n"
        yield f"{summary}\n"
        yield from _table([_row(spec) for spec in specs])


def _row(spec: OptionSpec) -> tuple[str, str, str, str]:
    names = [spec.name, *spec.aliases, *spec.short_flags]
    if spec.inverse:
        names.append("*not:* " + ", ".join(f"`{name}`" for name in spec.inverse))
    return ", ".join(_code(name) for name in names), _value(spec), _default(spec), _cell(spec.help)


def _value(spec: OptionSpec) -> str:
    value = " or ".join(_code(choice) for choice in spec.choices) or VALUE_OF_KIND[spec.kind]
    if spec.optional_value is not None and spec.kind is not Kind.FLAG:
        value += f" (alone: {_code(spec.optional_value)})"
    return value


def _default(spec: OptionSpec) -> str:
    """The built-in default as one would write it."""
    if spec.kind is Kind.FLAG:
        return "on" if spec.default else "off"
    if spec.default in (None, "", ()):
        return ""
    if spec.kind is Kind.MODE:
        return f"{spec.default:o}"
    return f"{spec.default:g}" if isinstance(spec.default, float) else str(spec.default)


def _controls() -> Iterator[str]:
    yield "## Configuration itself\n"
    yield "Read before any of the others; they say what is read and how.\n"
    yield from _table([_control_row(control) for control in CONTROLS])


def _control_row(control: Control) -> tuple[str, str, str, str]:
    names = (control.name, *control.aliases, *control.short_flags)
    return ", ".join(_code(name) for name in names), _cell(control.value_name), "", _cell(control.help)


def _table(rows: list[tuple[str, str, str, str]]) -> Iterator[str]:
    yield "| option | value | default | |"
    yield "|---|---|---|---|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _code(name: str) -> str:
    return name if name.startswith("*") else f"`{name}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write or check; the exit code."""
    wanted = page()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        print("docs/options.md is not fresh; run: python docs/generate_options.py", file=sys.stderr)
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
