"""Pages of files that nobody needs any more; in a process of its own, whose memory is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import mmap, sys
from pathlib import Path
from uwsgi_deploy.process import prctl
from uwsgi_deploy.process.pages import forget_mapped_files

def rss_of_files():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssFile:")))

prctl.become_subreaper()  # loads ctypes
with open(sys.argv[1], "r+b") as file:
    written = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    read = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
written[:5] = b"mine!"
assert read[:5] == b"file!"
before = rss_of_files()
forget_mapped_files()
after = rss_of_files()
assert after < before - 1024, (before, after)
assert written[:5] == b"mine!"
assert read[:5] == b"file!"
import json, decimal, ssl  # code that was given back runs, and libraries load as before
assert json.loads("[1]") == [1]
print("fine")
"""


def test_mapped_files_are_given_back_and_found_again(tmp_path: Path) -> None:
    """Half of the interpreter goes, what was written stays, and everything works afterwards."""
    content = tmp_path / "content"
    content.write_bytes(b"file!" * 1000)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(content)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.stdout, result.returncode) == ("fine\n", 0), result.stderr
