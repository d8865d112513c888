"""Write anew what workers use most: the names in `uwsgi_deploy/often_used.py`, the functions in `worker/often_run.py`.

    python benchmarks/often_used.py      with Django and Flask installed; then look at `git diff` and at memory.py

Needed when the server's code has changed a lot; what is missing in these files, or there in vain, costs memory and
nothing else. Each application is started as a server, asked a few times, and stopped; everything that ran in its
workers since their fork is used. What runs in the server's own threads is not seen, so that is named below.
"""

from __future__ import annotations

import ast
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

from measuring import REPOSITORY, Server, ask, connect

APPLICATIONS = ("small", "blog", "flasked")
OUTSIDE = ("recording", "small", "blog", "flasked")
# Applications may look at the functions that they are given, and at their annotations.
SEEN = ("uwsgi_deploy.api.functions", "uwsgi_deploy.api.module")
THREADS = {
    "uwsgi_deploy.worker.watchdog": ("Watchdog._run", "Watchdog.look", "Watchdog._run_errand"),
    "uwsgi_deploy.worker.engines.lookout": ("Lookout._run",),
    "uwsgi_deploy.native": ("Bell.wait", "Bell.silence"),
}
WIDTH = 118

Used = tuple[str, str, tuple[str, ...]]


def main() -> int:
    used: dict[tuple[str, str], tuple[str, ...]] = {}
    for application in APPLICATIONS:
        print(f"{application} ...", flush=True)
        for module, function, words in recorded(application):
            if module not in OUTSIDE:
                used[module, function] = words
    package = REPOSITORY / "uwsgi_deploy"
    places = [f"{module}:{name}" for module, name in used if "<" not in name and module not in SEEN]
    places += [f"{module}:{name}" for module, names in THREADS.items() for name in names]
    names = [word for words in used.values() for word in words if word.isascii()]
    names += [word for module in THREADS for word in words_of(module)]
    replace(package / "often_used.py", names)
    replace(package / "worker" / "often_run.py", places)
    return 0


def recorded(application: str) -> Iterator[Used]:
    """What ran in the workers of an application's server, in the order of its first use."""
    with tempfile.TemporaryDirectory() as folder:
        to = str(Path(folder) / "used")
        with Server("--processes", "2", module="recording", RECORDED=application, RECORD_TO=to) as server:
            for _ in range(8):
                with connect(server.address) as connection:
                    for number in range(3):
                        ask(connection, close=number == 2)
        for file in sorted(Path(folder).iterdir()):
            for line in file.read_text().splitlines():
                yield ast.literal_eval(line)


def words_of(module: str) -> Iterator[str]:
    """All names of attributes and functions in a module's code."""
    source = (REPOSITORY / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id


def replace(path: Path, words: list[str]) -> None:
    """Put words, each once, between the first pair of lines in a file that end and begin with three quotes."""
    before, _, rest = path.read_text(encoding="utf-8").partition('r"""\n')
    _, _, after = rest.partition('"""')
    lines = textwrap.wrap(" ".join(dict.fromkeys(words)), WIDTH, break_long_words=False, break_on_hyphens=False)
    path.write_text(f'{before}r"""\n' + "\n".join(lines) + f'\n"""{after}', encoding="utf-8")
    print(f"{path.relative_to(REPOSITORY)}: {len(dict.fromkeys(words))}")


if __name__ == "__main__":
    raise SystemExit(main())
