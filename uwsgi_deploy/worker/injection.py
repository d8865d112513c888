"""An exception in another thread, which gets it when it runs Python code next (`PyThreadState_SetAsyncExc`).

A thread has room for one. ctypes is imported when that is first needed.
"""

from __future__ import annotations

_used = False


def raise_in(thread: int, kind: type[BaseException]) -> None:
    """Have `kind` raised in the thread with this identity (`threading.get_ident`). Call it with a lock that keeps
    `take_back` out."""
    global _used
    import ctypes

    _used = True
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))


def take_back(thread: int) -> None:
    """Forget an exception that has not been raised in the thread yet."""
    if _used:
        import ctypes

        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)
