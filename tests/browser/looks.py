"""How a page looks in each language, light and dark, on a desk and on a phone.

No page is wider than the window, no table is wider than its box, and no page has a serious fault for who can not see.
`make looks` opens every page in every look, and forms and empty pages in half of the looks. It writes a picture of each
to the folder LOOKS.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User

from tests.browser.conftest import SCREENSHOTS, Open, Window

_LOCALES = {"en": "en-GB", "fr": "fr-FR", "sw": "sw-TZ"}
_SIZES = {"desk": (1440, 900), "phone": (390, 844)}
# The drawing of the integrators' guide scrolls on a phone.
_CUT_OFF = """[...document.querySelectorAll(".table-box:not(:has(.sequence))")]
    .filter(box => box.scrollWidth > box.clientWidth).map(box => box.ariaLabel)"""
SERIOUS = ("serious", "critical")


@dataclass(frozen=True)
class Look:
    """A language, the size of a window, and light or dark."""

    language: str
    size: str
    theme: str

    def __str__(self) -> str:
        return f"{self.language}-{self.size}-{self.theme}"

    def open(self, open_window: Open, user: User | None = None) -> Window:
        width, height = _SIZES[self.size]
        return open_window(user, width=width, height=height, theme=self.theme, locale=_LOCALES[self.language])


LOOKS = [Look(language, size, theme) for language in _LOCALES for size in _SIZES for theme in ("light", "dark")]
# For forms and empty pages, which share a few templates: each language in both sizes, and in both themes.
HALF = [look for number, look in enumerate(LOOKS) if number % 8 in (0, 3, 5, 6)]
ONE = Look("sw", "phone", "dark")  # the look of the one path that CI walks


def in_every_look(test: Callable[..., Any]) -> Any:
    """Marks a test of many pages: `make looks` and `make thorough` run it in every look."""
    return _in_looks(test, LOOKS)


def in_half_of_the_looks(test: Callable[..., Any]) -> Any:
    """Marks a test of forms, or of pages without content."""
    return _in_looks(test, HALF)


def _in_looks(test: Callable[..., Any], looks: list[Look]) -> Any:
    for mark in (pytest.mark.thorough, pytest.mark.looks, pytest.mark.parametrize("look", looks, ids=str)):
        test = mark(test)
    return test


def faults_of(open_window: Open, user: User | None, pages: Mapping[str, str], look: Look) -> list[str]:
    """What is wrong with these pages in this look; a picture and the text of each are left where SCREENSHOTS says."""
    window = look.open(open_window, user)
    faults = []
    for name, path in pages.items():
        window.go(path)
        window.page.evaluate("document.fonts.ready.then(() => true)")
        _keep(window, f"{name}-{look}")
        overflow = window.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if overflow > 0:
            faults.append(f"{name}: {overflow} pixels wider than the window")
        faults += [f"{name}: the table {label} is wider than its box" for label in window.page.evaluate(_CUT_OFF)]
        language = window.page.evaluate("document.documentElement.lang")
        if language != look.language and not path.startswith("/docs/"):
            faults.append(f"{name}: in the language {language}")
        faults += [f"{name}: {fault}" for fault in faults_for_who_can_not_see(window)]
    return faults


def _keep(window: Window, name: str) -> None:
    if not SCREENSHOTS:
        return
    folder = Path(SCREENSHOTS)
    window.page.screenshot(path=folder / f"{name}.png", full_page=True)
    if os.environ.get("TEXTS"):
        (folder / f"{name}.txt").write_text(window.page.inner_text("body"))


def faults_for_who_can_not_see(window: Window) -> list[str]:
    """Serious ones of the page that is shown."""
    found = [found for found in Axe().run(window.page).response["violations"] if found["impact"] in SERIOUS]
    return [f"{each['id']}: {'; '.join(node['html'][:120] for node in each['nodes'][:3])}" for each in found]
