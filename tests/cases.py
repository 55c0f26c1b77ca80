"""Thousands of tiny cases of one proof in one test: pytest takes longer to begin and end a test than a case takes.

A failure still names each case that failed, and says why."""

from collections.abc import Callable, Iterable
from itertools import product

import pytest

Check = Callable[..., None]
_MOST_SHOWN = 20


def of_each(*groups: Iterable[object]) -> Callable[[Check], Callable[[], None]]:
    """Makes one test of a check: it is called with each case, or with each combination if there are several groups.

    A case that is a tuple gives several arguments.
    """
    cases = [_flat(parts) for parts in product(*groups)]
    assert cases

    def decorate(check: Check) -> Callable[[], None]:
        def test() -> None:
            failed = [said for case in cases if (said := _failure(check, case))]
            if failed:
                shown = "\n\n".join(failed[:_MOST_SHOWN])
                pytest.fail(f"{len(failed)} of {len(cases)} cases failed:\n\n{shown}", pytrace=False)

        test.__name__, test.__qualname__ = check.__name__, check.__qualname__
        test.__doc__, test.__module__ = check.__doc__, check.__module__
        return test

    return decorate


def _flat(parts: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(value for part in parts for value in (part if isinstance(part, tuple) else (part,)))


def _failure(check: Check, case: tuple[object, ...]) -> str:
    """What a failing case is and says; empty if it does not fail."""
    try:
        check(*case)
    except (Exception, pytest.fail.Exception) as error:
        return f"{', '.join(map(_shown, case))}: {type(error).__name__}: {error}"
    return ""


def _shown(value: object) -> str:
    text = value.__name__ if isinstance(value, type) else repr(value)
    return text if len(text) <= 100 else f"{text[:100]}... ({len(text)} characters)"
