"""Converts names to one spelling, so that names can be compared. This spelling has capital Latin letters, digits and
single spaces, and its words are in alphabetical order. Pure.
"""

import re
from functools import lru_cache

import jellyfish
from anyascii import anyascii

_NO_WORD = re.compile(r"[^A-Z0-9 ]+")
_BETWEEN_WORDS = re.compile(r"[\s\-_/.,;]+")
MOST_WORDS = 12


def folded(name: str) -> str:
    """Returns the words of a name in Latin capitals and in alphabetical order: "Çelik, Ömer" is "CELIK OMER".

    Returns "" if the name has no letter or digit. If a name has more than twelve words, the further words are left out.
    """
    latin = _NO_WORD.sub("", anyascii(_BETWEEN_WORDS.sub(" ", name)).upper())
    return " ".join(sorted(latin.split()[:MOST_WORDS]))


@lru_cache(maxsize=20_000)
def sounds(word: str) -> frozenset[str]:
    """Returns the phonetic keys of one word. If two words sound alike, they have at least one common phonetic key."""
    if not word.isalpha():
        return frozenset((word,))
    return frozenset(("M" + jellyfish.metaphone(word), "S" + jellyfish.soundex(word)))
