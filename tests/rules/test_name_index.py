"""Names as lists and people spell them: the same person is found, and others are not."""

import random
import time

import pytest

from rules.lists.name_index import ListedName, NameIndex
from rules.lists.names import folded

LISTED = [
    "Saddam Hussein Al-Tikriti",
    "Muammar Gaddafi",
    "Usama bin Laden",
    "Viktor Anatolyevich Bout",
    "Ahmed Hassan Ali Warsame",
    "Joseph Kony",
    "ACME Trading LLC",
    "María José Núñez",
]
INDEX = NameIndex((ListedName(number, folded(name), 88) for number, name in enumerate(LISTED)), number=1)


def found(name: str) -> list[str]:
    return [LISTED[similar.entry_id] for similar in INDEX.find(folded(name))]


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("Joseph KONY", "Joseph Kony"),
        ("Kony, Joseph", "Joseph Kony"),
        ("Josef Kony", "Joseph Kony"),
        ("Osama bin Ladin", "Usama bin Laden"),
        ("Saddam Hussein", "Saddam Hussein Al-Tikriti"),
        ("Sadam Husein", "Saddam Hussein Al-Tikriti"),
        ("Moammar Gadafi", "Muammar Gaddafi"),
        ("Victor Bout", "Viktor Anatolyevich Bout"),
        ("Виктор Бут", "Viktor Anatolyevich Bout"),
        ("Ahmed Hasan Ali Warsame", "Ahmed Hassan Ali Warsame"),
        ("Maria Jose Nunez", "María José Núñez"),
    ],
)
def test_one_person_in_several_spellings(name: str, listed: str) -> None:
    assert listed in found(name)


@pytest.mark.parametrize(
    "name",
    [
        "Joseph Mwangi",
        "Ali Mohamed",
        "John Smith",
        "Beta Trading LLC",
        "Viktor Petrov",
        "Maria Santos",
        "Hussein",
        "",
        "*",
    ],
)
def test_other_persons(name: str) -> None:
    assert found(name) == []


COMMON = ["Mohammed", "Ahmed", "Ali", "Hassan", "Hussein", "Ibrahim", "Abdul", "Omar", "Khalid", "Said", "Yusuf"]


def test_a_name_of_common_words_takes_little_time_and_its_search_is_completed_later() -> None:
    draw = random.Random(7)
    many = [" ".join(draw.sample(COMMON, draw.choice((2, 3, 4)))) for _ in range(20_000)]
    listed = ["Yusuf Zebulon", *many]
    index = NameIndex((ListedName(number, folded(name), 88) for number, name in enumerate(listed)), number=1)
    for name, is_found in (("Mohamed Alli", False), (listed[1], True), ("Yusuf Zebuloon", True)):
        began = time.thread_time()
        at_once, is_complete = index.find_at_once(folded(name))
        ms = (time.thread_time() - began) * 1000
        assert (bool(at_once), is_complete, ms < 10) == (is_found, False, True), (name, ms)
        assert set(at_once) <= set(index.find(folded(name)))
    assert len(index.find(folded("Mohamed Alli"))) > 10
    began = time.thread_time()
    assert index.find(folded(" ".join(COMMON))) == []
    assert time.thread_time() - began < 0.01, "a listed name of four words cannot match a name of twelve words"


def test_a_name_with_rare_words_is_compared_completely_at_once() -> None:
    for name in ("Josef Kony", "Osama bin Ladin", "John Smith", ""):
        assert INDEX.find_at_once(folded(name)) == (INDEX.find(folded(name)), True)


def test_names_listed_since_a_change() -> None:
    index = NameIndex((ListedName(number, folded(name), 88, number) for number, name in enumerate(LISTED)), number=9)
    name = folded("Joseph Kony")
    assert [len(index.newer_than(number).find(name)) for number in (0, 4, 5, 6)] == [1, 1, 0, 0]
    assert (len(index.newer_than(6)), index.newer_than(6).number) == (1, 9)


def test_folding() -> None:
    assert folded("  Çelik,  Ömer ") == "CELIK OMER"
    assert folded("O'Brien-Smith") == "OBRIEN SMITH"
    assert folded("李 小龙") != ""
    assert folded("…!") == ""
    assert len(folded("a " * 100).split()) == 12


def test_planted_spellings_among_twenty_thousand_names() -> None:
    """How many misspelt names are found, and how long a name takes."""
    draw = random.Random(7)
    syllables = [first + second for first in ("b", "k", "l", "m", "n", "r", "s", "t", "w", "sh") for second in "aeiou"]

    def word() -> str:
        return "".join(draw.choice(syllables) for _ in range(draw.choice((2, 3, 3, 4)))).capitalize()

    families = [word() for _ in range(4000)]
    names = [" ".join(draw.choice(families) for _ in range(draw.choice((2, 2, 3)))) for _ in range(20_000)]
    index = NameIndex((ListedName(number, folded(name), 88) for number, name in enumerate(names)), number=1)

    def misspelt(name: str) -> str:
        place = draw.randrange(1, len(name) - 1)
        kind = draw.randrange(3)
        if kind == 0:
            return name[:place] + name[place] + name[place:]
        if kind == 1:
            return name[:place] + name[place + 1 :]
        return name[:place] + draw.choice("aeiou") + name[place + 1 :]

    asked = [(number, misspelt(names[number])) for number in draw.sample(range(20_000), 300)]
    began = time.thread_time()
    right = sum(any(similar.entry_id == number for similar in index.find(folded(name))) for number, name in asked)
    ms = (time.thread_time() - began) / len(asked) * 1000
    print(f"recall {right / 3:.1f} %, {ms:.2f} ms a name")
    assert right >= 285
    assert ms < 5
