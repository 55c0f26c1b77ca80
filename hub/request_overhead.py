"""Removes work that Django and Python do around each request and that a hub does not need.

Processing a message in one set-based transaction costs less than that work; see docs/decisions/0014 for the figures.
The meaning of a request stays the same.
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

_YOUNG_OBJECTS = 50_000  # new objects before Python looks for cycles; no request leaves a cycle with a body

# glibc's threshold for memory blocks that come directly from the system, and return to it when they are freed. By
# default glibc raises it to the largest block that was ever freed, and keeps such blocks for each few threads. A web
# process starts with 120 MB. After reading bulks of 5 MiB it kept 400 MB, and keeps 190 MB with this setting.
_M_MMAP_THRESHOLD = -3
_OF_THE_SYSTEM = 131_072

_parameters_of = lru_cache(maxsize=512)(parse_header_parameters)


# Django's attributes for a body: its bytes, the read position, and the parsed forms.
_OF_THE_BODY = ("_body", "_stream", "_post", "_files")


class LeanRequest(WSGIRequest):
    """Parses each content type once, because DFSPs send the same few. Frees a body with its request, even if other
    objects still refer to the request: a page's messages do, in a cycle."""

    def close(self) -> None:
        super().close()
        for name in _OF_THE_BODY:
            self.__dict__.pop(name, None)
        self.environ.pop("wsgi.input", None)  # granian closes a connection whose body will not be read

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
    """Call this once in a process that serves or sends, when everything that it needs is loaded."""
    if not settings.DEBUG:
        request_started.disconnect(reset_queries)  # Django keeps a list of queries only for debugging
    request_finished.disconnect(close_caches)  # the cache's connections are pooled, and closing them does nothing
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _OF_THE_SYSTEM)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
