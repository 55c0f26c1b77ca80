"""Settings that are one of a few words: a misspelt one must not mean "nothing is required"."""

from collections.abc import Collection, Sequence

from django.core.exceptions import ImproperlyConfigured


def one(word: str, *, of: Collection[str]) -> str:
    """The word itself, if it is one of these."""
    if word not in of:
        raise ImproperlyConfigured(f"{word!r} is not one of {', '.join(sorted(of))}")
    return word


def one_or_more(words: Sequence[str], *, of: Collection[str]) -> frozenset[str]:
    """These words, each of which must be known; "none" alone is none."""
    if list(words) == ["none"]:
        return frozenset()
    if not words:
        raise ImproperlyConfigured(f"give at least one of {', '.join(sorted(of))}, or none")
    return frozenset(one(word.strip(), of=of) for word in words)


def yes_or_no(word: str, *, unsaid: bool | None) -> bool | None:
    """Whether it says true or false; `unsaid` where it says nothing."""
    if not word:
        return unsaid
    if word.lower() not in _WORDS:
        raise ImproperlyConfigured(f"{word!r} is not one of {', '.join(_WORDS)}")
    return _WORDS[word.lower()]


_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
