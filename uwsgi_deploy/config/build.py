"""From the options of all sources to one `Settings`: who wins, what is unknown, what contradicts itself.

The order of strength is command line > environment > framework > files > platform > the framework's defaults >
built-in defaults; within one source later wins, repeatable options append, the weakest source first. With
`legacy-order` there is one list as in uWSGI (framework, environment, command line with its files in place) and the
last one wins. Pure but for the files that `gather` reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from uwsgi_deploy.config.checks import check
from uwsgi_deploy.config.controls import CONTROLS_BY_NAME
from uwsgi_deploy.config.convert import convert, parse_flag
from uwsgi_deploy.config.expand import Expander, Usage
from uwsgi_deploy.config.facts import Facts
from uwsgi_deploy.config.gather import (
    Gathering,
    Layer,
    Record,
    Sources,
    Written,
    first_of_all,
    first_of_strongest,
    is_on,
    reader_of,
)
from uwsgi_deploy.config.known import (
    ALWAYS_SO,
    KNOWN_NAMES,
    PLUGIN_OPTIONS,
    REFUSED,
    SUBJECT_OF,
    is_built_in,
    not_available,
    plugin_names,
    plugin_refusal,
)
from uwsgi_deploy.config.platform import SOCKET_OPTIONS, platform_options
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.schema import BY_NAME, OPTIONS, OptionSpec, did_you_mean, sections
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.sources.env import variable_name
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.types import AsWritten, Placed

UNKNOWN_IS_ERROR = frozenset({Layer.FRAMEWORK, Layer.COMMAND_LINE})
"""Layers whose authors see the message at once and mean this server: a name without meaning stops the start."""

ALTERNATIVES = (SOCKET_OPTIONS, frozenset({"module", "wsgi-file"}))
"""Options of which a framework offers one by default, which makes way for any of them."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The result: settings, and what a person may want to know about them.

    effective: the options that were set, under their first name, after expansion, in the order of the schema.
    origins: option name to the place that set it (places, for a repeatable option).
    warnings: sentences with their place, in the order they were found.
    """

    settings: Settings
    effective: tuple[RawOption, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    show: bool = False

    def located(self, error: ConfigError) -> ConfigError:
        """The error with the place of its option, where all it names is the option."""
        place = self.origins.get(error.origin)
        if place is None:
            return error
        named = error.message if error.message.startswith(f"'{error.origin}'") else f"'{error.origin}': {error.message}"
        found = ConfigError(place, named, hint=error.hint)
        for note in getattr(error, "__notes__", ()):
            found.add_note(note)
        return found


def build(sources: Sources) -> Configuration:
    """Read, resolve, convert and check. Raises ConfigError, with the warnings so far as its notes."""
    warnings: list[str] = []
    try:
        return _build(sources, warnings)
    except ConfigError as error:
        for warning in warnings:
            error.add_note(warning)
        raise


def _build(sources: Sources, warnings: list[str]) -> Configuration:
    usage = Usage()
    gathering = Gathering(sources, usage, warnings)
    records = gathering.records()
    switches = _switches(records)
    ranked = records if gathering.legacy_order else sorted(records, key=lambda record: record.layer)
    variables = first_of_all(ranked) if gathering.legacy_order else first_of_strongest(ranked)
    chosen = Selection(sources.facts, variables, usage, strict=switches["strict"], warnings=warnings)
    chosen.take(ranked)
    chosen.complete(sources)
    settings = Settings(
        **chosen.parts(),
        routes=chosen.distinct(),
        as_written=chosen.as_written(),
        origins=chosen.origins("harakiri", "reports"),
    )
    settings = check(settings, chosen.places(), warnings.append)
    return Configuration(
        settings=settings,
        effective=chosen.effective(),
        origins=MappingProxyType(chosen.places()),
        warnings=tuple(dict.fromkeys(warnings)),
        show=switches["show-config"],
    )


def _switches(records: Iterable[Record]) -> dict[str, bool]:
    """The flags of configuration itself; the strongest layer counts, and in it the last."""
    found = dict.fromkeys(("strict", "show-config"), False)
    for record in sorted(records, key=lambda record: record.layer):
        if record.raw.name in found:
            found[record.raw.name] = is_on(record.raw)
    return found


@dataclass(frozen=True, slots=True)
class Chosen:
    """The value of an option, or one of several, and the option as it was written."""

    raw: RawOption
    value: object
    layer: Layer


class Selection:
    """The value of every option, found by going through all options from the weakest to the strongest."""

    def __init__(
        self, facts: Facts, variables: Mapping[str, str], usage: Usage, *, strict: bool, warnings: list[str]
    ) -> None:
        self._facts = facts
        self._usage = usage
        self._strict = strict
        self._warnings = warnings
        self._chosen: dict[str, list[Chosen]] = {}
        self._written: dict[str, list[str | None]] = {}
        self._expander = Expander(facts.environ, variables.get, reader_of(facts), usage)

    def take(self, records: list[Record]) -> None:
        """Expand, convert and place every record; then judge the names that mean nothing."""
        unknown = [record for record in records if not self._is_understood(record)]
        for record in unknown:
            self._judge_unknown(record)
        self._keep_one_application()

    def complete(self, sources: Sources) -> None:
        """Fill what nobody set: from the platform, then from the framework's defaults."""
        written = {name: [chosen.raw.text for chosen in places] for name, places in self._chosen.items()}
        platform = platform_options(self._facts.environ, written, pid=self._facts.pid)
        self._warnings += platform.warnings
        for raw in platform.options:
            self._place(raw, Layer.PLATFORM)
        taken = set(self._chosen)
        for raw in sources.defaults:
            if not is_option(raw.name):
                raise ConfigError(raw.origin, f"unknown option '{raw.name}'", hint=did_you_mean(raw.name))
            if not taken & _rivals(raw):
                self._place(raw, Layer.DEFAULTS)

    def parts(self) -> dict[str, Any]:
        """The settings classes by their field in `Settings`, filled."""
        values: dict[str, dict[str, object]] = {section: {} for section in sections()}
        for name, places in self._chosen.items():
            spec = BY_NAME[name][0]
            values[spec.section][spec.field] = (
                tuple(chosen.value for chosen in places) if spec.repeatable else places[-1].value
            )
        return {section: settings_class(**values[section]) for section, settings_class in sections().items()}

    def places(self) -> dict[str, str]:
        """Option name to origin."""
        return {
            name: ", ".join(dict.fromkeys(chosen.raw.origin for chosen in places))
            for name, places in self._chosen.items()
        }

    def origins(self, *of: str) -> AsWritten:
        """Option name and origin, of what was set in some sections."""
        return tuple((name, place) for name, place in self.places().items() if BY_NAME[name][0].section in of)

    def distinct(self) -> Placed:
        """The values of options whose names mean different things, by option and in their order."""
        return tuple(
            (chosen.raw.name, chosen.raw.text, chosen.raw.origin)
            for name, places in self._chosen.items()
            if BY_NAME[name][0].distinct
            for chosen in places
        )

    def effective(self) -> tuple[RawOption, ...]:
        """The options that count, as text, in the schema's order."""
        return tuple(chosen.raw for spec in OPTIONS for chosen in self._chosen.get(spec.name, ()))

    def as_written(self) -> AsWritten:
        """Everything that was given, under the names that were used and under those of this server."""
        own: dict[str, list[str | None]] = {}
        for places in self._chosen.values():
            for chosen in places:
                own.setdefault(chosen.raw.name, []).append(chosen.raw.value)
        everything = {**own, **self._written}
        return tuple((name, value) for name, values in everything.items() for value in values)

    def _is_understood(self, record: Record) -> bool:
        """Deal with a record whose name means something; False leaves it to be judged."""
        raw = record.raw
        if is_option(raw.name):
            self._place(self._expanded(raw), record.layer)
        elif raw.name in ("print", "iprint"):
            self._warnings.append(f"{raw.origin}: {self._expanded(raw).text}")
        elif raw.name in PLUGIN_OPTIONS:
            self._accept_plugins(self._expanded(raw))
        elif raw.name in ALWAYS_SO:
            self._accept_always_so(self._expanded(raw))
        elif raw.name in KNOWN_NAMES:
            self._decline(self._expanded_if_possible(raw), record.layer)
        else:
            # A variable that only other variables use is used, too.
            self._expanded_if_possible(raw)
            return raw.name in CONTROLS_BY_NAME or record.written is Written.PLACEHOLDER
        return True

    def _expanded(self, raw: RawOption) -> RawOption:
        value = raw.value
        if value is not None:
            value = self._expander.expand(value, raw.origin)
            if is_option(raw.name):
                self._report_unresolved(raw)
        self._note(raw.name, value)
        return replace(raw, value=value)

    def _note(self, name: str, value: str | None) -> None:
        """Keep what was written: of an option that is set once the strongest value, else all."""
        meaning = BY_NAME.get(name)
        if meaning is None or meaning[0].repeatable:
            self._written.setdefault(name, []).append(value)
            return
        for other in {name, *(other for other in self._written if BY_NAME.get(other) == meaning)}:
            self._written[other] = [value]

    def _expanded_if_possible(self, raw: RawOption) -> RawOption:
        """For values that nothing here will use: they need not be complete."""
        try:
            return self._expanded(raw)
        except ConfigError:
            return raw

    def _report_unresolved(self, raw: RawOption) -> None:
        spec = BY_NAME[raw.name][0]
        for reference in dict.fromkeys(self._expander.unresolved):
            if spec.name == "log-format" and reference.startswith("%"):
                continue  # a field of the request line
            kind = "environment variable" if reference.startswith("$") else "option or variable"
            self._warnings.append(f"{raw.origin}: '{raw.name}' refers to {reference}, which is no {kind} that is set")

    def _place(self, raw: RawOption, layer: Layer) -> None:
        """Let `raw` set its option."""
        spec, inverse = BY_NAME[raw.name]
        converted = convert(spec, raw)
        if converted.warning:
            self._warnings.append(converted.warning)
        value = not converted.value if inverse else converted.value
        if spec.always and value is not True:
            self._warnings.append(f"{raw.origin}: '{raw.name} = {raw.text}' has no effect: {_lowered(spec.help)}")
            return
        if inverse:
            raw = RawOption(spec.name, "true" if value else "false", raw.origin)
        else:
            raw = replace(raw, name=raw.name if spec.distinct else spec.name, value=converted.text)
        chosen = Chosen(raw, value, layer)
        if spec.repeatable:
            self._chosen.setdefault(spec.name, []).append(chosen)
        else:
            self._chosen[spec.name] = [chosen]

    def _accept_plugins(self, raw: RawOption) -> None:
        for plugin in plugin_names(raw.value or ""):
            if not is_built_in(plugin):
                raise ConfigError(raw.origin, plugin_refusal(plugin))
        self._warnings.append(f"{raw.origin}: '{raw.name} = {raw.text}' loads nothing: it is built in")

    def _accept_always_so(self, raw: RawOption) -> None:
        known = ALWAYS_SO[raw.name]
        asked_for = raw.text in known.only if known.only else parse_flag(raw.text) is not False or known.takes_value
        effect = "is not needed" if asked_for else "has no effect"
        self._warnings.append(f"{raw.origin}: '{raw.name} = {raw.text}' {effect}: {known.reason}")

    def _decline(self, raw: RawOption, layer: Layer) -> None:
        """A name of uWSGI's that this version cannot serve."""
        message = not_available(raw.name) or f"'{raw.name}' works in configuration files only"
        if raw.name in SUBJECT_OF and parse_flag(raw.text) is False:
            self._warnings.append(f"{raw.origin}: '{raw.name} = {raw.text}' is so: this version does not have it yet")
            return
        if self._strict or raw.name in REFUSED or raw.name not in SUBJECT_OF or layer in UNKNOWN_IS_ERROR:
            raise ConfigError(raw.origin, message)
        self._warnings.append(f"{raw.origin}: {message}; it is ignored")

    def _judge_unknown(self, record: Record) -> None:
        """A name that is no option: a variable if anything uses it, else most likely a mistake."""
        raw = record.raw
        if raw.name in self._usage.variables:
            return
        if record.layer is Layer.ENVIRONMENT and variable_name(raw.name) in self._usage.environment:
            return
        hint = did_you_mean(raw.name)
        if self._strict or (record.layer in UNKNOWN_IS_ERROR and record.written is Written.PLAINLY):
            raise ConfigError(raw.origin, f"unknown option '{raw.name}'", hint=hint)
        self._warnings.append(f"{raw.origin}: unknown option '{raw.name}' is ignored" + (f" ({hint})" if hint else ""))

    def _keep_one_application(self) -> None:
        """`module` and `wsgi-file` both name the application: the stronger one counts, and of equals the file."""
        module, wsgi_file = (self._chosen.get(name, [None])[-1] for name in ("module", "wsgi-file"))
        if module is None or wsgi_file is None or not module.value or not wsgi_file.value:
            return
        winner, loser = (module, wsgi_file) if module.layer > wsgi_file.layer else (wsgi_file, module)
        del self._chosen[loser.raw.name]
        self._warnings.append(
            f"{loser.raw.origin}: '{loser.raw.name} = {loser.raw.text}' is ignored: "
            f"'{winner.raw.name} = {winner.raw.text}' ({winner.raw.origin}) names the application"
        )


def _rivals(raw: RawOption) -> frozenset[str]:
    """The options that make a default superfluous when one of them is set."""
    name = BY_NAME[raw.name][0].name
    return next((group for group in ALTERNATIVES if name in group), frozenset({name}))


def is_option(name: str) -> bool:
    """Whether a name is an option wherever it is written; short flags are so on the command line only."""
    return name in BY_NAME and not name.startswith("-")


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def changed(configuration: Configuration) -> Iterator[RawOption]:
    """The options whose value is not the built-in default."""
    for raw in configuration.effective:
        spec: OptionSpec = BY_NAME[raw.name][0]
        part = getattr(configuration.settings, spec.section)
        if getattr(part, spec.field) != spec.default:
            yield raw
