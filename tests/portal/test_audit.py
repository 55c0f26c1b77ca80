"""The audit trail's page and its proof."""

import ast
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import allauth
import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import translation

from hub.audit import coming_from, record, trail
from hub.audit.models import Approval, Entry
from portal.invitations import Half
from portal.models import Profile
from portal.permissions import Role
from portal.words import actions
from tests.portal.people import browser, browser_of, person
from tests.world import World


def test_an_entry_says_who_when_from_where_before_and_after(world: World) -> None:
    with coming_from("192.0.2.7"):
        record("ndc_changed", subject="green", actor="asha", before={"ndc": 10_000}, after={"ndc": 25_000})
    text = browser(Role.AUDITOR).get("/portal/audit/?subject=green&action=ndc_changed").content.decode()
    for part in ("192.0.2.7", "asha", 'title="ndc_changed">Net debit cap changed<', "<dd>1.00</dd>", "<dd>2.50</dd>"):
        assert part in text
    assert list(trail.broken_links()) == []


def test_an_entry_leads_to_its_request_and_shows_what_people_wrote_as_they_wrote_it(world: World) -> None:
    written = {"reason": "risk", "participant": "operator", "reference": "2026-11-29 10:00", "text": "OPEN"}
    record("approval_asked", subject="green", actor="asha", after={"approval": 7, **written, "role": "risk"})
    page = browser(Role.AUDITOR).get("/portal/audit/?subject=green&actor=asha").content.decode()
    assert '<a href="/portal/approvals/7/">7</a>' in page
    assert [text for text in written.values() if f"<dd>{text}</dd>" not in page] == []
    assert "<dd>Risk officer</dd>" in page


def test_what_a_browser_does_is_recorded_with_its_address(world: World) -> None:
    client = browser(Role.VIEWER)
    client.post("/portal/sign-out/", REMOTE_ADDR="198.51.100.9")
    assert Entry.objects.get(action="signed_out").address == "198.51.100.9"


def test_the_search_is_paged_by_key_and_forgives_bad_input(world: World) -> None:
    for number in range(120):
        record("noted", subject=f"s{number:03}", actor="asha")
    client = browser(Role.AUDITOR)
    page = client.get("/portal/audit/?action=noted")
    first = [entry.subject for entry in page.context["page"].rows]
    assert (len(first), first[0]) == (50, "s119")
    second = client.get("/portal/audit/?" + page.context["page"].next_query).context["page"].rows
    assert second[0].subject == "s069"
    for query in ("before=x", "before=99999999999999999999", "since=nonsense", "before=-1"):
        assert client.get(f"/portal/audit/?{query}").status_code == 200, query


def test_a24_a_cell_that_would_be_a_formula_is_text_in_the_file(world: World) -> None:
    record("noted", subject="=cmd|' /C calc'!A0", actor="@SUM(1)")
    answer = browser(Role.AUDITOR).get("/portal/audit/entries.csv?action=noted")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert (rows[0]["about"], rows[0]["who"]) == ("'=cmd|' /C calc'!A0", "'@SUM(1)")


def test_a37_the_command_finds_an_entry_that_was_changed_behind_the_guards(world: World) -> None:
    record("noted", subject="a", actor="asha")
    said = io.StringIO()
    call_command("check_audit", stdout=said)
    assert "follow each other" in said.getvalue()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
        cursor.execute("UPDATE audit_entry SET address = '192.0.2.1' WHERE action = 'noted'")
        cursor.execute("ALTER TABLE audit_entry ENABLE TRIGGER USER")
    with pytest.raises(CommandError, match="broken"):
        call_command("check_audit", stdout=io.StringIO())


# --- the phrases for actions ------------------------------------------------------------------------------------------

_APPS = ("hub", "directory", "quotes", "ledger", "settlement", "rules", "portal")
_WRITE = ("record", "audit.record", "Change")
# The modules that compute the name of an action, and the names that each of them computes.
_COMPUTED = {
    "hub/audit/approvals.py": {f"approval_{state.lower()}" for state in Approval.State if state != "PENDING"},
    "ledger/accounts_and_funds.py": {"funds_out_committed", "funds_out_aborted"},
    "portal/invitations.py": {f"invitation_{half}_shown" for half in Half},
    # allauth's notices about a user's own password and second factor
    "portal/sign_in.py": {
        path.name.removesuffix("_subject.txt")
        for path in (Path(allauth.__file__).parent / "templates" / "mfa" / "email").glob("*_subject.txt")
        if not path.name.startswith("webauthn_")
    }
    | {"password_changed"},
}


def _written_by(tree: ast.Module) -> Iterator[ast.expr]:
    """The action of each call that writes an entry. For a variable: its values, and the arguments of its function."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    written = [call.args[0] for call in calls if call.args and ast.unparse(call.func) in _WRITE]
    yield from (action for action in written if not isinstance(action, ast.Name))
    if not any(isinstance(action, ast.Name) for action in written):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "action":
            yield node.value
        elif isinstance(node, ast.FunctionDef) and "action" in (names := [each.arg for each in node.args.args]):
            yield from (call.args[names.index("action")] for call in calls if ast.unparse(call.func) == node.name)


def _names(action: ast.expr, module: str) -> set[str]:
    match action:
        case ast.Constant(value=str() as name):
            return {name}
        case ast.IfExp():
            return _names(action.body, module) | _names(action.orelse, module)
    return _COMPUTED[module]


def _written() -> dict[str, set[str]]:
    """The actions that the code writes, by module."""
    found: dict[str, set[str]] = {}
    for path in (path for app in _APPS for path in Path(settings.BASE_DIR, app).rglob("*.py")):
        module, text = str(path.relative_to(settings.BASE_DIR)), path.read_text()
        if "hub.audit import" in text or "import audit" in text:
            found[module] = set().union(*(_names(action, module) for action in _written_by(ast.parse(text))))
    return found


def test_every_action_that_the_code_writes_has_a_phrase_and_no_phrase_is_unused() -> None:
    written = _written()
    assert [module for module, names in _COMPUTED.items() if not names <= written[module]] == []
    assert set().union(*written.values()) == set(actions.PHRASES)
    assert len(set(map(str, actions.PHRASES.values()))) == len(actions.PHRASES)


def test_the_phrases_for_actions_are_in_each_language() -> None:
    english = {name: str(phrase) for name, phrase in actions.PHRASES.items()}
    for code in ("fr", "sw"):
        with translation.override(code):
            assert [name for name, words in english.items() if actions.phrase_of(name) == words] == []


@pytest.mark.parametrize("code", ["fr", "sw"])
def test_the_audit_trail_and_a_participants_history_name_actions_in_the_visitors_language(
    world: World, code: str
) -> None:
    cache.clear()
    record("ndc_changed", subject="green", actor="asha", before={"ndc": 10_000}, after={"ndc": 25_000})
    user = person(Role.AUDITOR)
    Profile.objects.filter(user=user).update(language=code)
    client = browser_of(user)
    with translation.override(code):
        phrase = actions.phrase_of("ndc_changed")
    for path in ("/portal/audit/?subject=green", "/portal/participants/green/"):
        page = client.get(path).content.decode()
        assert f'<span title="ndc_changed">{phrase}</span>' in page, path
        assert ">ndc_changed<" not in page, path


def test_a_person_finds_an_action_by_the_words_that_the_page_shows(world: World) -> None:
    record("ndc_changed", subject="green", actor="asha", before={"ndc": 10_000}, after={"ndc": 25_000})
    record("contact_added", subject="green", actor="asha")
    user = person(Role.AUDITOR)
    client = browser_of(user)

    def found(text: str, language: str) -> list[str]:
        page = client.get(
            "/portal/audit/",
            {"subject": "green", "actor": "asha", "action": text},
            headers={"Accept-Language": language},
        )
        return [entry.action for entry in page.context["page"].rows]

    assert found("Debit cap", "en") == found("ndc", "en") == found("plafond", "fr") == ["ndc_changed"]
    assert found("kikomo", "sw") == ["ndc_changed"]
    assert found("plafond", "en") == []
