"""Feed codecs random, broken and lying input, whole and in pieces, and compare what they make of it.

    python -m tests.fuzz                            every codec for a minute of processor time
    python -m tests.fuzz http1 uwsgi --minutes 10
    python -m tests.fuzz scgi --seed 7              the same cases again

A line for each codec with its number of cases; exit code 1 with the bytes of the first case that goes wrong: a crash, a
hang, a difference between feeding whole, once more, byte by byte and in pieces, or a result that cannot be
(tests/fuzz/subjects.py).
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.hunt import hunt
from tests.fuzz.subjects import SUBJECTS


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("codecs", nargs="*", metavar="CODEC", help=", ".join(SUBJECTS))
    parser.add_argument("--minutes", type=float, default=1.0, help="of processor time, for each codec")
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    arguments = parser.parse_args()
    if unknown := set(arguments.codecs) - set(SUBJECTS):
        parser.error(f"no codec here: {', '.join(sorted(unknown))} (there are {', '.join(SUBJECTS)})")
    seed = time.time_ns() % 1_000_000_000 if arguments.seed is None else arguments.seed
    is_right = True
    for name in arguments.codecs or SUBJECTS:
        end = time.process_time() + arguments.minutes * 60
        cases, finding = hunt(SUBJECTS[name], seed, lambda _cases, end=end: time.process_time() < end)
        print(f"{name:10s} {cases:9d} cases, seed {seed}: {finding or 'all read alike'}", flush=True)
        is_right &= finding is None
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
