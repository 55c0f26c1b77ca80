"""docs/threats.md explains every number that a test or a document uses, and names a test that uses it."""

import fnmatch
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "threats.md"
NUMBER = re.compile(r"(?<![\w+/=.-])(?:([AF])(\d\d)|(I)([1-9]\d?))(?![\w+/=])")
RANGE = re.compile(r"(?<![\w+/=.-])([AFI])(\d{1,2}) to \1(\d{1,2})(?![\w+/=])")
IN_A_NAME = re.compile(r"\btest_([afi])(\d{1,2})_")
ROW = re.compile(r"^\| ([AFI]\d{1,2}) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def name(letter: str, number: int) -> str:
    return f"I{number}" if letter == "I" else f"{letter}{number:02}"


def numbers_in(text: str) -> set[str]:
    found = {name(a or i, int(b or j)) for a, b, i, j in NUMBER.findall(text)}
    found |= {name(letter.upper(), int(number)) for letter, number in IN_A_NAME.findall(text)}
    for letter, first, last in RANGE.findall(text):
        found |= {name(letter, number) for number in range(int(first), int(last) + 1)}
    return found


def rows() -> dict[str, list[Path]]:
    """The files that the page names for each number."""
    return {number: [PROJECT / each for each in re.findall(r"`([^`]+)`", files)] for number, _, files in table()}


def table() -> list[tuple[str, str, str]]:
    return ROW.findall(PAGE.read_text())


def test_numbers_are_found_as_people_write_them() -> None:
    assert numbers_in("A08 and A09: x; (I5 to I8, I11)  # I3") == {"A08", "A09", "I5", "I6", "I7", "I8", "I11", "I3"}
    assert numbers_in("def test_a04_somebody(): ...") == {"A04"}
    assert numbers_in("'xA12y' a.F16.b A1 I0 F1234 bA01=") == set()


def test_every_number_that_is_used_stands_in_the_table() -> None:
    used: dict[str, list[str]] = {}
    for folder, suffix in (("tests", "*.py"), ("docs", "*.md")):
        for path in sorted((PROJECT / folder).rglob(suffix)):
            if path not in (PAGE, Path(__file__)):
                for number in numbers_in(path.read_text()):
                    used.setdefault(number, []).append(str(path.relative_to(PROJECT)))
    assert len(used) > 70
    assert {number: paths for number, paths in used.items() if number not in rows()} == {}


def test_every_row_names_files_that_are_there_and_use_its_number() -> None:
    for number, paths in rows().items():
        assert paths, number
        for path in paths:
            assert path.is_file(), f"{number}: {path} is not there"
            assert number in numbers_in(path.read_text()), f"{path} does not speak of {number}"


def test_every_test_that_the_page_names_is_there() -> None:
    files = list((PROJECT / "tests").rglob("test_*.py"))
    tests = {path.stem for path in files}
    for path in files:
        tests |= set(re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE))
    named = set(re.findall(r"\btest_[\w*]+", PAGE.read_text()))
    assert len(named) > 150
    assert [name for name in sorted(named) if not fnmatch.filter(tests, name)] == []


def test_no_row_of_a_table_repeats_another() -> None:
    """A row that a merge left in its older words would promise something else than the newer one."""
    section, seen = "", set()
    for line in PAGE.read_text().splitlines():
        section = line if line.startswith(("#", "| **")) else section
        if line.startswith("| ") and not line.startswith(("| **", "| message |")):
            key = (section, line.split("|")[1])
            assert key not in seen, key
            seen.add(key)


def test_each_number_has_one_row_and_says_something_of_its_own() -> None:
    assert len(table()) == len(rows()) == len({what for _, what, _ in table()})
