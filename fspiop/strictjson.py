"""JSON that two readers can not understand in two ways (RFC 8259, FSPIOP API v1.1, section 3.1.5).

Python's own reader keeps the last of two equal keys, takes NaN, and lets through text that no database stores.
"""

import hashlib
import json
import math
import re
from decimal import Decimal
from itertools import accumulate
from typing import Any, NoReturn

from fspiop.errors import ErrorCode, FspiopError

MAX_DEPTH = 32
OCTETS_OF_A_VALUE = 32
"""Objects, arrays and what is in them: a body may have one for so many octets of the largest size that it may have.

It is the values that cost: five megabytes of `[],[],...` make 1.7 million objects of a hundred octets each."""
MOST_VALUES = 5_242_880 // OCTETS_OF_A_VALUE  # of the largest body that the API allows
_QUOTES_OF_A_VALUE = 4  # its key's and its own; one that is escaped counts too
_MOST_DIGITS = 18  # of a whole number; an amount has fewer, and a 64-bit integer holds them
_MOST_NUMBER_CHARACTERS = 40


def loads(raw: bytes, *, max_depth: int = MAX_DEPTH, most_values: int = MOST_VALUES) -> object:
    """Reads a body; FspiopError 3101 says what is wrong with it, 3104 that it has more values than `most_values`."""
    check_structure(raw, max_depth=max_depth, most_values=most_values)
    try:
        value: object = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        _refuse("the body is not UTF-8")
    except json.JSONDecodeError as error:
        _refuse(f"the body is not JSON: {error.msg} at character {error.pos}")
    if b"\\u" in raw:  # only an escape can bring a NUL or half a character in
        _check_texts(value)
    return value


def check_structure(raw: bytes, *, max_depth: int = MAX_DEPTH, most_values: int = MOST_VALUES) -> None:
    """FspiopError 3101 or 3104 where these octets are nested too deeply, or would make too many objects.

    Counts in the octets, before an object is made of them. Each octet is looked at a few times, whatever they are.
    An array or object that is empty counts twice.
    """
    marks = raw.translate(None, _NOT_MARKS)
    opens = marks.count(b"[") + marks.count(b"{")
    if opens <= max_depth and len(marks) < most_values:
        return  # and there are fewer, where some of the marks are in texts
    if marks.count(b'"') > _QUOTES_OF_A_VALUE * most_values:
        _refuse_as_large(f"at most {_QUOTES_OF_A_VALUE * most_values} quotation marks")
    bare = _TEXT.sub(b"", raw)
    opens = bare.count(b"[") + bare.count(b"{")
    if opens > max_depth:
        # As many as there may be: if there are more, they are too many in any case.
        brackets = bare.translate(None, _NOT_BRACKETS)[: 2 * most_values]
        if max(accumulate(map(_DEEPER.__getitem__, brackets))) > max_depth:
            _refuse(f"the body is nested deeper than {max_depth}")
    if opens + bare.count(b",") >= most_values:
        _refuse_as_large(f"at most {most_values} values")


def canonical(value: object) -> bytes:
    """Sorted keys, no spaces, UTF-8 unescaped: the form in which reference validators check a signature."""
    return _ENCODER.encode(value).encode("utf-8")


def digest(value: object) -> bytes:
    """SHA-256 of the canonical form: the same for two texts of one message."""
    return hashlib.sha256(canonical(value)).digest()


def _refuse(reason: str) -> NoReturn:
    raise FspiopError(ErrorCode.MALFORMED_SYNTAX, reason) from None


def _refuse_as_large(reason: str) -> NoReturn:
    raise FspiopError(ErrorCode.TOO_LARGE_PAYLOAD, reason)


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


def _check_texts(value: object) -> None:
    left = [value]
    while left:
        match left.pop():
            case str(text):
                _check_text(text)
            case dict(members):
                left.extend(members)
                left.extend(members.values())
            case list(elements):
                left.extend(elements)


def _check_text(text: str) -> None:
    if "\0" in text:
        _refuse("the body has a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        _refuse("the body has half of a surrogate pair")


# A text to its end, or to the end of all: no octet is looked at twice.
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_MARKS = bytes(octet for octet in range(256) if octet not in b'[{,"')
_NOT_BRACKETS = bytes(octet for octet in range(256) if octet not in b"[{]}")
_DEEPER = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
