"""How a page looks in light, dark and on a phone: not wider than the window, no serious fault for who can not see."""

from collections.abc import Mapping

from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User

from tests.browser.conftest import Open, Window

SIZES = {"light": (1360, 860, "light"), "dark": (1360, 860, "dark"), "phone": (390, 844, "light")}
SERIOUS = ("serious", "critical")


def faults_of(open_window: Open, user: User, pages: Mapping[str, str], size: str) -> list[str]:
    """What is wrong with these pages in this size; a picture of each is left where SCREENSHOTS says."""
    width, height, theme = SIZES[size]
    window = open_window(user, width=width, height=height, theme=theme)
    faults = []
    for name, path in pages.items():
        window.go(path)
        window.picture(f"{name}-{size}")
        overflow = window.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if overflow > 0:
            faults.append(f"{name}: {overflow} pixels wider than the window")
        faults += [f"{name}: {fault}" for fault in faults_for_who_can_not_see(window)]
    return faults


def faults_for_who_can_not_see(window: Window) -> list[str]:
    """Serious ones of the page that is shown."""
    found = [found for found in Axe().run(window.page).response["violations"] if found["impact"] in SERIOUS]
    return [f"{each['id']}: {'; '.join(node['html'][:120] for node in each['nodes'][:3])}" for each in found]
