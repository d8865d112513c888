"""Lets gevent's hub run while it is imported, that is before the workers are forked, and leaves a greenlet behind."""

from __future__ import annotations

import os
import threading
import time

from green import application as application

BORN_IN = os.getpid()


def announce() -> None:
    while os.getpid() == BORN_IN:  # gevent lets a greenlet live on in processes that are forked, unlike a thread
        time.sleep(0.01)
    os.write(2, f"green: the greenlet of the import runs in worker {os.getpid()}\n".encode())


threading.Thread(target=announce, daemon=True).start()
time.sleep(0.05)
