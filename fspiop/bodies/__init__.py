"""The messages of the FSPIOP API as Python types. The functions of this module read messages from bodies and queries,
and write messages as text."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

import msgspec

from fspiop import strictjson
from fspiop.errors import ErrorCode, FspiopError

T = TypeVar("T")
Decode = Callable[[type, Any], Any]
"""A function for elements whose type msgspec does not know (a `dec_hook` of msgspec)."""

_PLACE = re.compile(r"(?P<fault>.*?)(?: - at `\$(?P<path>[^`]*)`)?\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`\Z")
_TOO_MANY = re.compile(r"Expected `(?:array|object)` of length <= (?P<most>[0-9]+)\Z")
_LENGTH = re.compile(r"Expected `(?P<what>[^`]*)` of length (?P<sign>[<>]=) (?P<length>[0-9]+)\Z")
_TYPE = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`\Z")
_RANGE = re.compile(r"Expected `[^`]*` (?P<bound>[<>]=? .*)\Z")


def read(kind: type[T], raw: bytes, *, decode: Decode | None = None) -> T:
    """Reads a body as the expected typed message. Raises FspiopError 3100 to 3103 with the name of a wrong field."""
    return convert(kind, strictjson.loads(raw), decode=decode)


def read_query(kind: type[T], parameters: Mapping[str, Sequence[str]]) -> T:
    """Reads a query string's parameters as the expected typed message. Raises the same errors as `read`."""
    for name, values in parameters.items():
        if len(values) > 1:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: must not be repeated")
    return convert(kind, {name: values[0] for name, values in parameters.items() if values}, strict=False)


def write_query(message: Any) -> str:
    """Writes a typed message as a query string.

    The query string contains only the fields of the message's type. Equal messages give equal query strings.
    """
    return urlencode(msgspec.to_builtins(message))


def write(message: Any) -> bytes:
    """Writes a message as canonical JSON, without fields that are None."""
    return msgspec.json.encode(message, order="sorted")


def convert(kind: type[T], value: object, *, strict: bool = True, decode: Decode | None = None) -> T:
    """Converts a JSON value from `strictjson.loads` into the expected typed message."""
    try:
        return msgspec.convert(value, kind, strict=strict, dec_hook=decode)
    except msgspec.ValidationError as error:
        _refuse(str(error))


def check_no_null(value: object) -> None:
    """Raises FspiopError 3100 with the name of the first element that is null. In the API, no element can be null.

    The hub itself could ignore an element that is null, but the receiver of the forwarded message would refuse the
    message.
    """
    path = _path_to_null(value)
    if path is not None:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{path.lstrip('.') or 'the body'}: must not be null")


def _path_to_null(value: object) -> str | None:
    if value is None:
        return ""
    parts: Iterable[tuple[str, object]] = ()
    if isinstance(value, dict):
        parts = ((f".{name}", part) for name, part in value.items())
    elif isinstance(value, list):
        parts = ((f"[{number}]", part) for number, part in enumerate(value))
    for place, part in parts:
        rest = _path_to_null(part)
        if rest is not None:
            return place + rest
    return None


def _refuse(message: str) -> NoReturn:
    """Raises the API's error for an error that msgspec has raised. An error of msgspec has only a text, and no code. A
    test checks that this function knows all forms of msgspec's texts."""
    place = _PLACE.match(message)
    assert place is not None
    fault, path = place["fault"], (place["path"] or "").lstrip(".")
    if missing := _MISSING.match(fault):
        name = f"{path}.{missing['name']}" if path else missing["name"]
        raise FspiopError(ErrorCode.MISSING_ELEMENT, f"{name} is required") from None
    path = path or "the body"
    if too_many := _TOO_MANY.match(fault):
        raise FspiopError(ErrorCode.TOO_MANY_ELEMENTS, f"{path}: has more than {too_many['most']}") from None
    if wrong := _TYPE.match(fault):
        raise FspiopError(
            ErrorCode.MALFORMED_SYNTAX, f"{path}: must be {wrong['wanted']}, not {wrong['got']}"
        ) from None
    raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{path}: {_reason(fault)}") from None


def _reason(fault: str) -> str:
    if length := _LENGTH.match(fault):
        least_or_most = "at least" if length["sign"] == ">=" else "at most"
        return f"must have a length of {least_or_most} {length['length']}"
    if bound := _RANGE.match(fault):
        return f"must be {bound['bound']}"
    if "matching regex" in fault:
        return "does not have the format that the API requires"
    return fault[:1].lower() + fault[1:]
