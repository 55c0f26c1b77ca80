"""Reads a file of a list: CSV in UTF-8 with the columns type, identifier, sub_id, name and reference.

Each line has a party's identifier with its type, or a name. If any line has a fault, the hub refuses the whole file and
reports the line of each fault. The module reads only one setting: the key of the keyed hash.
"""

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from fspiop.bodies.common import PartyIdType
from rules.lists import names
from rules.party_keys import key_of

COLUMNS = ("type", "identifier", "sub_id", "name", "reference")
MOST_BYTES = 32 * 1024 * 1024
MOST_LINES = 200_000
MOST_FAULTS = 1_000
_LONGEST = {"identifier": 128, "sub_id": 128, "name": 256, "reference": 128}
_TYPES = frozenset(get_args(PartyIdType))
_FORMS = {
    "MSISDN": re.compile(r"\+?[0-9]{1,15}\Z"),
    "EMAIL": re.compile(r"[^@\s]+@[^@\s]+\Z"),
    "IBAN": re.compile(r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{1,30}\Z"),
}


@dataclass(frozen=True, slots=True)
class LineFault:
    """The fault of one line of a file. The first line of a file has the number 1."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


class BadFile(Exception):
    """The error for a refused file. The list has not changed. `faults` has at most `MOST_FAULTS` faults.

    `count` is the number of all faults.
    """

    def __init__(self, faults: list[LineFault], count: int | None = None) -> None:
        self.faults = faults
        self.count = len(faults) if count is None else count
        super().__init__("; ".join(map(str, faults[:5])) + ("; ..." if self.count > 5 else ""))


@dataclass(frozen=True, slots=True)
class Line:
    """Either a listed party, in `key`, or a listed name, in `name`. `folded` is the form of the name for
    comparisons."""

    key: int | None
    name: str
    folded: str
    reference: str

    @property
    def identity(self) -> object:
        """Two lines of a file are equal if these properties are equal. A list cannot have two equal lines."""
        return self.key if self.key is not None else (self.folded, self.reference)


@dataclass(frozen=True, slots=True)
class PartyFile:
    """The content of a file that has no faults."""

    lines: list[Line]
    sha256: str


def read(raw: bytes) -> PartyFile:
    """Returns the lines of a file. Raises BadFile if the file has any fault."""
    if len(raw) > MOST_BYTES:
        raise BadFile([LineFault(1, f"the file has more than {MOST_BYTES} bytes")])
    reader = _Reader()
    for number, text in _physical_lines(raw):
        reader.take(number, text)
    return PartyFile(reader.result(), hashlib.sha256(raw).hexdigest())


def line_of(row: dict[str, str]) -> Line:
    """Returns the entry that has these column values. If a value has a fault, raises ValueError with the fault."""
    for column, most in _LONGEST.items():
        value = row.get(column, "")
        if len(value) > most:
            raise ValueError(f"{column} has more than {most} characters")
        if not all(each.isprintable() for each in value):
            raise ValueError(f"{column} has characters that cannot be printed")
    id_type, identifier = row.get("type", ""), row.get("identifier", "")
    sub_id, name, reference = row.get("sub_id", ""), row.get("name", ""), row.get("reference", "")
    if name and not (id_type or identifier or sub_id):
        folded = names.folded(name)
        if not folded:
            raise ValueError("name has no letter or digit")
        if len(folded) > 1024:
            raise ValueError("name is too long in Latin letters")
        return Line(None, name, folded, reference)
    if name:
        raise ValueError("a line must have an identifier or a name, not both")
    if not (id_type and identifier):
        raise ValueError("a line must have a type and an identifier, or a name")
    if id_type not in _TYPES:
        raise ValueError(f"type must be one of {', '.join(sorted(_TYPES))}")
    form = _FORMS.get(id_type)
    if form is not None and form.match(identifier) is None:
        raise ValueError(f"identifier is not a valid {id_type}")
    return Line(key_of(id_type, identifier, sub_id or None), "", "", reference)


class _Reader:
    def __init__(self) -> None:
        self._columns: list[str] | None = None
        self._lines: dict[object, tuple[int, Line]] = {}
        self._faults: list[LineFault] = []
        self._count = 0

    def take(self, number: int, text: str | None) -> None:
        if text is None:
            self._refuse(number, "not valid UTF-8")
        elif text.strip():
            try:
                fields = next(csv.reader([text], strict=True))
                self._take_fields(number, [field.strip() for field in fields])
            except (ValueError, csv.Error) as fault:
                self._refuse(number, str(fault))

    def _take_fields(self, number: int, fields: list[str]) -> None:
        if self._columns is None:
            self._columns = []  # a fault in the first line must not make every later line faulty
            self._columns = _columns_of(fields)
            return
        if not self._columns:
            return
        if len(fields) != len(self._columns):
            raise ValueError(f"has {len(fields)} fields, but the first line has {len(self._columns)}")
        line = line_of(dict(zip(self._columns, fields, strict=True)))
        earlier = self._lines.setdefault(line.identity, (number, line))[0]
        if earlier != number:
            raise ValueError(f"repeats line {earlier}")
        if len(self._lines) == MOST_LINES + 1:
            raise ValueError(f"the file has more than {MOST_LINES} entries")

    def _refuse(self, number: int, text: str) -> None:
        self._count += 1
        if len(self._faults) < MOST_FAULTS:
            self._faults.append(LineFault(number, text))

    def result(self) -> list[Line]:
        if self._columns is None:
            self._refuse(1, f"the first line must name the columns: {', '.join(COLUMNS)}")
        if self._faults:
            raise BadFile(self._faults, self._count)
        return [line for _number, line in self._lines.values()]


def _columns_of(fields: list[str]) -> list[str]:
    if not set(fields) <= set(COLUMNS) or len(set(fields)) < len(fields):
        raise ValueError(f"the first line must name the columns, each once: {', '.join(COLUMNS)}")
    if not {"type", "identifier"} <= set(fields) and "name" not in fields:
        raise ValueError("the columns must contain type and identifier, or name")
    return fields


def _physical_lines(raw: bytes) -> Iterator[tuple[int, str | None]]:
    """Yields each line with its number. If the bytes of a line are not UTF-8, yields None instead of the line. A field
    cannot have a line break."""
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            yield number, line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            yield number, None
