"""Rules of internal routing as they are written: what they mean, their order, and every mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.support import configure, from_ini, refusal, refusal_of_ini
from uwsgi_deploy.config.routing import CONDITIONS, Always, Chain, Condition, Search, StatusIn, chains_of
from uwsgi_deploy.config.routing_actions import ACTIONS, NOT_NEEDED, REFUSED_ACTIONS, Family
from uwsgi_deploy.config.routing_text import FUNCTIONS, Function, Group, Text, Variable, text_of
from uwsgi_deploy.image import Image
from uwsgi_deploy.wsgi.routing import actions, conditions, text


def chain(*rules: tuple[str, str], family: Family = Family.REQUEST) -> Chain:
    return chains_of(tuple((name, value, f"app.ini:{number}") for number, (name, value) in enumerate(rules, 1)))[family]


def test_all_names_of_a_family_are_one_chain_in_their_order(tmp_path: Path) -> None:
    configuration = from_ini(
        tmp_path,
        "route-host = ^www redirect:/x\nroute = ^/a last:\nroute-if = empty:${QUERY_STRING} log:1\n"
        "error-route-status = 404 log:2\nroute-label = here\nroute-run = log:3\n",
    )
    assert configuration.settings.routes == (
        ("route-host", "^www redirect:/x", "app.ini:2"),
        ("route", "^/a last:", "app.ini:3"),
        ("route-if", "empty:${QUERY_STRING} log:1", "app.ini:4"),
        ("route-label", "here", "app.ini:6"),
        ("route-run", "log:3", "app.ini:7"),
        ("error-route-status", "404 log:2", "app.ini:5"),
    )
    assert configuration.warnings == ()


def test_sources_follow_each_other_as_for_any_repeatable_option(tmp_path: Path) -> None:
    configuration = configure(
        *("--route-run", "log:4"),
        framework={"route": ["^/a log:1", "^/b log:1"], "route_uri": "^/c log:2"},
        environ={"UWSGI_ROUTE_HOST": "^d log:3"},
    )
    assert [(name, value[-5:]) for name, value, _ in configuration.settings.routes] == [
        ("route", "log:1"),
        ("route", "log:1"),
        ("route-uri", "log:2"),
        ("route-host", "log:3"),
        ("route-run", "log:4"),
    ]


def test_shown_and_in_uwsgi_opt_by_their_own_names() -> None:
    configuration = configure("--route", "^/a log:1", "--route-uri", "^/b log:2", "--route", "^/c log:3")
    assert [raw.name for raw in configuration.effective] == ["route", "route-uri", "route"]
    written = [pair for pair in configuration.settings.as_written if pair[0].startswith("route")]
    assert sorted(written) == [("route", "^/a log:1"), ("route", "^/c log:3"), ("route-uri", "^/b log:2")]


def test_rules_travel_to_the_server() -> None:
    settings = configure("--route", "^/ä log:1").settings
    assert Image.decode(Image(settings).encode()).settings.routes == settings.routes


def test_what_a_rule_looks_at() -> None:
    rules = chain(
        ("route", r"^/(\d+)$ log:$1"),
        ("route-host", "^www log:"),
        ("route-run", "log:hello world"),
        ("route-if", "equal:${HTTP_X};a:b log:"),
        ("route-if-not", "re:${PATH_INFO};^/(a) log:$1"),
    ).rules
    tests = [rule.test for rule in rules]
    assert isinstance(tests[0], Search)
    assert tests[0].variable == "PATH_INFO"
    assert isinstance(tests[1], Search)
    assert tests[1].variable == "HTTP_HOST"
    assert tests[2] == Always()
    assert rules[2].texts == (Text(("hello world",)),)
    assert tests[3] == Condition("equal", (Text((Variable("HTTP_X"),)), Text(("a:b",))), negated=False)
    assert isinstance(tests[4], Condition)
    assert (tests[4].name, tests[4].negated) == ("regexp", True)


@pytest.mark.parametrize(("written", "span"), [("404", (404, 404)), ("5xx", (500, 599))])
def test_status(written: str, span: tuple[int, int]) -> None:
    (rule,) = chain(("error-route-status", f"{written} log:x"), family=Family.ERROR).rules
    assert rule.test == StatusIn(*span)


def test_text_with_references() -> None:
    parts = text_of("a$0b${HTTP_HOST}${cookie[sid]}$${x.y}é$", 1).parts
    assert parts == (
        "a",
        Group(0),
        "b",
        Variable("HTTP_HOST"),
        Function("cookie", "sid"),
        "$",
        Variable("x.y"),
        "Ã©$",
    )


def test_labels_and_goto() -> None:
    made = chain(("route", "^/a goto:b"), ("route-run", "log:x"), ("route-label", "b"), ("route-run", "log:y"))
    assert made.labels == {"b": 2}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("route = ^/x", "'route': needs a test, a blank and ACTION:ARGUMENT, not '^/x'"),
        ("route = ( log:x", "'route': '(' is no regular expression: missing ), unterminated subpattern at position 0"),
        ("route = [[:digit:]] log:x", "'route': '[[:digit:]]' means something else in PCRE: Possible nested set"),
        ("route = a{,3} log:x", "'route': 'a{,3}' means something else in PCRE: write {0,3} for '{,3}'"),
        ("route = ^/x redirct:/y", "'route': there is no action 'redirct' (did you mean 'redirect'?)"),
        ("route = ^/x chdir:/", "'route': the action 'chdir' is refused: the working directory belongs to the whole"),
        ("route = ^/x cache:key=1", "'route': the action 'cache' is refused: this server has no cache"),
        ("route = ^/x http:127.0.0.1:1", "'route': the action 'http' is refused: rules do not pass requests on"),
        ("route = ^/x log:$1", "'route': '$1' is a group that the rule's regular expression does not have"),
        ("route-run = log:$1", "'route-run': '$1' is what a regular expression has matched, and this rule has none"),
        ("route-run = log:${X", "'route-run': '${X' has no end: write ${NAME}"),
        ("route-run = log:${cokie[x]}", "there is no function 'cokie' for '${cokie[x]}' (did you mean 'cookie'?)"),
        ("route-run = log:${metric[x]}", "'${metric[x]}' cannot be known: there are no metrics in this server"),
        ("route-run = log:${uwsgi[x]}", "'${uwsgi[x]}' is not known; there are pid, status, uuid, wid"),
        ("route-run = log:${httptime[x]}", "'${httptime[x]}' needs seconds from now, or nothing"),
        ("route-run = log:${math[a;b]}", "'${math[a;b]}' is no calculation with numbers"),
        ("route-run = log:${}", "'${}' is neither ${NAME} nor ${function[argument]}"),
        ("route-if = equals:a;b log:x", "there is no condition 'equals' (did you mean 'equal'?)"),
        ("route-if = equal:a log:x", "'equal' needs two texts with a semicolon between them, not 'a'"),
        ("route-if = lord:a log:x", "the condition 'lord' is refused: there are no legions here"),
        ("route-if = ipv4in:${REMOTE_ADDR};10.0.0.300 log:x", "'ipv4in' needs a network such as 10.0.0.0/8"),
        ("route-if = regexp:a;( log:x", "'(' is no regular expression"),
        ("route = ^/x goto:nowhere", "'goto' leads to no label: there is no 'nowhere'"),
        ("route-label = a\nroute = ^/x goto:a", "'goto' leads forward only, and the label 'a' comes before it"),
        ("route-label = a\nroute-label = a", "'a' is a label already"),
        ("route = ^/x break:99 No", "'break' needs a status such as 403 or '413 Too Large', not '99 No'"),
        ("route = ^/x break:${X}", "'break' needs a status"),
        ("route = ^/x last:now", "'last' takes no argument, not 'now'"),
        ("route = ^/x addvar:A", "'addvar' needs NAME=VALUE, not 'A'"),
        ("route = ^/x addvar:wsgi.input=1", "'addvar' cannot set 'wsgi.input', which is the server's own"),
        ("route = ^/x addvar:a b=1", "'addvar' needs the name of a request variable, not 'a b'"),
        ("route = ^/x logvar:=1", "'logvar' needs NAME=VALUE"),
        ("route = ^/x +:A", "'+' needs VARIABLE,NUMBER, not 'A'"),
        ("route = ^/x addheader:Foo", "'addheader' needs NAME: VALUE, not 'Foo'"),
        ("route = ^/x addheader:F oo: 1", "'addheader' needs the name of a header, not 'F oo'"),
        (
            "route = ^/x addheader:Content-Length: 1",
            "'addheader' cannot add 'Content-Length': how a response is framed",
        ),
        ("route = ^/x harakiri:soon", "'harakiri' needs seconds, not 'soon'"),
        ("route = ^/x setmethod:A B", "'setmethod' needs a method, not 'A B'"),
        ("route = ^/x setscheme:ftp", "'setscheme' needs http or https, not 'ftp'"),
        ("route = ^/x redirect:", "'redirect' needs an argument"),
        ("route = ^/(.*) static:$1", "'static' needs a path that begins with a directory, not '$1'"),
        ("route = ^/(.*) static:/$1", "'static' needs a path that begins with a directory, not '/$1'"),
        ("route = ^/(.*) file:filename=,status=200", "'file' needs a file"),
        ("route = ^/(.*) file:filename=/x,state=200", "'file' knows filename=, status= with commas between them"),
        ("route = ^/(.*) file:filename=/x,status=x", "'file' needs a status"),
        ("route = ^/x expires:soon", "'expires' knows filename=, unix=, value= with commas between them, not 'soon'"),
        ("route = ^/x basicauth:Staging", "'basicauth' needs REALM,USER:PASSWORD or REALM,FILE, not 'Staging'"),
        ('route = ^/x basicauth:a"b,c:d', "'basicauth' needs a realm without quotation marks"),
        ("route = ^/x basicauth-next:a,c:d", "'basicauth-next' lets everybody in unless a 'basicauth' follows it"),
        (
            "route = ^/x clearheaders:",
            "'clearheaders' comes too early here, it can be used in error-route, response-route",
        ),
        ("error-route-run = rewrite:/x", "'rewrite' comes too late here, it can be used in route"),
        ("response-route-run = redirect:/x", "'redirect' comes too late here, it can be used in route, error-route"),
        ("final-route-run = addheader:A: b", "'addheader' comes too late here"),
        ("final-route-run = break:404", "'break' with a status comes too late here: the response is there"),
        ("error-route-status = 4x log:x", "needs a status such as 404 or 5xx, not '4x'"),
    ],
)
def test_mistakes_stop_the_start_with_their_place(tmp_path: Path, line: str, sentence: str) -> None:
    message = refusal_of_ini(tmp_path, f"route = ^/before log:before\n{line}\n")
    assert sentence in message
    assert message.startswith(f"app.ini:{3 + line.count(chr(10))}: ")


def test_a_rule_on_the_command_line_has_that_place() -> None:
    assert refusal("--route", "^/x nothing:").startswith("command line: 'route': there is no action 'nothing'")


def test_a_misspelt_option_has_a_neighbour() -> None:
    assert "did you mean '--route-host'?" in refusal("--route-hots", "^/x log:")


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_what_is_so_anyway_is_a_note(name: str) -> None:
    configuration = configure("--route", f"^/x {name}:")
    (note,) = configuration.warnings
    assert note == f"command line: 'route': '{name}' is not needed: {NOT_NEEDED[name]}"
    assert chains_of(configuration.settings.routes)[Family.REQUEST].rules == ()


def test_what_people_write() -> None:
    """From the configurations of real projects: understood without a word."""
    configuration = configure(
        *("--route", "^/readiness$ donotlog:", "--route", "^/healthz$ donotlog:", "--route", ".* last:"),
        *("--error-route-uri", "^/static/ addheader:Cache-Control: no-cache"),
        *("--route-uri", "^/static/ addheader:Vary: Accept-Encoding"),
        *("--route-if", "equal:${HTTP_X_FORWARDED_PROTO};http redirect-permanent:https://${HTTP_HOST}${REQUEST_URI}"),
        *("--route-if", "ishigher:${CONTENT_LENGTH};15000000 break:413 Request Entity Too Large"),
        environ={"UWSGI_ROUTE_HOST": "^(?!localhost:8000$) break:400"},
    )
    assert configuration.warnings == ()
    chains = chains_of(configuration.settings.routes)
    assert (len(chains[Family.REQUEST].rules), len(chains[Family.ERROR].rules)) == (7, 1)


def test_tables_are_total() -> None:
    """What can be written can be done, and nothing has two meanings."""
    assert set(actions.ACTIONS) | {"goto"} == set(ACTIONS)
    assert set(text.FUNCTIONS) == FUNCTIONS
    assert set(conditions.CONDITIONS) == set(CONDITIONS.values())
    assert set(ACTIONS).isdisjoint(REFUSED_ACTIONS)
    assert set(NOT_NEEDED).isdisjoint({*ACTIONS, *REFUSED_ACTIONS})
