"""Finds the listed names whose spelling or sound is similar to the spelling or sound of a party's name. This module
does not use Django or a database."""

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rapidfuzz import fuzz, process
from rapidfuzz.distance import JaroWinkler

from rules.lists.names import sounds

_LEAST_SPELT_SCORE = 55
_MOST_CANDIDATES = 50_000
_MOST_AT_ONCE = 3_000
_MOST_NEWER = 8
_FOR_EACH_FURTHER_WORD = 2


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
        self._names = sorted(names, key=_spelling)
        self._texts = [name.folded for name in self._names]
        least = min((name.least_score for name in self._names), default=100)
        # If one of two names has more further words than this number, the score is always too low.
        self._most_further_words = (100 - least) // _FOR_EACH_FURTHER_WORD
        self._by_sound: dict[tuple[str, int], array[int]] = defaultdict(lambda: array("l"))
        """The places of the names with a word of this sound and with this number of words."""
        for place, name in enumerate(self._names):
            words = name.folded.split()
            for sound in {sound for word in words for sound in sounds(word)}:
                self._by_sound[sound, len(words)].append(place)
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
        """Returns the listed names that are similar enough for the list, with the most similar name first.

        If very many listed names have a word of the same sound, compares only the names with the most such words.
        """
        words = folded.split()
        shared: Counter[int] = Counter()
        for arrays in self._places(words):
            shared.update(_together(arrays))
        fewest, more = 1, shared
        while more and len(shared) > _MOST_CANDIDATES:
            fewest += 1
            more = Counter({place: count for place, count in shared.items() if count >= fewest})
            shared = more or shared
        return _sorted(self._similar(folded, words, shared))

    def find_at_once(self, folded: str) -> tuple[list[Similar], bool]:
        """Works like `find`, but takes at most a few milliseconds. If too many listed names have a word of the same
        sound, compares only the names with the rarest words, and the names that are spelt like the party's name.

        Returns the similar names, and whether the search was complete.
        """
        words = folded.split()
        shared: Counter[int] = Counter()
        read, is_complete = 0, True
        for arrays in sorted(self._places(words), key=_length):
            read += _length(arrays)
            if read > _MOST_AT_ONCE:
                is_complete = False
                break
            shared.update(_together(arrays))
        found = set(self._similar(folded, words, shared))
        found.update(Similar(name.entry_id, 100) for name in self._spelt(folded))
        return _sorted(found), is_complete

    def _places(self, words: Sequence[str]) -> list[list["array[int]"]]:
        """For each of these words, returns the places of the listed names with a word of the same sound. Leaves out
        names with too many or too few words."""
        sizes = range(len(words) - self._most_further_words, len(words) + self._most_further_words + 1)
        return [
            [self._by_sound[sound, size] for sound in sounds(word) for size in sizes if (sound, size) in self._by_sound]
            for word in words
        ]

    def _similar(self, folded: str, words: Sequence[str], shared: Counter[int]) -> Iterator[Similar]:
        places = list(shared)
        spelt = process.extract(
            folded,
            map(self._texts.__getitem__, places),
            scorer=fuzz.token_sort_ratio,
            score_cutoff=_LEAST_SPELT_SCORE,
            limit=None,
        )
        scores = {places[number]: score for _text, score, number in spelt}
        # The search also compares the words of the two names, because one name can have additional words, such as a
        # second family name. The order of the words can also differ, because the two names can spell a first letter
        # differently.
        compared = _ComparedWords(words)
        for place in scores.keys() | {place for place, count in shared.items() if count >= 2}:
            name = self._names[place]
            score = max(scores.get(place, 0.0), compared.score(name.folded.split(), name.least_score))
            if score >= name.least_score:
                yield Similar(name.entry_id, int(score))

    def _spelt(self, folded: str) -> Iterator[ListedName]:
        place = bisect_left(self._texts, folded)
        while folded and place < len(self._texts) and self._texts[place] == folded:
            yield self._names[place]
            place += 1


def _spelling(name: ListedName) -> str:
    return name.folded


def _length(arrays: Iterable["array[int]"]) -> int:
    return sum(map(len, arrays))


def _together(arrays: Iterable["array[int]"]) -> set[int]:
    return set().union(*arrays)


def _sorted(found: Iterable[Similar]) -> list[Similar]:
    return sorted(found, key=lambda each: (-each.score, each.entry_id))


class _ComparedWords:
    """The words of one name. Computes the similarity of another word to these words only once."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._rows: dict[str, tuple[float, list[float]]] = {}

    def score(self, others: Sequence[str], least: int) -> float:
        """Pairs each word of the shorter name with a different word of the longer name, and compares the words of each
        pair. Returns the mean similarity, or 0 if it is less than `least`."""
        words = self._words
        shorter = min(len(words), len(others))
        # With each additional word in the longer name, it is more probable that the names belong to two persons.
        less = _FOR_EACH_FURTHER_WORD * abs(len(words) - len(others))
        if shorter < 2 or 100 - less < least:
            return 0.0
        rows = [self._row(other) for other in others]
        # Most names fail this fast check: no pair is more similar than the best pair of its word.
        if 100 * sum(sorted([best for best, _ in rows])[-shorter:]) / shorter - less < least:
            return 0.0
        if len(others) < len(words):
            pairs = [row for _, row in rows]
        else:
            pairs = [[row[number] for _, row in rows] for number in range(len(words))]
        total, left = 0.0, list(range(len(pairs[0])))
        for row in pairs:
            best = max(left, key=row.__getitem__)
            total += row[best]
            left.remove(best)
        found = 100 * total / shorter - less
        return found if found >= least else 0.0

    def _row(self, other: str) -> tuple[float, list[float]]:
        """Returns the similarity of the other word to each of the words, after the largest similarity."""
        found = self._rows.get(other)
        if found is None:
            row = [JaroWinkler.similarity(word, other) for word in self._words]
            found = self._rows[other] = max(row), row
        return found
