"""What faulthandler writes, read."""

from __future__ import annotations

import faulthandler
import sys
import tempfile
import threading

from uwsgi_deploy.shared.stack_text import END_OF_GREENLETS, FoundStack, Line, greenlets, inner, parse

TEXT = """\
Thread 0x00007f3344b856c0 (most recent call first):
  File "/usr/lib/python3.11/re/__init__.py", line 166 in match
  File "/srv/my app/search.py", line 43 in find
  File "/x/uwsgi_deploy/wsgi/lifecycle.py", line 60 in handle_request
  File "/x/uwsgi_deploy/worker/worker.py", line 200 in serve

Current thread 0x00007f3344b85abc (most recent call first):
  File "<string>", line ??? in <module>
"""


def test_threads_and_their_frames() -> None:
    first, second = parse(TEXT)
    assert (first.thread, second.thread) == (0x7F3344B856C0, 0x7F3344B85ABC)
    assert first.frames[1] == Line("/srv/my app/search.py", 43, "find")
    assert second.frames == (Line("<string>", 0, "<module>"),)


def test_frames_of_a_request_end_at_the_entrance() -> None:
    """Of a thread that runs no request all are kept."""
    first, second = parse(TEXT)
    assert [frame.function for frame in inner(first.frames)] == ["match", "find"]
    assert inner(second.frames) == second.frames


def test_text_that_breaks_off() -> None:
    """In a heading, in a frame, or before anything."""
    assert list(parse("")) == []
    assert list(parse('  File "x", line 1 in y\n')) == []
    (first,) = parse(TEXT[:130])
    assert len(first.frames) == 1


def test_this_process() -> None:
    """The real thing, with more than one thread."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        stacks = {stack.thread: stack.frames for stack in parse(file.read())}
    over.set()
    thread.join()
    assert stacks[threading.get_ident()][0].function == "test_this_process"
    assert "wait" in [frame.function for frame in stacks[thread.ident or 0]]


def test_greenlets_at_the_same_place_are_told_once() -> None:
    """Those of cores with their numbers, the application's own counted."""
    here = sys._getframe()
    text = greenlets([(3, here), (17, here)], [here, here])
    assert text.rstrip().endswith(END_OF_GREENLETS)
    cores, others = list(parse(TEXT + text))[2:]
    assert (cores.thread, cores.cores, cores.others) == (0, (3, 17), 0)
    assert (others.cores, others.others) == ((), 2)
    assert cores.frames == others.frames
    assert cores.frames[0].function == "test_greenlets_at_the_same_place_are_told_once"


def test_so_many_places_that_they_are_cut() -> None:
    """The end is told all the same."""

    def deep(level: int) -> str:
        return deep(level - 1) if level else greenlets([(core, sys._getframe(core)) for core in range(90)], [])

    text = deep(95)
    assert text.rstrip().endswith(END_OF_GREENLETS)
    assert all(isinstance(found, FoundStack) for found in parse(text))
