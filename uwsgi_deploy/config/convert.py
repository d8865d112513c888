"""Text to value, by the kind of the option's field. Pure; every refusal names the place and what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.schema import UNIT_OF_KIND, Kind, OptionSpec
from uwsgi_deploy.errors import ConfigError

FALSE_WORDS = frozenset({"false", "off", "no", "0"})
# uWSGI takes every other word for true, `none` and `disabled` included; these are the ones that mean it.
TRUE_WORDS = frozenset({"", "true", "on", "yes", "t", "y", "enable", "enabled"})

_COMMENT = re.compile(r"(?P<value>.*?)(?P<comment>\s*[;#].*)", re.DOTALL)
_SPACED_COMMENT = re.compile(r"\S\s+[;#]")
_INTEGER = re.compile(r"\+?\d+")
_QUANTITY = re.compile(r"\+?(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<suffix>[a-z]*)", re.IGNORECASE)
_NEGATIVE = re.compile(r"-\s*\d")
_MODE = re.compile(r"0?o?[0-7]{3}")

NO_COMMENTS = "ini files have no comments after values"

# Free text, and sections of shell commands, in which ` ;` and ` #` are as ordinary as any other sign.
FREE_TEXT = frozenset({"log-format", "env"})
FREE_SECTIONS = frozenset({"hooks", "daemons"})


@dataclass(frozen=True, slots=True)
class Converted:
    """A value, the text it was read from, and what the person should know about that."""

    value: object
    text: str
    warning: str = ""


def convert(spec: OptionSpec, raw: RawOption) -> Converted:
    """The value that `raw` gives to `spec`; for a repeatable option one element. Raises ConfigError."""
    text = _text(spec, raw)
    value = _parse(spec, text)
    if value is not None:
        return Converted(value, text, _comment_warning(spec, raw, text))
    commented = _COMMENT.fullmatch(text)
    if commented and commented["value"] and spec.kind is not Kind.TEXT:
        bare = commented["value"]
        value = _parse(spec, bare)
        if value is not None:
            return Converted(value, bare, _ignored_comment(raw, bare, commented["comment"].strip()))
    raise ConfigError(raw.origin, *_refusal(spec, raw, text))


def _text(spec: OptionSpec, raw: RawOption) -> str:
    """The text to convert: what was written, or what the option means without a value."""
    if spec.optional_value is not None and raw.value in (None, "", "1", "true"):
        return spec.optional_value
    if raw.value is None and spec.kind is not Kind.FLAG:
        raise ConfigError(raw.origin, f"'{raw.name}' needs a value", hint=EXAMPLES[spec.kind].format(name=raw.name))
    return (raw.value or "").strip()


def parse_flag(text: str) -> bool | None:
    """uWSGI's words for a flag; an empty text is true, as a bare line is; None when the text is neither."""
    word = text.lower()
    if word in FALSE_WORDS:
        return False
    if word in TRUE_WORDS or _INTEGER.fullmatch(word):
        return int(word) != 0 if word.isdigit() else True
    return None


def _parse_text(spec: OptionSpec, text: str) -> str | None:
    if spec.repeatable and not text:
        return None
    return text if not spec.choices or text in spec.choices else None


def _parse_integer(_spec: OptionSpec, text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def _parse_quantity(spec: OptionSpec, text: str) -> int | float | None:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    suffix = match["suffix"].lower()
    factors = {"": 1.0, **dict(UNIT_OF_KIND[spec.kind].suffixes)}
    if spec.kind in (Kind.BYTES, Kind.KIBIBYTES, Kind.MEBIBYTES) and suffix not in factors:
        suffix = suffix.removesuffix("b").removesuffix("i")  # 64kb and 64KiB are 64k
    if suffix not in factors:
        return None
    quantity = float(match["number"]) * factors[suffix]
    return quantity if spec.kind is Kind.SECONDS else round(quantity)


def _parse_mode(_spec: OptionSpec, text: str) -> int | None:
    return int(text.replace("o", ""), 8) if _MODE.fullmatch(text) else None


PARSERS: Mapping[Kind, Callable[[OptionSpec, str], object]] = {
    Kind.FLAG: lambda _spec, text: parse_flag(text),
    Kind.TEXT: _parse_text,
    Kind.INTEGER: _parse_integer,
    Kind.SECONDS: _parse_quantity,
    Kind.MILLISECONDS: _parse_quantity,
    Kind.BYTES: _parse_quantity,
    Kind.KIBIBYTES: _parse_quantity,
    Kind.MEBIBYTES: _parse_quantity,
    Kind.MODE: _parse_mode,
}

NEEDS: Mapping[Kind, str] = {
    Kind.FLAG: "must be true or false",
    Kind.TEXT: "needs a value",
    Kind.INTEGER: "needs a whole number",
    Kind.SECONDS: "needs a time",
    Kind.MILLISECONDS: "needs a time",
    Kind.BYTES: "needs a size",
    Kind.KIBIBYTES: "needs a size in KiB",
    Kind.MEBIBYTES: "needs a size in MiB",
    Kind.MODE: "needs a file mode",
}

EXAMPLES: Mapping[Kind, str] = {
    Kind.FLAG: "write '{name} = true' or '{name} = false'",
    Kind.TEXT: "write '{name} = VALUE'",
    Kind.INTEGER: "such as 4",
    Kind.SECONDS: "seconds such as 30, or 500ms, 30s, 5m, 1h",
    Kind.MILLISECONDS: "milliseconds such as 500, or 2s",
    Kind.BYTES: "bytes such as 65536, or 64k, 10m",
    Kind.KIBIBYTES: "KiB such as 1024, or 64k, 1m",
    Kind.MEBIBYTES: "MiB such as 256, or 256m, 1g",
    Kind.MODE: "three octal digits such as 660",
}


def _parse(spec: OptionSpec, text: str) -> object:
    return PARSERS[spec.kind](spec, text)


def _refusal(spec: OptionSpec, raw: RawOption, text: str) -> tuple[str]:
    """The sentence for a value that cannot be read."""
    if spec.choices:
        return (f"'{raw.name}' must be one of {', '.join(spec.choices)}, not '{text}'",)
    if spec.kind is not Kind.FLAG and _NEGATIVE.match(text):
        return (f"'{raw.name}' must not be negative: '{text}'",)
    example = EXAMPLES[spec.kind].format(name=raw.name)
    return (f"'{raw.name}' {NEEDS[spec.kind]}, not '{text}'; {example}",)


def _ignored_comment(raw: RawOption, value: str, comment: str) -> str:
    return f"{raw.origin}: '{raw.name}' is read as {value}; {comment!r} is ignored, {NO_COMMENTS}"


def _comment_warning(spec: OptionSpec, raw: RawOption, text: str) -> str:
    """Text keeps what looks like a comment, as in uWSGI; that is rarely what was meant."""
    free = spec.name in FREE_TEXT or spec.section in FREE_SECTIONS
    if spec.kind is not Kind.TEXT or free or not _SPACED_COMMENT.search(text):
        return ""
    return f"{raw.origin}: the value of '{raw.name}' is all of '{text}'; {NO_COMMENTS}"
