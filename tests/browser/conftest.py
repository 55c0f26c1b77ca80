"""A real Chromium against a real server, with the portal's pages as people see them."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.portal.people import browser_of

# Playwright's loop runs in this thread; the ORM may still be used in it.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCREENSHOTS = os.environ.get("SCREENSHOTS")


# Not for the whole session: as long as it lives a loop runs in this thread, in which other tests start theirs.
@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass
class Window:
    """One person's browser; whatever its console said is kept, and must have been nothing."""

    page: object
    base_url: str
    complaints: list[str] = field(default_factory=list)
    agrees_to: str = ""  # the beginning of a question that the person answers with yes

    def go(self, path: str) -> None:
        self.page.goto(self.base_url + path)

    def answer(self, dialog: object) -> None:
        if self.agrees_to and dialog.message.startswith(self.agrees_to):
            dialog.accept()
            return
        self.complaints.append("a dialog: " + dialog.message)
        dialog.dismiss()

    def picture(self, name: str) -> None:
        if SCREENSHOTS:
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


Open = Callable[..., Window]


@pytest.fixture
def open_window(chromium: object, live_server: object) -> Iterator[Open]:
    """Opens a browser window, signed in as a user or nobody; at the end no console may have complained."""
    opened: list[Window] = []

    def open_(
        user: User | None = None,
        *,
        width: int = 1360,
        height: int = 860,
        theme: str = "light",
        locale: str = "en-GB",
    ) -> Window:
        viewport = {"width": width, "height": height}
        context = chromium.new_context(viewport=viewport, color_scheme=theme, locale=locale)
        if user is not None:
            key = browser_of(user).cookies["kitovu_session"].value
            context.add_cookies([{"name": "kitovu_session", "value": key, "url": live_server.url}])
        page = context.new_page()
        page.set_default_timeout(20_000)
        window = Window(page, live_server.url)
        page.on("console", lambda said: said.type in ("error", "warning") and window.complaints.append(said.text))
        page.on("pageerror", lambda error: window.complaints.append(str(error)))
        page.on("dialog", window.answer)
        opened.append(window)
        return window

    yield open_
    complaints = [complaint for window in opened for complaint in window.complaints]
    for window in opened:
        window.page.context.close()
    assert complaints == []
