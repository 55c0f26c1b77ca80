"""A39, A41: a settlement bank's file that is wrong, hostile or somebody else's is refused; and totals agree exactly."""

import gzip
import hashlib
import io
import zipfile
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, transaction
from django.test import Client

from fspiop.money import format_amount
from hub.audit.models import Approval
from portal.permissions import Role
from settlement.bank_statements.matching import bare
from settlement.bank_statements.parsing import MOST_OCTETS, Unreadable, read
from settlement.models import Settlement, Statement, StatementLine
from tests.portal.people import browser
from tests.settlement import operator_steps
from tests.world import World

HEAD = "settlement,reference,participant,currency,amount,direction"


@pytest.fixture
def settlement(committed_world: World) -> Settlement:
    """green owes blue 100, and the hub has posted all but the end."""
    operator_steps.add_model()
    operator_steps.pay(committed_world, "green", "blue", 100)
    made = operator_steps.settle(operator_steps.close())
    for state in operator_steps.STEPS[:-1]:
        operator_steps.step(made, state)
    return Settlement.objects.get(pk=made["id"])


@pytest.fixture
def officer(settlement: Settlement) -> Client:
    return browser(Role.SETTLEMENT)


def rows_of(settlement: Settlement) -> list[list[str]]:
    """What the bank has to move, as its file says it."""
    return [
        [
            str(settlement.pk),
            bare(account.transfer_id),
            account.account.participant.name,
            "TZS",
            format_amount(abs(int(account.net))),
            "DEBIT" if account.net > 0 else "CREDIT",
        ]
        for account in settlement.accounts.order_by("id")
    ]


def file_of(rows: list[list[str]], head: str = HEAD) -> bytes:
    return "\n".join([head, *(",".join(row) for row in rows)]).encode()


def send(client: Client, settlement: Settlement, octets: bytes, name: str = "bank.csv") -> str:
    """What the page says to a file."""
    answer = client.post(
        f"/portal/settlement/{settlement.pk}/statements/", {"file": SimpleUploadedFile(name, octets)}, follow=True
    )
    assert answer.status_code == 200
    return " ".join(str(message) for message in answer.context["messages"])


def changed(rows: list[list[str]], column: int, value: str) -> bytes:
    return file_of([[*rows[0][:column], value, *rows[0][column + 1 :]], *rows[1:]])


def packed(name: str, octets: bytes) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, octets)
    return kept.getvalue()


def test_a39_a_wrong_or_hostile_file_is_refused_with_its_reason_and_nothing_is_kept(
    settlement: Settlement, officer: Client
) -> None:
    rows = rows_of(settlement)
    for octets, why in (
        (packed("s.csv", b"0" * 50_000_000), "compressed file"),
        (gzip.compress(b"0" * 50_000_000), "compressed file"),
        (b"\xd0\xcf\x11\xe0" + b"old spreadsheet", "compressed file"),
        (file_of(rows) + b"\n" * MOST_OCTETS, "larger than"),
        ("\n".join([HEAD, "ärger"]).encode("latin-1"), "not UTF-8"),
        (file_of(rows).decode().encode("utf-16"), "not UTF-8"),
        (file_of(rows) + b"\0", "not UTF-8"),
        (changed(rows, 1, "=HYPERLINK(1)"), "begins like a formula"),
        (changed(rows, 2, " @SUM(A1)"), "begins like a formula"),
        (changed(rows, 4, "-100"), "begins like a formula"),
        (changed(rows, 4, "+100"), "begins like a formula"),
        (changed(rows, 4, "1e2"), "amount must look like"),
        (changed(rows, 4, "0"), "amount must look like"),
        (changed(rows, 4, "1_0"), "amount must look like"),
        (changed(rows, 4, "100.00001"), "amount must look like"),
        (changed(rows, 4, "99999999999999999999"), "amount must look like"),
        (changed(rows, 4, "\u0661\u0660\u0660"), "amount must look like"),
        (changed(rows, 3, "KES"), "this settlement has no amounts in this currency"),
        (changed(rows, 3, "tzs"), "currency is unknown"),
        (changed(rows, 5, "OUT"), "neither DEBIT nor CREDIT"),
        (changed(rows, 0, str(settlement.pk + 1)), f"of settlement {settlement.pk + 1}"),
        (changed(rows, 0, f"window {settlement.contents.get().window_id}"), "of settlement window"),
        (changed(rows, 2, "x" * 141), "too long"),
        (changed(rows, 2, '"gr\neen"'), "cannot be printed"),
        (changed(rows, 2, '"green'), "quotation marks do not match"),
        (file_of([[row[0], "x", *row[2:]] for row in rows]), f"has a reference of settlement {settlement.pk}"),
        (file_of(rows, HEAD + ",more"), "must name"),
        (file_of(rows, HEAD.replace("amount", "reference")), "must name"),
        (file_of([row[:-1] for row in rows]), "as many cells"),
        (file_of([]), "has no line"),
        (file_of([rows[0]] * 10_001), "more than 10000 lines"),
        (b"", "not empty"),
    ):
        said = send(officer, settlement, octets)
        assert why in said, (octets[:80], said)
    assert not Statement.objects.exists()
    assert Settlement.objects.get().state == "PS_TRANSFERS_COMMITTED"


def test_a39_a_request_that_is_too_large_is_refused_before_it_is_read(settlement: Settlement, officer: Client) -> None:
    class Unread(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("somebody read it")

    answer = officer.generic(
        "POST",
        f"/portal/settlement/{settlement.pk}/statements/",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(10**9),
        **{"wsgi.input": Unread()},
    )
    assert answer.status_code == 413


def test_a41_xml_with_a_document_type_is_refused_and_no_entity_is_worked_out(
    settlement: Settlement, officer: Client
) -> None:
    laughs = "<!DOCTYPE x [" + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(20)) + "]>"
    for octets, why in (
        (f"{laughs}<Document>&a20;</Document>".encode(), "document type"),
        (b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Document>&f;</Document>', "document type"),
        (b"<Document>", "not well-formed"),
        (b"<Document/>", "not a camt.053"),
        (b"<a>" * 100_000, "not well-formed"),
        (b"<a>" * 100_000 + b"</a>" * 100_000, "not a camt.053"),
        (b'<?xml version="1.0" encoding="UTF-7"?><Document/>', "not a camt.053"),
        (b'<?xml version="1.0" encoding="none"?><Document/>', "not a camt.053"),
    ):
        assert why in send(officer, settlement, octets, "bank.xml")
    assert not Statement.objects.exists()


def test_a39_one_file_is_taken_in_once_until_another_file_follows(settlement: Settlement, officer: Client) -> None:
    rows = rows_of(settlement)
    octets, wrong = file_of(rows), file_of([[*row[:4], "99.99", row[5]] for row in rows])
    assert "every line is expected" in send(officer, settlement, octets)
    assert "already uploaded" in send(officer, settlement, octets, "another-name.csv")
    assert Statement.objects.get().is_exact
    assert "does not match" in send(officer, settlement, wrong)
    assert "every line is expected" in send(officer, settlement, octets)
    assert list(Statement.objects.order_by("id").values_list("is_exact", flat=True)) == [True, False, True]
    ask = {"to": "SETTLED", "reason": "the bank says so"}
    assert officer.post(f"/portal/settlement/{settlement.pk}/advance/", ask).status_code == 302


CAMT = """<Document><BkToCstmrStmt><Stmt>{entries}</Stmt></BkToCstmrStmt></Document>"""
ENTRY = """<Ntry><Amt Ccy="{3}">{4}</Amt><CdtDbtInd>{direction}</CdtDbtInd><Sts>BOOK</Sts>
<NtryDtls><TxDtls><Refs><EndToEndId>{1}</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>"""


def camt_of(settlement: Settlement) -> bytes:
    """The bank's camt.053 file, which does not name the settlement."""
    directions = {"DEBIT": "DBIT", "CREDIT": "CRDT"}
    entries = [ENTRY.format(*row, direction=directions[row[5]]) for row in rows_of(settlement)]
    return CAMT.format(entries="".join(entries)).encode()


def test_a39_the_file_of_another_settlement_is_refused_and_fits_its_own_settlement(
    committed_world: World, settlement: Settlement, officer: Client
) -> None:
    operator_steps.pay(committed_world, "green", "blue", 7)
    other = Settlement.objects.get(pk=operator_steps.settle(operator_steps.close())["id"])
    said = send(officer, settlement, camt_of(other), "bank.xml")
    assert f"The file is about settlement {other.pk}" in said
    assert not Statement.objects.exists()
    assert "every line is expected" in send(officer, other, camt_of(other), "bank.xml")


def test_a39_a_file_that_an_earlier_version_took_in_for_a_wrong_settlement_still_fits_its_own(
    committed_world: World, settlement: Settlement, officer: Client
) -> None:
    operator_steps.pay(committed_world, "green", "blue", 7)
    other = Settlement.objects.get(pk=operator_steps.settle(operator_steps.close())["id"])
    octets = camt_of(other)
    Statement.objects.create(
        settlement=settlement,
        name="bank.xml",
        body=octets,
        sha256=hashlib.sha256(octets).hexdigest(),
        is_exact=False,
        actor="test",
    )
    assert "every line is expected" in send(officer, other, octets, "bank.xml")
    assert "every line is expected" in send(officer, settlement, camt_of(settlement), "bank.xml")


def test_a39_a_settlement_that_ended_takes_no_statement(settlement: Settlement, officer: Client) -> None:
    octets = file_of(rows_of(settlement))
    shown: dict[str, Any] = operator_steps.settlement_api("GET", f"/settlements/{settlement.pk}").json()
    operator_steps.step(shown, "SETTLED")
    assert "no bank statement is expected" in send(officer, settlement, octets)
    assert not Statement.objects.exists()


def test_a39_totals_that_do_not_match_exactly_are_shown_and_settle_nothing(
    settlement: Settlement, officer: Client
) -> None:
    rows = rows_of(settlement)
    wrong = [[*row[:4], "99.99", row[5]] for row in rows]
    assert "does not match this settlement" in send(officer, settlement, file_of(wrong))
    page = officer.get(f"/portal/settlement/statements/{Statement.objects.get().pk}/").content.decode()
    assert page.count("OTHER_AMOUNT") == 2
    assert "99.99" in page
    ask = {"to": "SETTLED", "reason": "the bank says so"}
    assert officer.post(f"/portal/settlement/{settlement.pk}/advance/", ask).status_code == 400
    assert not Approval.objects.exists()
    assert Settlement.objects.get().state == "PS_TRANSFERS_COMMITTED"
    # An approval that was asked for on other evidence does not settle it either.
    send(officer, settlement, file_of(rows))
    assert officer.post(f"/portal/settlement/{settlement.pk}/advance/", ask).status_code == 302
    send(officer, settlement, file_of(wrong[::-1]))
    checker = browser(Role.RISK)
    answer = checker.post(f"/portal/approvals/{Approval.objects.get().pk}/approve/", follow=True)
    assert "The hub has withdrawn this request" in answer.content.decode()
    assert Settlement.objects.get().state == "PS_TRANSFERS_COMMITTED"


def test_a39_a_statement_that_agrees_is_evidence_and_moves_nothing_until_a_second_person_approves(
    committed_world: World, settlement: Settlement, officer: Client
) -> None:
    before = [committed_world.position(name) for name in committed_world.ids]
    send(officer, settlement, file_of(rows_of(settlement)))
    assert Settlement.objects.get().state == "PS_TRANSFERS_COMMITTED"
    officer.post(f"/portal/settlement/{settlement.pk}/advance/", {"to": "SETTLED", "reason": "agrees"})
    approval = Approval.objects.get()
    checker = browser(Role.RISK)
    assert Statement.objects.get().sha256 in checker.get(f"/portal/approvals/{approval.pk}/").content.decode()
    officer.post(f"/portal/approvals/{approval.pk}/approve/")
    assert Settlement.objects.get().state == "PS_TRANSFERS_COMMITTED"
    checker.post(f"/portal/approvals/{approval.pk}/approve/")
    assert Settlement.objects.get().state == "SETTLED"
    references = set(settlement.accounts.values_list("external_reference", flat=True))
    assert references == {row[1] for row in rows_of(settlement)}
    assert [committed_world.position(name) for name in committed_world.ids] == before
    assert committed_world.breaks() == []


def test_a39_what_the_hub_gives_to_the_bank_comes_back_as_an_exact_statement(
    settlement: Settlement, officer: Client
) -> None:
    answer = officer.get(f"/portal/settlement/{settlement.pk}/obligations.csv")
    octets = b"".join(answer.streaming_content)
    assert "every line is expected" in send(officer, settlement, octets)
    kept = officer.get(f"/portal/settlement/statements/{Statement.objects.get().pk}/file/")
    assert kept.content == octets
    assert kept["Content-Disposition"].startswith("attachment")


def test_a39_a_statement_that_was_taken_in_is_never_changed(settlement: Settlement, officer: Client) -> None:
    send(officer, settlement, file_of(rows_of(settlement)))
    for model in (Statement, StatementLine):
        for act in (lambda m: m.objects.all()._raw_delete("default"), lambda m: m.objects.update(id=9)):
            with pytest.raises(DatabaseError), transaction.atomic():
                act(model)


def test_a39_names_and_cells_of_a_file_are_shown_and_never_run(settlement: Settlement, officer: Client) -> None:
    rows = rows_of(settlement)
    rows[0][1] = "<script>alert(1)</script>"
    send(officer, settlement, file_of(rows), "<img src=x onerror=alert(1)>.csv")
    for path in (f"statements/{Statement.objects.get().pk}/", f"{settlement.pk}/"):
        page = officer.get(f"/portal/settlement/{path}").content.decode()
        assert "<script>alert(1)" not in page
        assert "<img src=x" not in page


def test_a39_no_octets_make_the_reader_stumble() -> None:
    for octets in (b"<" * 1000, b"\xef\xbb\xbf", b",", b'"', b"\r\r\r", b"<?xml", HEAD.encode() + b'\n"', b"\x1f\x8b"):
        with pytest.raises(Unreadable):
            read(octets)
