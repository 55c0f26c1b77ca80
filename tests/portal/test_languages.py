"""People read the portal in their language and their zone; no text of a page is left untranslated."""

import ast
import gettext
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from hub.audit import record
from hub.audit.models import Entry
from portal.models import Profile
from portal.permissions import Role
from tests.portal.people import browser_of, person
from tests.world import World

LANGUAGES = [code for code, _name in settings.LANGUAGES if code != "en"]
FOLDER = Path(settings.LOCALE_PATHS[0])
_PLACEHOLDER = re.compile(r"%\(\w+\)s")


def texts(code: str) -> list[tuple[str, list[str]]]:
    """(English, its translations) of a catalog."""
    found = []
    for block in (FOLDER / code / "LC_MESSAGES" / "django.po").read_text().split("\n\n")[1:]:
        parts = re.findall(r'^(msgid|msgstr(?:\[\d\])?) ((?:".*"(?:\n|$))+)', block, re.MULTILINE)
        texts_of = [(name, "".join(re.findall(r'^"(.*)"$', lines, re.MULTILINE))) for name, lines in parts]
        found.append((texts_of[0][1], [text for name, text in texts_of if name.startswith("msgstr")]))
    return found


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_text_is_translated_with_its_placeholders(code: str) -> None:
    faults = [
        (english, translation)
        for english, translations in texts(code)
        for translation in translations
        if not translation or sorted(_PLACEHOLDER.findall(english)) != sorted(_PLACEHOLDER.findall(translation))
    ]
    assert faults == []
    assert len(texts(code)) > 300


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_compiled_catalog_is_that_of_the_source(code: str) -> None:
    with (FOLDER / code / "LC_MESSAGES" / "django.mo").open("rb") as compiled:
        catalog = gettext.GNUTranslations(compiled)
    for english, translations in texts(code):
        asked, expected = (text.replace('\\"', '"').replace("\\n", "\n") for text in (english, translations[0]))
        assert catalog.gettext(asked) == expected or len(translations) > 1


def test_every_text_of_the_pages_is_in_the_catalogs() -> None:
    known = {english for english, _translations in texts("fr")}
    said = set()
    for page in Path(settings.BASE_DIR / "templates").rglob("*.html"):
        said |= set(re.findall(r'{%\s*translate "([^"]+)"', page.read_text()))
        said |= set(re.findall(r"{%\s*translate '([^']+)'", page.read_text()))
    assert said - known == set()
    assert len(said) > 200


_MARKS = ("_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy")


def _marked(path: Path) -> Iterator[str]:
    """The texts that a module marks for translation; `make messages` does not find those in an f-string."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _MARKS and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def test_every_text_of_the_code_is_in_the_catalogs() -> None:
    known = {english.replace('\\"', '"').replace("\\n", "\n") for english, _translations in texts("fr")}
    apps = ("hub", "directory", "quotes", "ledger", "settlement", "rules", "portal")
    modules = [path for app in apps for path in Path(settings.BASE_DIR, app).rglob("*.py")]
    said = {text for path in modules for text in _marked(path)}
    assert said - known == set()
    assert len(said) > 1000


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_catalog_has_the_form_that_make_messages_writes(code: str) -> None:
    """A line of a text ends only where the text has an end of line; so a commit changes only the texts that changed."""
    lines = (FOLDER / code / "LC_MESSAGES" / "django.po").read_text().splitlines()
    broken = [
        line
        for line, following in itertools.pairwise(lines)
        if following.startswith('"') and line.endswith('"') and not line.endswith(('\\n"', ' ""'))
    ]
    assert broken == []


def test_a_person_chooses_language_and_zone(world: World) -> None:
    cache.clear()
    user = person(Role.AUDITOR)
    client = browser_of(user)
    record("noted", subject="x", actor="asha")
    at = Entry.objects.get(action="noted").at
    assert "Audit trail" in client.get("/portal/audit/").content.decode()
    client.post("/portal/account/", {"language": "sw", "time_zone": "Africa/Dar_es_Salaam"})
    page = client.get("/portal/audit/?action=noted").content.decode()
    assert "Kumbukumbu za ukaguzi" in page
    assert '<html lang="sw"' in page
    assert f"{(at.hour + 3) % 24:02}:{at:%M:%S}" in page
    assert client.post("/portal/account/", {"language": "xx", "time_zone": "Mars/Base"}).status_code == 200
    assert Profile.objects.get(user=user).time_zone == "Africa/Dar_es_Salaam"


def test_what_an_api_says_does_not_depend_on_a_language(world: World) -> None:
    said = {
        Client().delete("/api/ledger/v1/participants", headers={"Accept-Language": code}).content
        for code in ("en", "fr")
    }
    assert len(said) == 1


def test_the_sign_in_speaks_the_browsers_language(db: None) -> None:
    page = Client().get("/portal/sign-in/", headers={"Accept-Language": "fr"}).content.decode()
    assert "Se connecter" in page
    page = Client().get("/portal/sign-in/", headers={"Accept-Language": "sw"}).content.decode()
    assert "Jina la mtumiaji" in page
