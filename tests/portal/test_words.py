"""What people read: words in place of internals, their language's numbers, one word for one thing, and clear faults."""

import ast
import logging
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import get_commands, load_command_class
from django.db import connection
from django.test import Client
from django.utils import translation

from fspiop.errors import ErrorCode, FspiopError
from hub.audit import record
from hub.audit.models import Approval
from hub.participants.models import Participant
from ledger.commands_and_outcomes import Refusal
from ledger.models import Transfer
from portal import changes, signed_payment_documents
from portal.alarms.kinds import KINDS as ALARMS
from portal.changes.credentials import KIND_NAMES
from portal.models import Profile
from portal.payment_search_form import PaymentSearch
from portal.permissions import Role
from portal.templatetags import portal as tags
from portal.views.account_statements import Days
from portal.views.audit import AuditSearch
from portal.views.conversions import TermsSearch
from portal.views.history import HistorySearch
from portal.views.transfers import TransferSearch
from portal.words import actors, errors, kinds, recorded_values, refusals, service_texts, states, subjects
from portal.words.errors import words_for
from rules.language import refusal_codes
from settlement.states import State
from tests.api import messages
from tests.api.caller import dfsp
from tests.api.test_transaction_requests import request_to_pay
from tests.cases import of_each
from tests.portal.people import browser, browser_of, person
from tests.portal.test_requests_checked_when_made import settled_up_to
from tests.world import World, amount, prepare, reject, run


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_a_history_has_words_in_place_of_internals(world: World) -> None:
    record(
        "approval_asked",
        subject="green",
        actor="asha",
        after={
            "kind": "onboard",
            "payload": {
                "currencies": [{"currency": "TZS", "ndc": amount(5000)}],
                "contacts": [{"name": "Neema", "email": "neema@green.example"}],
                "amount": amount(1250),
            },
            "validUntil": "2028-11-29T13:02:44.123456+00:00",
            "isActive": True,
        },
    )
    for client, path in (
        (browser(Role.AUDITOR), "/portal/audit/?subject=green"),
        (browser(Role.VIEWER), "/portal/participants/green/"),
    ):
        page = text_of(client.get(path).content.decode()).replace("&#x27;", "'")
        for words in ("5,000.00", "1,250.00", "Net debit cap", "neema@green.example", "2028-11-29 13:02:44", "yes"):
            assert words in page, (path, words)
        for internal in ("{'", "[{", str(amount(5000)), ".123456", "validUntil", "isActive", "True"):
            assert internal not in page, (path, internal)


def _recorded_names(path: Path) -> Iterator[str]:
    """The names of the values that a module records, and that the payload of a request has."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("record", "audit.record", "Change"):
            values = [each.value for each in node.keywords if each.arg in ("before", "after")]
            keys = [
                key for value in values for each in ast.walk(value) if isinstance(each, ast.Dict) for key in each.keys
            ]
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "payload":
            keys = [node.slice]
        else:
            continue
        yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


def test_every_recorded_value_has_a_translated_label() -> None:
    apps = ("hub", "directory", "ledger", "settlement", "rules", "portal")
    modules = [path for app in apps for path in Path(settings.BASE_DIR, app).rglob("*.py")]
    names = {name for path in modules for name in _recorded_names(path)} - {"secret_sha256"}  # is never recorded
    assert len(names) > 80
    assert names - recorded_values.LABELS.keys() == set()
    english = {name: str(label) for name, label in recorded_values.LABELS.items()}
    with translation.override("sw"):
        assert {label for name, label in english.items() if recorded_values.label_of(name) == label} == {
            "DFSP",
            "SHA-256",
        }


@pytest.mark.parametrize("code", ["fr", "sw"])
def test_a_recorded_kind_of_request_and_a_recorded_role_are_words(world: World, code: str) -> None:
    cache.clear()
    record(
        "approval_asked", subject="green", actor="asha", after={"kind": "change_cap", "payload": {"roles": ["risk"]}}
    )
    record("alarm_acknowledged", subject="alarm 71", actor="asha", after={"kind": "near_limit", "about": "green TZS"})
    record("roles_changed", subject="green", actor="asha", before=["viewer"], after=["risk", "operator"])
    user = person(Role.AUDITOR)
    Profile.objects.filter(user=user).update(language=code)
    page = text_of(browser_of(user).get("/portal/audit/?actor=asha").content.decode())
    with translation.override(code):
        title, role = str(changes.KINDS["change_cap"].title), str(Role.RISK.label)
        other = str(Role.OPERATOR.label)
        alarm = str(ALARMS["near_limit"].title)
    assert title in page
    assert alarm in unescape(page)
    assert "alarm 71" not in page
    assert f"{role}, {other}" in page
    assert "change_cap" not in page


def test_numbers_are_written_as_the_language_writes_them() -> None:
    faults = []
    for code, million, percent, seconds in (
        ("en", "1,234,567.50", "99.5 %", "4.2 s"),
        ("fr", "1\u202f234\u202f567,50", "99,5 %", "4,2 s"),
        ("sw", "1,234,567.50", "99.5 %", "4.2 s"),
    ):
        with translation.override(code):
            said = (tags.money(12_345_675_000, "TZS"), tags.as_percent(99.5), tags.age(4.2), tags.whole(1234567))
        if said != (million, percent, seconds, million[:-3]):
            faults.append((code, said))
    assert faults == []
    for code, spans in (("en", "2 d, 5 h, 3 min"), ("fr", "2 j, 5 h, 3 min"), ("sw", "siku 2, saa 5, dakika 3")):
        with translation.override(code):
            assert ", ".join(map(tags.age, (2 * 86400, 5 * 3600, 180))) == spans


def test_states_are_words_in_each_language() -> None:
    for code in ("fr", "sw"):
        with translation.override(code):
            same = [
                name
                for name in tags.STATE_WORDS
                if f">{name}<" in tags.state(name) or f">{name.replace('_', ' ')}<" in tags.state(name)
            ]
        assert same == []
    assert ">DEAD<" not in tags.state("DEAD")
    assert re.sub("<[^>]+>", "", tags.state("DEAD")) == re.sub("<[^>]+>", "", tags.state("GIVEN_UP")) == "GIVEN UP"


_INTERNAL = ("PS_TRANSFERS", "PENDING_SETTLEMENT", "COMMITTED", "SETTLED", "ABORTED", "REJECTED")


def said_on(page: str) -> str:
    """What a person reads on a page; only the messages, as they were sent, keep their language."""
    return text_of(re.sub(r'<pre class="raw".*?</pre>', "", page, flags=re.DOTALL))


@pytest.mark.parametrize("code", ["fr", "sw"])
def test_no_page_of_a_payment_or_a_settlement_has_a_states_internal_name(world: World, code: str) -> None:
    cache.clear()
    user = person(Role.SETTLEMENT)
    Profile.objects.filter(user=user).update(language=code)
    client = browser_of(user)
    settlement = settled_up_to(world, State.PS_TRANSFERS_COMMITTED)
    paid = Transfer.objects.get(state="COMMITTED")
    path = f"/portal/settlement/{settlement.pk}"
    without = {"without_statement": "on", "because": "b"}
    assert client.post(f"{path}/advance/", {"to": "SETTLED", "reason": "r"} | without).status_code == 302
    payment = client.get(f"/portal/transfers/{paid.pk}/")
    for text in (
        said_on(payment.content.decode()),
        payment.context["for_the_bank"],
        *(said_on(client.get(f"{path}/{step}/").content.decode()) for step in ("advance", "abort")),
        said_on(client.get(f"/portal/approvals/{Approval.objects.get().pk}/").content.decode()),
    ):
        assert [name for name in _INTERNAL if name in text] == [], text
    with translation.override(code):
        facts = signed_payment_documents._facts(paid, payment.context["verdict"])
        assert states.word_of("COMMITTED") in [text for _label, text in facts]
        assert "COMMITTED" not in [text for _label, text in facts]


def test_every_reason_of_a_refusal_has_words_in_each_language() -> None:
    assert set(refusals.WORDS) == {reason.value for reason in Refusal}
    for code in ("fr", "sw"):
        with translation.override("en"):
            english = {name: str(words) for name, words in refusals.WORDS.items()}
        with translation.override(code):
            assert [name for name, words in english.items() if refusals.word_of(name) == words] == []


@pytest.mark.parametrize("code", ["fr", "sw"])
def test_a_payments_history_tells_the_reason_of_its_end_in_words(world: World, code: str) -> None:
    cache.clear()
    rejected, refused = prepare(world, "green", "blue", 10), prepare(world, "green", "blue", 2000)
    run(rejected)
    run(reject(world, "blue", rejected.transfer_id))
    run(refused)
    user = person(Role.VIEWER)
    Profile.objects.filter(user=user).update(language=code)
    client = browser_of(user)
    for transfer, reason in ((rejected, "REJECTED_BY_PAYEE"), (refused, "NDC")):
        page = client.get(f"/portal/transfers/{transfer.transfer_id}/")
        (end,) = [moment for moment in page.context["story"].moments if moment.tone == "bad"]
        with translation.override(code):
            assert end.detail.startswith(f"{refusals.WORDS[reason]}: ")


@pytest.mark.parametrize("code", ["fr", "sw"])
def test_a_requests_subject_is_in_the_visitors_language(world: World, code: str) -> None:
    cache.clear()
    user = person(Role.SETTLEMENT)
    Profile.objects.filter(user=user).update(language=code)
    client = browser_of(user)
    settlement = settled_up_to(world, State.PS_TRANSFERS_COMMITTED)
    said = {"to": "SETTLED", "reason": "r", "without_statement": "on", "because": "b"}
    assert client.post(f"/portal/settlement/{settlement.pk}/advance/", said).status_code == 302
    request = Approval.objects.get()
    checker = person(Role.RISK)
    Profile.objects.filter(user=checker).update(language=code)
    assert browser_of(checker).post(f"/portal/approvals/{request.pk}/approve/").status_code == 302
    page = said_on(client.get("/portal/approvals/").content.decode())
    with translation.override(code):
        assert subjects.words_of(request.subject, request.kind) in page
    assert request.subject == f"settlement {settlement.pk}"
    # The page also has the name of the person, "settlement", before a date.
    assert re.search(rf"{request.subject}\b", page) is None


def test_each_form_of_a_requests_subject_has_words_in_each_language() -> None:
    forms = ("settlement 5", "list police", "oracle for MSISDN", "oracle 3 for MSISDN TZS", "registration 7 of MSISDN")
    forms += ("name match 4", "kill switch -81", "marker 2", "party 991", "appeal 6", "alarm 3", "alert 8", "window 2")
    forms += ("rules 7", "no rules")
    for code in ("fr", "sw"):
        with translation.override(code):
            assert [form for form in forms if subjects.words_of(form, "any") == form] == []
            assert subjects.words_of("rules", "activate_rules") != "rules"
            assert subjects.words_of("list police", "add_administration_client") == "list police"
            assert subjects.words_of("rules", "change_cap") == "rules"  # a participant of this name
            assert subjects.words_of_entry("directory", "alias_looked_up") == str(translation.gettext("Directory"))
            assert subjects.words_of_entry("directory", "ndc_set") == "directory"  # a participant of this name


def test_kinds_are_words_in_swahili() -> None:
    english = {name: str(word) for name, word in kinds.WORDS.items()}
    with translation.override("sw"):
        assert [name for name, word in english.items() if kinds.word_of(name) == word] == []


@pytest.mark.parametrize("code", ["fr", "sw"])
def test_the_people_of_a_change_are_in_the_visitors_language(world: World, code: str) -> None:
    cache.clear()
    record("ndc_changed", subject="green", actor="asha, approved by ben", after={"ndc": 1})
    record("ndc_changed", subject="green", actor="asha, approved by ben and zuri", after={"ndc": 2})
    user = person(Role.AUDITOR)
    Profile.objects.filter(user=user).update(language=code)
    client = browser_of(user)
    for path in ("/portal/audit/?subject=green", "/portal/participants/green/"):
        page = text_of(client.get(path).content.decode())
        assert "approved by" not in page, path
        with translation.override(code):
            for actor in ("asha, approved by ben", "asha, approved by ben and zuri"):
                assert actors.words_of(actor) in page, path


@pytest.mark.parametrize("code", ["fr", "sw"])
def test_an_attempts_page_has_words_for_its_state_and_its_error(committed_world: World, code: str) -> None:
    cache.clear()
    quote, request = messages.quote(), request_to_pay()
    assert dfsp("POST", "/quotes", quote, destination="blue").status_code == 202
    path = f"/quotes/{quote['quoteId']}/error"
    assert dfsp("PUT", path, messages.error("5103"), source="blue", destination="green").status_code == 200
    assert dfsp("POST", "/transactionRequests", request, source="blue", destination="green").status_code == 202
    path, answer = f"/transactionRequests/{request['transactionRequestId']}", {"transactionRequestState": "REJECTED"}
    assert dfsp("PUT", path, answer, source="green", destination="blue").status_code == 200
    user = person(Role.VIEWER)
    Profile.objects.filter(user=user).update(language=code)
    client = browser_of(user)
    page = said_on(client.get(f"/portal/payments/quotes/{quote['quoteId']}/").content.decode())
    assert "5103" in page
    assert "Payee FSP rejected quote" not in page
    page = said_on(client.get(f"/portal/payments/requests/{request['transactionRequestId']}/").content.decode())
    assert "REJECTED" not in page


@pytest.mark.parametrize("code", ["fr", "sw"])
def test_alarms_name_credentials_and_requests_in_words(code: str) -> None:
    with translation.override(code):
        until = {"participant": "green", "kind": "signingKey", "label": "", "until": "2026-12-01T00:00:00"}
        assert str(KIND_NAMES["signingKey"]) in ALARMS["ending_certificate"].sentence(until)  # type: ignore[index]
        waiting = {"number": 5, "kind": "add_oracle", "subject": "oracle for MSISDN", "seconds": 9000}
        sentence = ALARMS["waiting_approval"].sentence(waiting)
        assert str(changes.KINDS["add_oracle"].title) in sentence
    assert "oracle for" not in sentence
    assert "signingKey" not in ALARMS["ending_certificate"].sentence(until)


def _details(path: Path) -> Iterator[str]:
    """The detail of each refusal in a module, with X in place of values."""
    for node in ast.walk(ast.parse(path.read_text())):
        name = getattr(getattr(node, "func", None), "id", "")
        if isinstance(node, ast.Call) and name in ("FspiopError", "_refused"):
            detail = node.args[-1]
            if isinstance(detail, ast.Constant) and isinstance(detail.value, str):
                yield detail.value
            elif isinstance(detail, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in detail.values)


# The services behind the changes of the portal.
_SERVICES = (
    "hub/participants/credentials.py",
    "hub/participants/networks_and_contacts.py",
    "hub/participants/offboarding.py",
    "hub/participants/services.py",
    "hub/administration/services.py",
    "ledger/accounts_and_funds.py",
    "ledger/settlement_funds_in_and_out.py",
    "ledger/held_transfers/services.py",
    "settlement/services/closing_participants.py",
    "settlement/services/settlement_models.py",
    "settlement/services/settlements.py",
    "settlement/services/windows.py",
    "directory/oracles.py",
    "directory/builtin_oracle.py",
    "rules/markers/services.py",
    "rules/rulesets/services.py",
)


def test_the_services_refuse_in_the_language_of_the_reader() -> None:
    details = {detail for name in _SERVICES for detail in _details(Path(settings.BASE_DIR) / name)}
    assert len(details) > 60
    for code in ("fr", "sw"):
        with translation.override(code):
            assert [detail for detail in details if service_texts.words_of(detail) == detail] == [], code
            told = words_for(FspiopError(ErrorCode.CLIENT_ERROR, "green is leaving already"))
            assert "green" in told
            assert "leaving" not in told
    assert words_for(FspiopError(ErrorCode.CLIENT_ERROR, "green is leaving already")).endswith(
        "green is leaving already"
    )


def test_the_errors_of_the_api_are_words_in_each_language(world: World) -> None:
    cache.clear()
    user = person(Role.VIEWER)
    Profile.objects.filter(user=user).update(language="fr")
    refused = prepare(world, "green", "blue", 9_999)
    run(refused)
    client = browser_of(user)
    page = client.get("/portal/transfers/").content.decode()
    assert "4001" in page
    assert "liquidité" in page
    story = client.get(f"/portal/transfers/{refused.transfer_id}/").content.decode()
    # only the message itself, as it was sent, keeps its language
    cap = prepare(world, "green", "blue", 4_000)
    run(cap)
    story_of_cap = client.get(f"/portal/transfers/{cap.transfer_id}/").content.decode()
    assert "le plafond de débit net était trop bas" in story_of_cap
    assert "net debit cap" not in re.sub(r'<pre class="raw".*?</pre>', "", story_of_cap, flags=re.DOTALL)
    assert "insufficient liquidity" not in page + re.sub(r'<pre class="raw".*?</pre>', "", story, flags=re.DOTALL)


def test_the_errors_of_the_schemes_rules_are_words_in_each_language() -> None:
    assert {code: str(text) for code, text in errors.SCHEME_TEXTS.items()} == refusal_codes.CODES
    with translation.override("fr"):
        for description in ("", "Payee may not receive"):
            assert errors.words_of("5540", description) == "Le bénéficiaire n'a pas le droit de recevoir"
        assert errors.words_of("5540", "the rule's own text") == "the rule's own text"


def test_a_paused_participant_is_paused_on_each_page(world: World) -> None:
    Participant.objects.filter(name="green").update(is_active=False)
    client = browser(Role.VIEWER)
    for path in ("/portal/participants/", "/portal/participants/green/"):
        page = client.get(path).content.decode()
        assert "paused" in page, path
        assert "inactive" not in page, path


def test_a_nul_is_a_bad_request_and_no_fault_of_the_hub(world: World) -> None:
    client = browser_of(person(Role.OPERATOR), raise_request_exception=False)
    api = Client(raise_request_exception=False)

    def check(path: str) -> None:
        if path.startswith("/api"):  # the administration APIs have answers of their own, as the reference's
            assert api.get(path).status_code in (200, 400, 401)
            return
        answer = client.get(path)
        assert answer.status_code == 400, answer.status_code
        assert b"<html" in answer.content

    of_each(
        [
            "/portal/transfers/%00/",
            "/portal/transfers/?party=%00",
            "/portal/participants/gre%00en/",
            "/portal/audit/?subject=x%00",
            "/portal/directory/?value=%00",
            "/admin/%00",
            "/admin/login/?next=%00",
            "/api/ledger/v1/participants/%00",
            "/api/ledger/v1/participants?x=%00",
            "/api/settlement/v2/settlements?state=%00",
        ]
    )(check)()
    cookie = Client(raise_request_exception=False, headers={"Cookie": 'kitovu_session="aaaaaaaaaaaa\\000"'})
    assert cookie.get("/portal/").status_code == 400
    asked = Client(raise_request_exception=False)
    assert asked.post("/portal/sign-in/", {"login": "a\0", "password": "x"}).status_code in (200, 400)


def test_the_page_of_a_fault_has_a_reference_that_is_in_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from portal.views import audit

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of the page")

    client = browser_of(person(Role.AUDITOR), raise_request_exception=False)
    monkeypatch.setattr(audit.AuditSearch, "rows", broken)
    with caplog.at_level(logging.ERROR):
        answer = client.get("/portal/audit/")
    page = answer.content.decode()
    assert answer.status_code == 500
    assert "portal.css" in page
    assert "Reference" in page
    found = re.search(r'data-reference="([0-9A-Z-]{8,})"', page)
    assert found is not None
    assert any(found[1] in str(line.msg) for line in caplog.records)
    assert "a fault of the page" not in page


# --- what is printed for people to type -------------------------------------------------------------------------------


def test_the_commands_for_the_first_users_work_as_printed(transactional_db: None, tmp_path: Path) -> None:
    from hub.local.__main__ import first_users

    url = connection.settings_dict
    database = f"postgres://{url['USER']}:{url['PASSWORD']}@{url['HOST']}:{url['PORT']}/{url['NAME']}"
    if str(url["HOST"]).startswith("/"):
        database = f"postgres://{url['USER']}@/{url['NAME']}?host={url['HOST']}&port={url['PORT']}"
    printed = first_users("http://127.0.0.1:9", tmp_path / "state")
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("STATE", "PORT", "VIRTUAL_ENV", "DJANGO_SETTINGS_MODULE")
    }
    env |= {"DATABASE_URL": database, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-ec", "\n".join(printed)], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert User.objects.count() == 2
    assert done.stdout.count("http://127.0.0.1:9/portal/invitation/#") == 2


def test_the_command_that_removes_a_hub_names_the_hubs_own_folder(tmp_path: Path) -> None:
    from hub.local.__main__ import clean_command

    assert clean_command(Path(settings.BASE_DIR) / ".local") == "make clean"
    assert clean_command(tmp_path / "a hub") == f"make clean STATE='{tmp_path}/a hub'"


_COMMAND = re.compile(r"manage\.py ([a-z_]+)([^`\n]*)")


def test_the_commands_of_the_operators_page_exist_and_take_these_arguments() -> None:
    text = (Path(settings.BASE_DIR) / "docs" / "operators.md").read_text()
    found = _COMMAND.findall(text)
    assert len(found) > 20

    def check(name: str, rest: str) -> None:
        command = load_command_class(get_commands()[name], name)
        said = re.split(r"\s#|\s>|\s&&|\. |, |: ", rest)[0].rstrip(" .,:;)")
        arguments = shlex.split(said)
        if arguments:
            command.create_parser("manage.py", name).parse_args(arguments)

    of_each(found)(check)()


def test_the_end_of_a_span_of_time_is_not_named_like_a_recipient() -> None:
    for search in (PaymentSearch, Days, AuditSearch, TermsSearch, HistorySearch, TransferSearch):
        for code in ("en", "fr", "sw"):
            with translation.override(code):
                assert str(search.base_fields["until"].label) != translation.gettext("To"), (search, code)
