"""Stacks of a process that cannot help: a worker that hangs in C code and holds the interpreter still shows them.

`faulthandler`'s signal handler needs no interpreter: it writes the stacks of all threads, in many small pieces, to a
descriptor that was prepared before. Here that is a socket which all workers share, and which keeps the pieces apart and
tells the reader who wrote each (unix(7), SO_PASSCRED). `StackChannel` is both ends: a template calls `register` and its
workers inherit the handler; the master asks with `ask` and collects with `read` and `take`.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import socket
from collections.abc import Mapping
from select import POLLOUT, poll  # bound before an application can replace it (gevent)
from struct import Struct

# A real-time signal, which applications hardly ever use.
DUMP_SIGNAL = int(signal.SIGRTMIN) + 8

# Has a worker whose cores are greenlets show those, which faulthandler cannot see: heard when its hub comes to run.
GREENLETS_SIGNAL = DUMP_SIGNAL + 1

_CREDENTIALS = Struct("iii")  # struct ucred: pid, uid, gid
_ANCILLARY = socket.CMSG_SPACE(_CREDENTIALS.size)
_PIECE = 4096
# Milliseconds that a worker waits for room for each piece.
_LONGEST_TELLING = 20
# A hundred threads with a hundred frames each, which is where faulthandler stops.
_MOST_BYTES = 1 << 20
_BIT = 1 << (DUMP_SIGNAL - 1)
_GREENLETS_BIT = 1 << (GREENLETS_SIGNAL - 1)
# Where the server calls the application: all frames further out are the same in every worker.
_ENTRANCE = re.compile(r"/uwsgi_deploy/wsgi/lifecycle\.py\", line \d+ in handle_request$")
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+) \(most recent call first\):$")


_registered: socket.socket | None = None
"""Where this process shows its stacks."""


def tell(text: str) -> None:
    """Write for the master that has asked this process; what it does not take in a moment is dropped."""
    if _registered is None:
        return
    data = text.encode("utf-8", "replace")
    poller = poll()
    poller.register(_registered.fileno(), POLLOUT)
    for start in range(0, len(data), _PIECE):
        try:
            if not poller.poll(_LONGEST_TELLING):
                return
            _registered.send(data[start : start + _PIECE], socket.MSG_DONTWAIT)
        except OSError:
            return


class StackChannel:
    """See the module. `descriptors` (receiver, sender) of a former image of this process may be adopted."""

    def __init__(self, adopted: tuple[int, int] | None = None) -> None:
        if adopted is None:
            self._receiver, self._sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        else:
            self._receiver, self._sender = (socket.socket(fileno=descriptor) for descriptor in adopted)
        self._receiver.setblocking(False)
        self._pieces: dict[int, list[bytes]] = {}

    @property
    def descriptors(self) -> tuple[int, int]:
        """Receiver and sender."""
        return self._receiver.fileno(), self._sender.fileno()

    def register(self) -> None:
        """Show this process's stacks, and those of its children, whenever `DUMP_SIGNAL` comes."""
        global _registered
        _registered = self._sender
        faulthandler.register(DUMP_SIGNAL, file=self._sender.fileno(), all_threads=True)

    # --- the master ---------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """Readable when there is something to `read`; the master's alone."""
        return self._receiver.fileno()

    def ask(self, pid: int) -> bool:
        """Have a process show its stacks; False when it has no handler, which the signal would kill. Raises OSError."""
        state = _signal_state(pid)
        if state is not None and not state["SigCgt"] & _BIT:
            return False
        self._pieces[pid] = []
        os.kill(pid, DUMP_SIGNAL)
        return True

    def ask_for_greenlets(self, pid: int) -> bool:
        """Have a process that was asked show its greenlets, too; False when it has no handler. Raises OSError."""
        state = _signal_state(pid)
        if state is not None and not state["SigCgt"] & _GREENLETS_BIT:
            return False
        os.kill(pid, GREENLETS_SIGNAL)
        return True

    def read(self) -> None:
        """Take in what has been written."""
        while True:
            try:
                piece, ancillary, _, _ = self._receiver.recvmsg(_PIECE, _ANCILLARY)
            except BlockingIOError:
                return
            if not piece:
                return
            pid = next(
                (_CREDENTIALS.unpack(data)[0] for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS), 0
            )
            pieces = self._pieces.get(pid)
            if pieces is not None and len(pieces) * 8 < _MOST_BYTES:  # else nobody asked, or it is absurdly long
                pieces.append(piece)

    def is_whole(self, pid: int) -> bool:
        """Whether the stacks of `pid` are all here: some are, and its signal handler has returned."""
        if not self._pieces.get(pid):
            return False
        state = _signal_state(pid)
        if state is None or (state["SigPnd"] | state["ShdPnd"] | state["SigBlk"]) & _BIT:
            return False
        self.read()  # what came between the last look and the return of the handler
        return True

    def is_asked(self, pid: int) -> bool:
        """Whether `pid` was asked, by whomever, and its stacks were not taken yet."""
        return pid in self._pieces

    def peek(self, pid: int) -> str:
        """The stacks of `pid` as far as they came, for a second reader: they are not forgotten."""
        return b"".join(self._pieces.get(pid, ())).decode("utf-8", "replace")

    def take(self, pid: int) -> str:
        """The stacks of `pid` as far as they came, as faulthandler writes them; they are forgotten here."""
        return b"".join(self._pieces.pop(pid, ())).decode("utf-8", "replace")

    def close(self) -> None:
        """Close both ends."""
        self._receiver.close()
        self._sender.close()


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal, which would end it otherwise."""
    state = _signal_state(pid)
    return state is not None and bool(state["SigCgt"] & 1 << (number - 1))


def _signal_state(pid: int) -> dict[str, int] | None:
    """The signal masks of a process's main thread (proc(5)); None when they cannot be read. A process handles its
    signals there, and a signal is blocked while its handler runs."""
    try:
        with open(f"/proc/{pid}/status", "rb") as status:
            lines = status.read().split(b"\n")
    except OSError:
        return None
    return {
        name.decode("ascii"): int(value, 16)
        for name, _, value in (line.partition(b":") for line in lines)
        if name in (b"SigPnd", b"ShdPnd", b"SigBlk", b"SigCgt")
    }


def arrange(stacks: str, names: Mapping[int, str]) -> str:
    """Stacks of threads with their names in the headings, those that have one first, in the order of `names`.

    Frames outside of a request are left out.

    names: `threading.get_ident()` of a thread to what it is called.
    """
    sections: dict[int, list[str]] = {}
    section: list[str] = []
    inside = True
    for line in stacks.splitlines():
        if heading := _THREAD.match(line):
            section = sections.setdefault(int(heading[1], 16), [])
            inside = True
        elif line.strip() and inside:
            inside = _ENTRANCE.search(line) is None
            section += [line] if inside else []
    order = [*(thread for thread in names if thread in sections), *(t for t in sections if t not in names)]
    text = []
    for thread in order:
        text.append(f"{names.get(thread, 'another thread')} (0x{thread:x}), most recent call first:")
        text += sections[thread]
    return "\n".join(text)
