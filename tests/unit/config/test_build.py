"""Who wins, what is unknown, and what is said about it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.config.support import configure, from_ini, refusal, refusal_of_ini
from uwsgi_deploy.config.build import changed
from uwsgi_deploy.config.checks import require_socket
from uwsgi_deploy.config.facts import Facts
from uwsgi_deploy.config.known import NOT_YET
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ConfigError

STRENGTH = ("default", "platform", "file", "framework", "environment", "command line")
THREADS = {source: number for number, source in enumerate(STRENGTH, start=2)}


def sources(tmp_path: Path, given: tuple[str, ...], option: str, values: Mapping[str, object]) -> dict[str, Any]:
    """Keyword arguments for `configure` in which every source of `given` sets the option."""
    (tmp_path / "app.ini").write_text(f"[uwsgi]\n{option} = {values['file']}\n" if "file" in given else "[uwsgi]\n")
    environ: dict[str, str] = {}
    if "environment" in given:
        environ[f"UWSGI_{option.upper().replace('-', '_')}"] = str(values["environment"])
    if "platform" in given:
        environ["WEB_CONCURRENCY"] = str(values["platform"])
    return {
        "facts": Facts(cwd=str(tmp_path), environ=environ),
        "framework": {option: values["framework"]} if "framework" in given else {},
        "defaults": {option: values["default"]} if "default" in given else {},
    }


@pytest.mark.parametrize("given", [pair for size in (1, 2, 6) for pair in itertools.combinations(STRENGTH, size)])
def test_the_strongest_source_wins(tmp_path: Path, given: tuple[str, ...]) -> None:
    """command line > environment > framework > files > platform > defaults of a framework's command."""
    arguments = ["--processes", str(THREADS["command line"])] if "command line" in given else []
    # The command line stands before the file: position does not matter.
    configuration = configure(*arguments, "--ini", "app.ini", **sources(tmp_path, given, "processes", THREADS))
    assert configuration.settings.workers.processes == THREADS[given[-1]]


def test_within_one_source_later_wins(tmp_path: Path) -> None:
    assert configure("-p", "2", "--workers", "3").settings.workers.processes == 3
    assert from_ini(tmp_path, "processes = 10\nworkers = 8\n").settings.workers.processes == 8


def test_repeatable_options_append_files_first_command_line_last(tmp_path: Path) -> None:
    values = {source: f"/{source.replace(' ', '-')}" for source in STRENGTH}
    given = ("file", "framework", "environment")
    configuration = configure("--pp", "/cli", "--ini", "app.ini", **sources(tmp_path, given, "pythonpath", values))
    assert configuration.settings.application.pythonpath == ("/file", "/framework", "/environment", "/cli")
    assert configuration.origins["pythonpath"] == (
        "app.ini:2, settings.UWSGI, environment UWSGI_PYTHONPATH, command line"
    )


@pytest.mark.parametrize(
    ("arguments", "processes"),
    [
        (["--legacy-order", "--ini", "app.ini", "-p", "4"], 4),
        (["--legacy-order", "-p", "4", "--ini", "app.ini"], 3),
        (["-p", "4", "--ini", "app.ini"], 4),
    ],
)
def test_legacy_order_is_uwsgis_single_list(tmp_path: Path, arguments: list[str], processes: int) -> None:
    """The table of the reference: position decides, and files beat the environment."""
    (tmp_path / "app.ini").write_text("[uwsgi]\nprocesses = 3\n")
    facts = Facts(cwd=str(tmp_path), environ={"UWSGI_PROCESSES": "9"})
    assert configure(*arguments, facts=facts).settings.workers.processes == processes


def test_legacy_order_may_be_asked_for_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "app.ini").write_text("[uwsgi]\nprocesses = 3\nname = file\nmodule = %(name)\n")
    facts = Facts(cwd=str(tmp_path), environ={"UWSGI_LEGACY_ORDER": "1"})
    configuration = configure("-S", "name=cli", "-p", "4", "--ini", "app.ini", facts=facts)
    assert configuration.settings.workers.processes == 3
    assert configuration.settings.application.module == "cli"


def test_defaults_make_way_for_any_alternative() -> None:
    defaults = {"http-socket": "127.0.0.1:8000", "module": "site.wsgi:application", "chdir": "/project"}
    settings = configure("--socket", ":1", "--wsgi-file", "x.py", defaults=defaults).settings
    assert settings.sockets.http_socket == ()
    assert settings.application.module == ""
    assert settings.application.chdir == "/project"


def test_a_framework_command_cannot_default_what_does_not_exist() -> None:
    assert refusal(defaults={"modul": "x"}) == "runuwsgi: unknown option 'modul' (did you mean 'module'?)"


def test_inverse_options() -> None:
    assert configure("-L").settings.logs.log_requests is False
    assert configure("--disable-logging=false").settings.logs.log_requests is True
    assert configure("--no-defer-accept").settings.sockets.defer_accept is False


def test_nothing_at_all_is_the_defaults() -> None:
    configuration = configure()
    assert configuration.settings == Settings()
    assert configuration.warnings == ()
    assert configuration.origins == {}


# ------------------------------------------------------------------------------------------------- unknown names


def test_unknown_names_on_the_command_line_are_errors() -> None:
    assert refusal("--wrokers", "4") == "command line: unknown option '--wrokers' (did you mean '--workers'?)"


def test_unknown_names_in_framework_settings_are_errors() -> None:
    message = "settings.UWSGI: unknown option 'wrokers' (did you mean 'workers'?)"
    assert refusal(framework={"wrokers": 4}) == message


def test_unknown_names_in_files_are_warnings(tmp_path: Path) -> None:
    assert from_ini(tmp_path, "vaccum = true\nname = x\n").warnings == (
        "app.ini:2: unknown option 'vaccum' is ignored (did you mean 'vacuum'?)",
        "app.ini:3: unknown option 'name' is ignored",
    )


def test_unknown_names_in_the_environment_are_warnings() -> None:
    assert configure(environ={"UWSGI_PROCESS": "4"}).warnings == (
        "environment UWSGI_PROCESS: unknown option 'process' is ignored (did you mean 'processes'?)",
    )


@pytest.mark.parametrize("strict", ["strict = true\n", "strict\n"])
def test_under_strict_they_are_errors(tmp_path: Path, strict: str) -> None:
    message = "app.ini:3: unknown option 'vaccum' (did you mean 'vacuum'?)"
    assert refusal_of_ini(tmp_path, strict + "vaccum = 1\n") == message
    assert refusal_of_ini(tmp_path, strict, environ={"UWSGI_PROCESS": "1"}).startswith("environment UWSGI_PROCESS")


def test_strict_can_be_switched_off_by_a_stronger_source(tmp_path: Path) -> None:
    assert from_ini(tmp_path, "strict = true\nvaccum = 1\n", "--strict=false").warnings


def test_strict_needs_a_word_that_is_understood(tmp_path: Path) -> None:
    assert refusal_of_ini(tmp_path, "strict = perhaps\n") == "app.ini:2: 'strict' must be true or false, not 'perhaps'"


def test_a_key_that_is_used_is_a_variable(tmp_path: Path) -> None:
    text = "strict = true\nbase = %(root)/app\nroot = /srv\nchdir = %(base)\n"
    configuration = from_ini(tmp_path, text)
    assert configuration.settings.application.chdir == "/srv/app"
    assert configuration.warnings == ()


def test_environment_variables_that_a_file_uses_are_no_mistakes(tmp_path: Path) -> None:
    environ = {"UWSGI_NUMBER_OF_THREADS": "7", "UWSGI_OWN": "x", "UWSGI_UNUSED": "1"}
    text = "threads = $(UWSGI_NUMBER_OF_THREADS)\nif-env = UWSGI_OWN\nmodule = %(own)\nendif =\n"
    configuration = from_ini(tmp_path, text, environ=environ)
    assert configuration.settings.workers.threads == 7
    assert configuration.settings.application.module == "x"
    assert configuration.warnings == ("environment UWSGI_UNUSED: unknown option 'unused' is ignored",)


def test_short_flags_are_for_the_command_line(tmp_path: Path) -> None:
    configuration = from_ini(tmp_path, "-p = 4\n")
    assert configuration.settings.workers.processes == 1
    assert "unknown option '-p'" in configuration.warnings[0]


def test_errors_carry_the_warnings_so_far(tmp_path: Path) -> None:
    """`wrokers` explains why there is no socket better than the error does."""
    with pytest.raises(ConfigError) as refused:
        from_ini(tmp_path, "vaccum = 1\nprocesses = 0\n")
    assert refused.value.__notes__ == ["app.ini:2: unknown option 'vaccum' is ignored (did you mean 'vacuum'?)"]


# ------------------------------------------------------------------------------------------------------ variables


def test_set_is_a_line_and_set_placeholder_a_variable(tmp_path: Path) -> None:
    configuration = from_ini(
        tmp_path, "module = %(app).%(part)\nset-ph = part=wsgi\n", "--set", "app=shop", "-S", "processes=4"
    )
    assert configuration.settings.application.module == "shop.wsgi"
    assert configuration.settings.workers.processes == 4
    assert configuration.warnings == ()


def test_a_variable_of_the_command_line_is_stronger_than_the_files(tmp_path: Path) -> None:
    settings = from_ini(tmp_path, "app = a\nmodule = %(app)\n", "--set", "app=b").settings
    assert settings.application.module == "b"


def test_of_one_source_the_first_value_is_the_variable(tmp_path: Path) -> None:
    """As in uWSGI, which files rely on."""
    assert from_ini(tmp_path, "app = a\nmodule = %(app)\napp = b\n").settings.application.module == "a"


def test_unused_variables_that_were_set_explicitly_do_not_stop_the_start() -> None:
    assert configure("--set-ph", "stage=prod").warnings == ()
    assert configure("--set", "stage=prod").warnings == ("command line: unknown option 'stage' is ignored",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "processes"], "'set' needs NAME=VALUE, not 'processes'"),
        (["--set", "=4"], "'set' needs NAME=VALUE, not '=4'"),
        (["--set-ph", "processes=4"], "'processes' is an option, it cannot be a placeholder"),
        (["--set-ph", "harakiri=4"], "'harakiri' is an option, it cannot be a placeholder"),
    ],
)
def test_bad_assignments(arguments: list[str], message: str) -> None:
    assert refusal(*arguments).startswith(f"command line: {message}")


def test_undefined_references_stay_with_a_warning(tmp_path: Path) -> None:
    configuration = from_ini(tmp_path, "http-socket = :$(PORT)\nchdir = %(nope)/x\n")
    assert configuration.settings.sockets.http_socket == (":$(PORT)",)
    assert configuration.warnings == (
        "app.ini:2: 'http-socket' refers to $(PORT), which is no environment variable that is set",
        "app.ini:3: 'chdir' refers to %(nope), which is no option or variable that is set",
    )


def test_fields_of_the_request_line_are_no_variables(tmp_path: Path) -> None:
    configuration = from_ini(tmp_path, "log-format = %(addr) %(uri) - $(NOPE)\n")
    assert configuration.settings.logs.log_format == "%(addr) %(uri) - $(NOPE)"
    assert len(configuration.warnings) == 1


def test_cores_times_two(tmp_path: Path) -> None:
    assert from_ini(tmp_path, "processes = %(%k * 2)\n", cpus=4).settings.workers.processes == 8


def test_print_is_a_line_of_the_log(tmp_path: Path) -> None:
    assert from_ini(tmp_path, "print = Hello %(who)\nwho = you\n").warnings == ("app.ini:2: Hello you",)


# --------------------------------------------------------------------------------------------- options of uWSGI's


@pytest.mark.parametrize("name", ["mule-harakiri", "sslrouter", "stats", "file-serve-mode", "reaper", "ugreen"])
def test_options_that_are_not_here_yet(tmp_path: Path, name: str) -> None:
    sentence = f"'{name}' is an option of uWSGI that this version does not have yet"
    (warning,) = from_ini(tmp_path, f"{name} = 30\n").warnings
    assert warning.startswith(f"app.ini:2: {sentence}")
    assert warning.endswith("; it is ignored")
    (warning,) = configure(environ={f"UWSGI_{name.upper().replace('-', '_')}": "30"}).warnings
    assert sentence in warning
    assert refusal(f"--{name}", "30").startswith(f"command line: {sentence}")
    assert refusal(framework={name: 30}).startswith(f"settings.UWSGI: {sentence}")
    assert refusal_of_ini(tmp_path, f"strict = 1\n{name} = 30\n").startswith(f"app.ini:3: {sentence}")


@pytest.mark.parametrize("value", ["false", "0", "off"])
def test_switching_off_what_is_not_here_is_so(tmp_path: Path, value: str) -> None:
    """`offload-threads = 0`: defaults that somebody wrote out are no reason to worry, even under strict."""
    (notice,) = from_ini(tmp_path, f"strict = true\nvhost = {value}\n").warnings
    assert notice == f"app.ini:3: 'vhost = {value}' is so: this version does not have it yet"


def test_values_of_ignored_options_are_not_resolved(tmp_path: Path) -> None:
    (warning,) = from_ini(tmp_path, "flock = /x/@(exec://date +%%Y).lock\n").warnings
    assert "'flock' is an option of uWSGI" in warning


@pytest.mark.parametrize("line", ["log-maxsize = 1m", "log-backupname = old.log", "log-truncate = true"])
def test_what_is_about_a_log_file_without_one(tmp_path: Path, line: str) -> None:
    """It would do nothing: that is said."""
    (warning,) = from_ini(tmp_path, f"{line}\n").warnings
    assert warning == f"app.ini:2: '{line.split()[0]}' is about a log file, and none is named (logto)"
    assert not from_ini(tmp_path, f"{line}\nlogto = app.log\n").warnings


@pytest.mark.parametrize("line", ["pivot-root = /jail", "namespace = /jail", "yaml = x.yaml", "exit"])
def test_options_that_cannot_be_ignored(tmp_path: Path, line: str) -> None:
    assert refusal_of_ini(tmp_path, line).startswith(f"app.ini:2: '{line.partition(' ')[0]}' is refused: ")


@pytest.mark.parametrize(
    ("line", "notice"),
    [
        ("thunder-lock = true", "'thunder-lock = true' is not needed: workers never wake up together"),
        ("thunder-lock = false", "'thunder-lock = false' has no effect"),
        ("close-on-exec", "'close-on-exec = true' is not needed"),
        ("py-call-osafterfork = true", "'py-call-osafterfork = true' is not needed: Python's own fork hooks"),
        ("wsgi-env-behaviour = holy", "'wsgi-env-behaviour = holy' is not needed: every request gets a fresh environ"),
        ("wsgi-env-behavior = cheat", "'wsgi-env-behavior = cheat' has no effect: every request gets a fresh environ"),
        ("plugins-dir = /usr/lib/uwsgi", "'plugins-dir = /usr/lib/uwsgi' is not needed"),
        ("plugins = python3, http", "'plugins = python3, http' loads nothing: it is built in"),
        ("plugin = python39", "'plugin = python39' loads nothing: it is built in"),
        ("need-plugin = /usr/lib/uwsgi/python3_plugin.so", "loads nothing: it is built in"),
        ("enable-threads = false", "'enable-threads = false' has no effect: threads of the application run, always"),
    ],
)
def test_what_is_always_so_is_accepted_with_a_notice(tmp_path: Path, line: str, notice: str) -> None:
    configuration = from_ini(tmp_path, f"strict = true\n{line}\n")
    (warning,) = configuration.warnings
    assert warning.startswith("app.ini:3: ")
    assert notice in warning
    assert configuration.settings == Settings()


def test_what_is_always_so_needs_no_notice_when_it_is_asked_for(tmp_path: Path) -> None:
    assert from_ini(tmp_path, "enable-threads = true\nsingle-interpreter = true\n").warnings == ()


@pytest.mark.parametrize("plugin", ["php", "sentry", "emperor_pg"])
def test_other_plugins_are_refused(tmp_path: Path, plugin: str) -> None:
    message = refusal_of_ini(tmp_path, f"plugins = python3,{plugin}\n")
    assert message == (
        f"app.ini:2: the uWSGI plugin '{plugin}' cannot be loaded: "
        "this server is written in Python and has no C plugins"
    )


def test_the_table_of_missing_options_says_each_once() -> None:
    names = [name for names in NOT_YET.values() for name in names.split()]
    assert sorted(names) == sorted(set(names))


# --------------------------------------------------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("processes = 0", "'processes' must be at least 1, not 0"),
        ("threads = 0", "'threads' must be at least 1, not 0"),
        ("env = DJANGO_SETTINGS_MODULE", "'env' needs NAME=value, not 'DJANGO_SETTINGS_MODULE'"),
        ("env = =x", "'env' needs NAME=value, not '=x'"),
        ("processes = four", "'processes' needs a whole number, not 'four'"),
    ],
)
def test_impossible_values_name_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    assert refusal_of_ini(tmp_path, f"# first\n{line}\n").startswith(f"app.ini:3: {message}")


def test_several_processes_need_a_master(tmp_path: Path) -> None:
    configuration = from_ini(tmp_path, "master = false\nprocesses = 2\n")
    assert configuration.settings.workers.master is True
    assert configuration.warnings == ("app.ini:2: several processes need a master; it is switched on",)


def test_one_process_may_do_without(tmp_path: Path) -> None:
    assert from_ini(tmp_path, "master = false\n").settings.workers.master is False


def test_of_two_applications_of_one_source_the_file_counts(tmp_path: Path) -> None:
    configuration = from_ini(tmp_path, "wsgi-file = a.py\nmodule = b\n")
    assert (configuration.settings.application.wsgi_file, configuration.settings.application.module) == ("a.py", "")
    assert configuration.warnings == (
        "app.ini:3: 'module = b' is ignored: 'wsgi-file = a.py' (app.ini:2) names the application",
    )


def test_of_two_applications_the_stronger_source_counts(tmp_path: Path) -> None:
    settings = from_ini(tmp_path, "wsgi-file = a.py\n", "--module", "b").settings
    assert (settings.application.wsgi_file, settings.application.module) == ("", "b")


def test_without_an_address_nothing_starts() -> None:
    with pytest.raises(ConfigError, match="the -s/--socket option is missing"):
        require_socket(configure("--module", "app").settings)


@pytest.mark.parametrize("option", ["--http-socket", "--socket"])
def test_any_address_will_do(option: str) -> None:
    require_socket(configure(option, ":8000").settings)


def test_what_changed_leaves_out_what_equals_the_default(tmp_path: Path) -> None:
    configuration = from_ini(tmp_path, "processes = 1\nthreads = 2 ; two\nsocket = :1\nsocket = :2\n", "-L")
    assert [(raw.name, raw.value, raw.origin) for raw in changed(configuration)] == [
        ("socket", ":1", "app.ini:4"),
        ("socket", ":2", "app.ini:5"),
        ("threads", "2", "app.ini:3"),
        ("log-requests", "false", "command line"),
    ]


def test_fifos_have_ten_slots_and_a_reader(tmp_path: Path) -> None:
    ten = "".join(f"master-fifo = {number}.fifo\n" for number in range(10))
    assert len(from_ini(tmp_path, ten).settings.control.master_fifo) == 10
    assert "'master-fifo' has 10 slots, no more" in refusal_of_ini(tmp_path, f"{ten}master-fifo = more\n")
    assert "'master-fifo' needs a master" in refusal_of_ini(tmp_path, "master = false\nmaster-fifo = a.fifo\n")
    assert from_ini(tmp_path, "master = false\nprocesses = 2\nmaster-fifo = a.fifo\n")


@pytest.mark.parametrize("word", ["off", "false", "None", "0"])
def test_no_control_socket_in_any_words(tmp_path: Path, word: str) -> None:
    """And without a master only that can be asked for."""
    assert from_ini(tmp_path, f"master = false\ncontrol-socket = {word}\n").settings.control.control_socket == "off"
    assert "'control-socket' needs a master" in refusal_of_ini(tmp_path, "master = false\ncontrol-socket = a.sock\n")


def test_a_mistake_that_is_found_late_has_its_place(tmp_path: Path) -> None:
    """What only the server's start can know names its option; the configuration knows where that was written."""
    configuration = from_ini(tmp_path, "processes = 2\nhttp-socket = :8000\n")
    late = ConfigError("http-socket", "port 99999 is above 65535", hint="choose another")
    assert str(configuration.located(late)) == "app.ini:3: 'http-socket': port 99999 is above 65535 (choose another)"
    named = ConfigError("http-socket", "'http-socket' is wrong")
    assert str(configuration.located(named)) == "app.ini:3: 'http-socket' is wrong"
    elsewhere = ConfigError("chroot", "only root may")
    assert configuration.located(elsewhere) is elsewhere
