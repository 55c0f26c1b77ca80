"""JSON that two readers can not understand in two ways (RFC 8259, FSPIOP API v1.1, section 3.1.5).

Python's own reader keeps the last of two equal keys, takes NaN, and lets through text that no database stores.
"""

import hashlib
import json
import math
from decimal import Decimal
from typing import Any, NoReturn

from fspiop.errors import ErrorCode, FspiopError

MAX_DEPTH = 32
_MOST_DIGITS = 18  # of a whole number; an amount has fewer, and a 64-bit integer holds them
_MOST_NUMBER_CHARACTERS = 40


def loads(raw: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """Reads a body; FspiopError 3101 says what is wrong with it."""
    try:
        value: object = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        _refuse("the body is not UTF-8")
    except json.JSONDecodeError as error:
        _refuse(f"the body is not JSON: {error.msg} at character {error.pos}")
    except RecursionError:
        _refuse(f"the body is nested deeper than {max_depth}")
    # Only an escape can bring a NUL or half a character in, and only brackets can nest: most bodies need no walk.
    if b"\\u" in raw or raw.count(b"{") + raw.count(b"[") > max_depth:
        _walk(value, max_depth)
    return value


def canonical(value: object) -> bytes:
    """Sorted keys, no spaces, UTF-8 unescaped: the form in which reference validators check a signature."""
    return _ENCODER.encode(value).encode("utf-8")


def digest(value: object) -> bytes:
    """SHA-256 of the canonical form: the same for two texts of one message."""
    return hashlib.sha256(canonical(value)).digest()


def _refuse(reason: str) -> NoReturn:
    raise FspiopError(ErrorCode.MALFORMED_SYNTAX, reason) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _refuse("the body has a key twice")
    return found


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS + text.startswith("-"):
        _refuse("the body has a number that is too large")
    return int(text)


def _fraction(text: str) -> float:
    number = float(text) if len(text) <= _MOST_NUMBER_CHARACTERS else math.inf
    if math.isinf(number):
        _refuse("the body has a number that is too large")
    # A float, as a signature's canonical form writes it; the FSPIOP API has its amounts as text. What is read says all
    # that was written: two amounts, or two messages, never become one by rounding.
    if Decimal(repr(number)) != Decimal(text):
        _refuse("the body has a number of more digits than can be kept; write it as text")
    return number


def _constant(text: str) -> NoReturn:
    _refuse(f"the body has {text}, which is not JSON")


def _walk(value: object, max_depth: int) -> None:
    left: list[tuple[object, int]] = [(value, 1)]
    while left:
        node, depth = left.pop()
        if isinstance(node, str):
            _check_text(node)
            continue
        if not isinstance(node, dict | list):
            continue
        if depth > max_depth:
            _refuse(f"the body is nested deeper than {max_depth}")
        if isinstance(node, dict):
            left.extend((key, depth) for key in node)
            left.extend((child, depth + 1) for child in node.values())
        else:
            left.extend((child, depth + 1) for child in node)


def _check_text(text: str) -> None:
    if "\0" in text:
        _refuse("the body has a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        _refuse("the body has half of a surrogate pair")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
