"""The lookout: a thread that steps in when the request that a core took for a quick one is not.

A core that expects quick requests does something only for the time of several of them: it keeps the lead, or holds
answers. Waking somebody for each request would cost more than serving it; so the core only *offers* what it holds, and
the lookout, which wakes up every tick, takes the offer up when a request outlasts one.
"""

from __future__ import annotations

from collections.abc import Callable

from uwsgi_deploy.native import Bell, sleep, start_new_thread

# A request that takes longer is not quick, and the next one is served without the lead. Seconds.
QUICK = 0.001
# How often the lookout looks: this often after it was needed, and more seldom the longer it is not, because each look
# waits for the interpreter, which costs the leader a wake-up at every system call meanwhile (with Flask a look each
# millisecond was 2 - 4 % of the processor time).
_TICK = 0.001
_LONGEST_TICK = 0.01
_TICK_GROWTH = 1.02
# How long responses are held while quick requests follow each other. Seconds.
LONGEST_HOLD = 0.001
# Ticks without a quick request after which the lookout goes to sleep.
_PATIENCE = 50


class Lookout:
    """Calls `rescue` for a leader that serves a request which turns out not to be quick. See the module.

    An offer is a list with one item: whoever pops it has the lead, the leader that withdraws it or the lookout.
    """

    def __init__(self, rescue: Callable[[], None]) -> None:
        self._rescue = rescue
        self._offer: list[bool] = []
        self._bell = Bell()
        self._started = False
        self.served = 0

    def offer(self) -> list[bool]:
        """The leader begins to serve with the lead in its hands."""
        offer = self._offer = [True]
        if not self._bell.is_rung:
            self._bell.ring()
            if not self._started:
                self._started = True
                start_new_thread(self._run, ())
        return offer

    def _run(self) -> None:
        served, quiet, tick = -1, 0, _TICK
        while True:
            sleep(tick)
            offer = self._offer
            if offer and served == self.served and withdraw(offer):
                self._rescue()
                tick = _TICK
            elif tick < _LONGEST_TICK:
                tick *= _TICK_GROWTH
            quiet = quiet + 1 if served == self.served else 0
            served = self.served
            if quiet > _PATIENCE:
                self._bell.silence()
                if not self._offer:
                    self._bell.wait()
                quiet, tick = 0, _TICK


def withdraw(offer: list[bool]) -> bool:
    """Take an offer back; False when somebody else has taken it up."""
    try:
        offer.pop()
    except IndexError:
        return False
    return True
