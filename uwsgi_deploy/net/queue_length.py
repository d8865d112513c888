"""How many clients wait in a listening socket's queue, as the kernel counts them."""

from __future__ import annotations

import os
import socket
from struct import Struct

# struct tcp_info (linux/tcp.h): eight bytes of flags, then 32-bit numbers, of which a listening socket's fifth,
# tcpi_unacked, is the length of its queue.
_TCP_INFO = Struct("=8x4II")

# linux/sock_diag.h, linux/unix_diag.h.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_UDIAG_SHOW_RQLEN = 0x10
_UNIX_DIAG_RQLEN = 4
_TCP_LISTEN = 10
_HEADER = Struct("=IHHII")  # length, type, flags, sequence, port
_QUESTION = Struct("=BBHIIIII")  # family, protocol, padding, states, inode, what to show, cookie (2)
_ANSWER_SIZE = 16
_ATTRIBUTE = Struct("=HH")  # length, type
_LENGTHS = Struct("=II")  # of a listening socket: waiting, at most


def queue_length(listener: socket.socket) -> int | None:
    """Clients that are connected and not accepted yet; None when the kernel does not tell."""
    try:
        if listener.family == socket.AF_UNIX:
            return _of_unix_socket(os.fstat(listener.fileno()).st_ino)
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        return int(_TCP_INFO.unpack(info)[4])
    except OSError:
        return None


def _of_unix_socket(inode: int) -> int | None:
    question = _QUESTION.pack(socket.AF_UNIX, 0, 0, 1 << _TCP_LISTEN, inode, _UDIAG_SHOW_RQLEN, 0xFFFFFFFF, 0xFFFFFFFF)
    header = _HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(0.1)
        kernel.send(header + question)
        answer = kernel.recv(4096)
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None  # an error: the socket lives in another network namespace
    at = _HEADER.size + _ANSWER_SIZE
    while at + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if kind == _UNIX_DIAG_RQLEN:
            return int(_LENGTHS.unpack_from(answer, at + _ATTRIBUTE.size)[0])
        at += max(length + 3 & ~3, _ATTRIBUTE.size)
    return None
