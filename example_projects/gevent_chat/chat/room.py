"""The room: who listens, and what was said last. Everything is in the memory of one process.

With gevent's patches `queue.SimpleQueue` waits without a thread, and nothing switches to another greenlet between two
statements that do not wait: the sets and lists below need no lock.
"""

import json
import queue
import time
from collections import deque

REMEMBERED = 50
# A comment line is sent after so many seconds of silence: it finds out who has left, and keeps proxies from giving up.
SILENCE = 15
# A listener that is this far behind is let go: its browser connects again, and catches up with what is remembered.
MOST_WAITING = 1000


class Room:
    """Who listens, and what was said."""

    def __init__(self):
        self._queues = set()
        self._last = deque(maxlen=REMEMBERED)
        self._id = 0

    @property
    def listeners(self):
        """How many listen at this moment."""
        return len(self._queues)

    def say(self, name, text):
        """Tell everybody; the number of the message."""
        self._id += 1
        content = json.dumps({"name": name, "text": text, "time": int(time.time()), "listeners": self.listeners})
        event = f"id: {self._id}\ndata: {content}\n\n".encode()
        self._last.append((self._id, event))
        for waiting in list(self._queues):
            if waiting.qsize() < MOST_WAITING:
                waiting.put(event)
            else:
                self._queues.discard(waiting)
                waiting.put(None)
        return self._id

    def listen(self, after=0):
        """The events of one listener, from message number `after` on, until it leaves."""
        waiting = queue.SimpleQueue()
        missed = [event for number, event in self._last if number > after]
        self._queues.add(waiting)
        try:
            yield b"retry: 1000\n\n" + b"".join(missed)
            while True:
                try:
                    event = waiting.get(timeout=SILENCE)
                except queue.Empty:
                    event = b": still here\n\n"
                if event is None:
                    break
                yield event
        finally:
            self._queues.discard(waiting)
