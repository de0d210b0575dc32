"""Sockets that are cut off from the other side for a while, as by a broken network."""

import ctypes
import socket
import sys

import pytest

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27

#: For tests that cut sockets off.
needs_filters = pytest.mark.skipif(sys.platform != "linux", reason="needs socket filters")


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_Filter)))


def cut_off(sock: socket.socket) -> None:
    """Let the kernel drop whatever arrives at a socket, so that the other side gets no acknowledgement either."""
    drop_all = _Filter(0x06, 0, 0, 0)
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(_Program(1, ctypes.pointer(drop_all))))


def reconnect(sock: socket.socket) -> None:
    """End what `cut_off` began: what the other side still sends arrives."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
