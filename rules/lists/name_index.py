"""Finds the listed names whose spelling or sound is similar to the spelling or sound of a party's name. This module
does not use Django or a database."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from rapidfuzz import fuzz, process
from rapidfuzz.distance import JaroWinkler

from rules.lists.names import sounds

_LEAST_SPELT_SCORE = 55
_MOST_CANDIDATES = 50_000
_MOST_NEWER = 8


class ListedName(NamedTuple):
    """A name on a list, in the spelling of `names.folded`.

    `lowest` is the lowest score that makes another name a match.
    """

    entry_id: int
    folded: str
    least_score: int
    change: int = 0  # the number of the change that added the name


class Similar(NamedTuple):
    """A listed name that is similar to a party's name. The score is 100 if the two names have the same words."""

    entry_id: int
    score: int


class NameIndex:
    """An index that finds listed names by the sounds of the words in a name.

    A search compares a listed name with a party's name only if a word in one name sounds like a word in the other name.
    So the cost of a search depends on how many names are similar, and not on the length of the lists.
    """

    def __init__(self, names: Iterable[ListedName], *, number: int) -> None:
        self.number = number
        """The index contains all changes of the listed names up to the change with this number."""
        self._names = list(names)
        self._by_sound: dict[str, array[int]] = defaultdict(lambda: array("l"))
        for place, name in enumerate(self._names):
            for sound in {sound for word in name.folded.split() for sound in sounds(word)}:
                self._by_sound[sound].append(place)

        self._newer: dict[int, NameIndex] = {}

    def __len__(self) -> int:
        return len(self._names)

    def newer_than(self, number: int) -> "NameIndex":
        """Returns an index that contains only the names that were added after this change."""
        if number <= 0:
            return self
        if number not in self._newer:
            if len(self._newer) >= _MOST_NEWER:
                self._newer.clear()
            newer = (name for name in self._names if name.change > number)
            self._newer[number] = NameIndex(newer, number=self.number)
        return self._newer[number]

    def find(self, folded: str) -> list[Similar]:
        """Returns the listed names that are similar enough for the list, with the most similar name first."""
        words = folded.split()
        shared = self._shared_words(words)
        if not shared:
            return []
        spelt = process.extract(
            folded,
            {place: self._names[place].folded for place in shared},
            scorer=fuzz.token_sort_ratio,
            score_cutoff=_LEAST_SPELT_SCORE,
            limit=None,
        )
        scores = {place: score for _text, score, place in spelt}
        # The search also compares the words of the two names, because one name can have additional words, such as a
        # second family name. The order of the words can also differ, because the two names can spell a first letter
        # differently.
        for place in scores.keys() | {place for place, count in shared.items() if count >= 2}:
            found = _of_words(words, self._names[place].folded.split())
            scores[place] = max(scores.get(place, 0.0), found)
        similar = [
            Similar(name.entry_id, int(score))
            for place, score in scores.items()
            if score >= (name := self._names[place]).least_score
        ]
        return sorted(similar, key=lambda each: (-each.score, each.entry_id))

    def _shared_words(self, words: list[str]) -> Counter[int]:
        """For each listed name, counts how many of these words sound like a word in the listed name."""
        shared: Counter[int] = Counter()
        for word in words:
            alike: set[int] = set()
            for sound in sounds(word):
                alike.update(self._by_sound.get(sound, ()))
            shared.update(alike)
        if len(shared) > _MOST_CANDIDATES:
            return Counter({place: count for place, count in shared.items() if count >= 2})
        return shared


def _of_words(one: list[str], other: list[str]) -> float:
    """Pairs each word of the shorter name with a different word of the longer name, and compares the words of each
    pair. Returns the mean similarity."""
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) < 2:
        return 0.0
    left, total = list(longer), 0.0
    for word in shorter:
        best = max(left, key=lambda each: JaroWinkler.similarity(word, each))
        total += JaroWinkler.similarity(word, best)
        left.remove(best)
    # With each additional word in the longer name, it is more probable that the names belong to two persons.
    return 100 * total / len(shorter) - 2 * (len(longer) - len(shorter))
