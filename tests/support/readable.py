"""A launcher whose processes can read the interpreter as any user, also one in root's home directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support.server import LAUNCHER

# In a mount namespace of its own: the closed directory gets an open twin, in which its directories are as before.
SCRIPT = """
set -e
closed=$1; shift
mount --make-rprivate /
mount --rbind "$closed" /mnt
mount -t tmpfs -o mode=755 none "$closed"
for path in /mnt/* /mnt/.[!.]*; do
    [ -d "$path" ] || continue
    mkdir "$closed/${path##*/}"
    mount --rbind "$path" "$closed/${path##*/}"
done
cd "$PWD"
exec "$@"
"""


def readable_launcher() -> tuple[str, ...]:
    """The usual launcher, with an interpreter that everybody can read."""
    interpreter = Path(sys.base_prefix)
    closed = [path for path in (interpreter, *interpreter.parents) if not path.stat().st_mode & 0o001]
    if not closed or os.geteuid() != 0:
        return LAUNCHER
    return ("unshare", "--mount", "sh", "-c", SCRIPT, "sh", str(closed[-1]), *LAUNCHER)
