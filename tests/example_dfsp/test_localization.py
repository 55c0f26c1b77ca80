"""The languages: every text of the pages is translated, with the same values; amounts are written as people expect."""

import ast
import gettext
import re
from pathlib import Path

import jinja2
import pytest

from example_dfsp import localization, reasons
from kitovu_connector import parse_amount

HERE = Path(localization.__file__).parent
_CALLS = {"_": 0, "Fault": 1, "CodeError": 0}  # the calls in Python whose argument is a text for people


def texts_of_templates() -> set[str]:
    environment = jinja2.Environment(extensions=["jinja2.ext.i18n"])
    environment.newstyle_gettext = True  # type: ignore[attr-defined]
    found = set()
    for path in (HERE / "templates").glob("*.html"):
        for _, _, text in environment.extract_translations(path.read_text()):  # type: ignore[attr-defined]
            found.add(text[0] if isinstance(text, tuple) else text)
    return found - {None}  # a text that is not a constant, such as a fault's


def texts_of_code() -> set[str]:
    found = set()
    for path in HERE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
                place = _CALLS[node.func.id]
                given = node.args[place] if len(node.args) > place else None
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    found.add(given.value)
    return found


def values_in(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)s", text))


@pytest.mark.parametrize("language", ["fr", "sw"])
def test_every_text_is_translated(language: str) -> None:
    wanted = texts_of_templates() | texts_of_code()
    assert len(wanted) > 300
    known = {text: found for text, found in localization.catalogue(language)._catalog.items() if text}  # type: ignore[attr-defined]
    assert wanted - known.keys() == set(), "to be translated"
    assert known.keys() - wanted == set(), "no page has these any more"
    assert [text for text, found in known.items() if values_in(text) != values_in(found)] == []
    assert [text for text, found in known.items() if not found.strip()] == []


@pytest.mark.parametrize("language", ["fr", "sw"])
def test_the_compiled_catalogue_is_the_one_that_people_edit(language: str) -> None:
    source = (HERE / "languages" / f"{language}.po").read_text()
    pairs = re.findall(r'^msgid "(.+)"\nmsgstr "(.*)"$', source, re.MULTILINE)
    with (HERE / "languages" / f"{language}.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert len(pairs) > 300
    stale = [text for text, found in pairs if compiled.gettext(_read(text)) != _read(found)]
    assert stale == [], "msgfmt -o example_dfsp/languages/XX.mo example_dfsp/languages/XX.po"


def _read(quoted: str) -> str:
    return str(ast.literal_eval(f'"{quoted}"'))


def test_amounts_are_written_as_people_expect() -> None:
    amount = parse_amount("1234567.5")
    assert localization.money_shown(amount, "TZS", "en") == "1,234,567.50\N{NO-BREAK SPACE}TZS"
    assert localization.money_shown(-amount, "TZS", "sw") == "\N{MINUS SIGN}1,234,567.50\N{NO-BREAK SPACE}TZS"
    assert localization.amount_shown(amount, "fr") == "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567,50"
    assert localization.amount_shown(parse_amount("999"), "en") == "999"


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [(None, "sw-TZ,sw;q=0.9,en;q=0.8", "sw"), ("fr", "sw", "fr"), ("xx", "de,fr;q=0.5", "fr"), (None, "", "en")],
)
def test_the_language_is_the_chosen_one_or_the_browsers(cookie: str | None, header: str, language: str) -> None:
    assert localization.chosen(cookie, header) == language


def test_every_code_has_a_reason_and_a_rule_of_the_scheme_has_its_text() -> None:
    for code in ("3204", "4299", "5999", "9999", "", None):
        assert reasons.reason(str, code, "").endswith(".")
    assert reasons.reason(str, "4241", "the daily limit is 1,000,000 TZS").endswith(
        "(the daily limit is 1,000,000 TZS)"
    )
    assert "secret" not in reasons.reason(str, "5104", "secret")
