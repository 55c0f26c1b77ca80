"""Reads JSON. Refuses JSON that two programs could read differently (RFC 8259, FSPIOP API v1.1, 3.1.5).

Python's own JSON reader accepts an object with two equal keys, and ignores the first value. Python's own JSON reader
also accepts NaN, and text that a database cannot store.
"""

import hashlib
import json
import math
from decimal import Decimal
from itertools import accumulate
from typing import Any, NoReturn

from fspiop.errors import ErrorCode, FspiopError

MAX_DEPTH = 32
OCTETS_OF_A_VALUE = 32
"""A body may have at most one value for each 32 bytes of its size limit. Arrays, objects and their members are values.

Values need memory: five megabytes of `[],[],...` become 1.7 million objects of a hundred bytes each."""
MOST_VALUES = 5_242_880 // OCTETS_OF_A_VALUE  # the limit for the largest body that the API allows
_QUOTES_OF_A_VALUE = 4  # two quotation marks around a key, and two around its value; escaped quotation marks count too
_MOST_DIGITS = 18  # a whole number with this many digits fits into 64 bits, and amounts have fewer digits
_MOST_NUMBER_CHARACTERS = 40


def loads(raw: bytes, *, max_depth: int = MAX_DEPTH, most_values: int = MOST_VALUES) -> object:
    """Reads the JSON value in a body. Raises FspiopError 3101 with a description of the fault, or 3104 if the body has
    too many values."""
    check_structure(raw, max_depth=max_depth, most_values=most_values)
    try:
        value: object = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        _refuse("the body is not UTF-8")
    except json.JSONDecodeError as error:
        _refuse(f"the body is not JSON: {error.msg} at character {error.pos}")
    if b"\\u" in raw:  # only an escape sequence can write a NUL or half of a surrogate pair
        _check_texts(value)
    return value


def check_structure(raw: bytes, *, max_depth: int = MAX_DEPTH, most_values: int = MOST_VALUES) -> None:
    """Raises FspiopError 3101 if the body is nested too deeply, and 3104 if the body would create too many objects."""
    if len(raw) <= _PIECE:
        marks = raw.translate(None, _NOT_MARKS)
        if marks.count(b"[") + marks.count(b"{") <= max_depth and len(marks) < most_values:
            return  # the body has few punctuation marks, even if the marks inside of texts are counted
    Structure(max_depth=max_depth, most_values=most_values).check(raw)


class Structure:
    """Checks the structure of a body piece by piece, while the body arrives.

    The check counts JSON's punctuation marks in the bytes before the parser creates any object. So the amount of work
    for each byte of the body is limited. The check counts an empty array or object as two values. If one call checked
    five megabytes, other threads would wait for a hundred milliseconds.
    """

    __slots__ = ("_commas", "_depth", "_is_escaping", "_is_in_text", "_max_depth", "_most_values", "_opens", "_quotes")

    def __init__(self, *, max_depth: int = MAX_DEPTH, most_values: int = MOST_VALUES) -> None:
        self._max_depth, self._most_values = max_depth, most_values
        self._is_in_text = self._is_escaping = False
        self._depth = self._opens = self._commas = self._quotes = 0

    def check(self, piece: bytes) -> None:
        """Checks the body up to the end of this piece. Raises FspiopError 3101 if the body is nested too deeply, and
        3104 if the body would create too many objects."""
        for start in range(0, len(piece), _PIECE):
            self._check(piece[start : start + _PIECE])

    def _check(self, piece: bytes) -> None:
        self._quotes += piece.count(b'"')
        if self._quotes > _QUOTES_OF_A_VALUE * self._most_values:
            _refuse_as_large(f"at most {_QUOTES_OF_A_VALUE * self._most_values} quotation marks")
        bare = self._without_texts(piece)
        opens = bare.count(b"[") + bare.count(b"{")
        self._opens += opens
        self._commas += bare.count(b",")
        if self._opens <= self._max_depth:  # the body has too few opening brackets for deep nesting
            self._depth += opens - bare.count(b"]") - bare.count(b"}")
        elif brackets := bare.translate(None, _NOT_BRACKETS):
            depths = list(accumulate(map(_DEEPER.__getitem__, brackets), initial=self._depth))
            self._depth = depths[-1]
            if max(depths) > self._max_depth:
                _refuse(f"the body is nested deeper than {self._max_depth}")
        if self._opens + self._commas >= self._most_values:
            _refuse_as_large(f"at most {self._most_values} values")

    def _without_texts(self, piece: bytes) -> bytes:
        """Returns those bytes of the piece that are outside of texts.

        First removes the escape sequences from the piece. A backslash outside of a text makes the JSON invalid at this
        place. So the check need not count punctuation marks after a backslash outside of a text.
        """
        if self._is_escaping:
            piece = b"\\" + piece
        if b"\\" in piece:
            self._is_escaping = bool((len(piece) - len(piece.rstrip(b"\\"))) % 2)
            if self._is_escaping:
                piece = piece[:-1]
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        bare = b"".join(parts[self._is_in_text :: 2])
        self._is_in_text ^= len(parts) % 2 == 0
        return bare


def canonical(value: object) -> bytes:
    """Writes JSON with sorted keys, without spaces, as unescaped UTF-8. The reference hub signs and checks this form of
    JSON."""
    return _ENCODER.encode(value).encode("utf-8")


def digest(value: object) -> bytes:
    """Returns the SHA-256 of a JSON value's canonical form. Two spellings of one message have equal digests."""
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
    # The canonical form for signatures contains floats. Amounts in the FSPIOP API are texts, not floats. The float must
    # be equal to the number in the text. If the float could differ, rounding could make two different messages equal.
    if Decimal(repr(number)) != Decimal(text):
        _refuse("the body has a number with too many digits; write it as text")
    return number


def _constant(text: str) -> NoReturn:
    _refuse(f"the body has {text}, which JSON does not allow")


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


_PIECE = 65_536  # the check of this many bytes takes about a millisecond
_NOT_MARKS = bytes(octet for octet in range(256) if octet not in b'[{,"')
_NOT_BRACKETS = bytes(octet for octet in range(256) if octet not in b"[{]}")
_DEEPER = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
