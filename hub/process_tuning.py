"""Configures the garbage collector, memory allocator and signals of a process that serves requests or sends
messages."""

import ctypes
import gc
import sys
from contextlib import suppress

from django.conf import settings
from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.db import reset_queries

# the number of new objects after which Python searches for cycles; no request leaves a message body in a cycle
_YOUNG_OBJECTS = 50_000

# glibc's threshold for memory blocks. A block that is larger comes directly from the system, and returns to the system
# when it is freed. By default, glibc raises the threshold to the largest freed block, and keeps such large blocks in
# each of its arenas. A web process starts with 120 MB. After reading bulks of 5 MiB it kept 400 MB, and keeps 190 MB
# with this setting.
_M_MMAP_THRESHOLD = -3
_OF_THE_SYSTEM = 131_072

# How long a thread may compute while other threads of the process wait, in seconds. A request needs Python's
# interpreter lock some twenty times, once after each SQL statement. While another thread computes, for example for a
# batch of ten thousand aliases, the request waits for this interval each time that it needs the lock. Python's default
# of 5 ms would add 100 ms to the request.
_SWITCH_S = 0.0005


def trim() -> None:
    """Configures this process. Call this function once, when all modules that the process needs are loaded."""
    if not settings.DEBUG:
        request_started.disconnect(reset_queries)  # Django keeps a list of queries only for debugging
    request_finished.disconnect(close_caches)  # the cache's connections are pooled, and closing them does nothing
    with suppress(OSError, AttributeError):  # the system has another C library than glibc
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _OF_THE_SYSTEM)
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
