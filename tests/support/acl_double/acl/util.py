"""``acl.util`` of the double: addresses of the process's own memory."""

from __future__ import annotations

import ctypes


def bytes_to_ptr(data):
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value


def numpy_to_ptr(array):  # as the real one does: of whatever the array is a view of, contiguous or not
    return array.ctypes.data


def ptr_to_bytes(address, size):
    return ctypes.string_at(address, size)
