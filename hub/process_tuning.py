"""What Django and Python do around each request for others, and a hub does without.

A message that changes the world in one set-based transaction costs less than what surrounds it; see
docs/decisions/0014 for the figures. Nothing here changes what a request means.
"""

import codecs
import ctypes
import gc
from contextlib import suppress
from functools import lru_cache

from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.signals import request_finished, request_started
from django.db import reset_queries
from django.utils.http import parse_header_parameters

_YOUNG_OBJECTS = 50_000  # that come into being before Python looks for cycles; a request leaves none with a body in it

# glibc's name for the size from which a piece of memory is the system's own, and goes back to it when it is freed. Left
# alone, glibc moves it up to the largest piece that was ever freed, and keeps such pieces for each few threads: a web
# process that had read bulks of 5 MiB kept 400 MB, and keeps 190 so, from 120 at its start.
_M_MMAP_THRESHOLD = -3
_OF_THE_SYSTEM = 131_072

_parameters_of = lru_cache(maxsize=512)(parse_header_parameters)


# What Django keeps of a body: its octets, how far they were read, and the forms made of them.
_OF_THE_BODY = ("_body", "_stream", "_post", "_files")


class LeanRequest(WSGIRequest):
    """DFSPs send the same few content types: each is taken apart once. A body ends with its request, whoever names the
    request still: a page's messages do, in a ring."""

    def close(self) -> None:
        super().close()
        for name in _OF_THE_BODY:
            self.__dict__.pop(name, None)
        self.environ.pop("wsgi.input", None)  # granian closes a connection whose body nobody will read

    def _set_content_type_params(self, meta: dict[str, str]) -> None:
        self.content_type, parameters = _parameters_of(meta.get("CONTENT_TYPE", ""))
        self.content_params = dict(parameters)
        charset = parameters.get("charset")
        if charset is not None:
            with suppress(LookupError):
                codecs.lookup(charset)
                self.encoding = charset


class LeanHandler(WSGIHandler):
    request_class = LeanRequest


def trim() -> None:
    """To be called once, in a process that serves or sends, when it has loaded all that it needs."""
    if not settings.DEBUG:
        request_started.disconnect(reset_queries)  # Django keeps a list of queries only when it debugs
    request_finished.disconnect(close_caches)  # the cache's connections are pooled, and closing them does nothing
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _OF_THE_SYSTEM)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
