"""Memory a process has once got from the system, kept for its next step."""

import ctypes
import platform

# mallopt's parameters, from glibc's malloc.h.
TRIM_THRESHOLD, MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Tells glibc not to give freed memory back to the system; returns whether it understood.

    Left alone, it returns every large tensor as soon as it is freed, and the next step pays for each of its pages anew,
    the more the longer histories are. The process keeps its peak memory until it ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(MMAP_MAX, 0)) and bool(libc.mallopt(TRIM_THRESHOLD, -1))
