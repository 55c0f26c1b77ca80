"""Writes and checks percent-encoded paths of resources (FSPIOP API v1.1, section 5.1.6.11; RFC 3986, section 3.3)."""

import re
from urllib.parse import quote, unquote

_WRITTEN = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+)+\Z")
_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*\Z")


def path_of(*segments: str) -> str:
    """Returns the percent-encoded path of a resource, such as /parties/EMAIL/ada@example.org. Kitovu does not encode
    the characters @, : and +."""
    return "".join("/" + quote(segment, safe="@:+") for segment in segments)


def is_sendable(written: str) -> bool:
    """Returns whether the text can be the target of an HTTP request. A target consists of visible ASCII characters."""
    return written.isascii() and written.isprintable() and " " not in written


def encodes(written: str, path: str) -> bool:
    """Returns whether `written` is a percent-encoded form of `path`.

    The function decodes and compares each segment separately. A decoded %2F looks like a separator of segments, but
    belongs to one segment.
    """
    if _WRITTEN.match(written) is None:
        return False
    try:
        segments = [unquote(segment, errors="strict") for segment in written.split("/")]
    except UnicodeDecodeError:
        return False
    return segments == path.split("/")


def is_query(text: str) -> bool:
    """Returns whether the text is a valid query string. The text must not begin with the question mark that separates a
    path from its query."""
    return _QUERY.match(text) is not None
