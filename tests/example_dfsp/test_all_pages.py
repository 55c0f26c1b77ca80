"""The bank's web site without a hub: what it refuses, and that each person sees only their own."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from example_dfsp import emv_codes, payments, requests_to_pay
from example_dfsp.all_pages import web_site
from example_dfsp.bank_application import Bank
from example_dfsp.books import Books
from example_dfsp.customers import Customer, read_customers
from example_dfsp.emv_codes import PaymentCode, written
from example_dfsp.instructions import Instruction
from example_dfsp.localization import amount_entered
from example_dfsp.pages import requesting, treasury, wallet
from example_dfsp.payment_batches import AT_ONCE
from example_dfsp.payment_lists import Line
from example_dfsp.qr_pictures import svg_of
from example_dfsp.requests_to_pay import RequestMade
from hub.local.net import free_port
from tests.example_dfsp.cases import each
from tests.example_dfsp.test_emv_codes import pixels_of

GRACE, UPENDO, SHOP, AGENT, OFFICE = "255712001001", "255712001002", "255712003001", "255712004001", "255712006001"
NOBODY_THERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connector answers here, so nothing is worth waiting for."""
    monkeypatch.setattr(payments, "PATIENCE_S", 0.02)
    monkeypatch.setattr(requests_to_pay, "_PATIENCE_S", 0.02)


class People:
    """Browsers of one bank, each with the cookies of one person."""

    def __init__(self, bank: Bank, core_port: int, web_port: int) -> None:
        self.bank, self.core = bank, f"http://127.0.0.1:{core_port}"
        self.origin = f"http://127.0.0.1:{web_port}"
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def ask(
        self, who: str, method: str, path: str, data: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, Any]:
        """Status, body and headers of one request, which follows no redirect."""
        if who not in self._sessions:
            self._sessions[who] = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
            if who:
                await self.ask(who, "POST", "/sign-in", {"who": who})
        headers = {"Origin": self.origin} if headers is None else headers
        session = self._sessions[who]
        async with session.request(
            method, self.origin + path, data=data, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, await answer.text(), answer.headers

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()


@asynccontextmanager
async def people(folder: Path) -> AsyncIterator[People]:
    customers: list[Customer] = [customer for customer in read_customers() if customer.dfsp == "greenbank"]
    bank = Bank("greenbank", customers, Books(folder / "books.sqlite3"), NOBODY_THERE)
    ports = [free_port(), free_port()]
    runners = [web.AppRunner(app, access_log=None) for app in (bank.application(), web_site(bank))]
    found = People(bank, *ports)
    try:
        for runner, port in zip(runners, ports, strict=True):
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
        yield found
    finally:
        await found.close()
        for runner in reversed(runners):
            await runner.cleanup()


def tell(folder: Path, story: Callable[[People], Awaitable[None]]) -> None:
    async def run() -> None:
        async with people(folder) as found:
            await story(found)

    asyncio.run(run())


# --- other sites ------------------------------------------------------------------------------------------------------


@each(
    "headers",
    {
        "another site": {"Origin": "https://evil.example"},
        "another port of this machine": {"Origin": "http://127.0.0.1:1"},
        "no origin": {},
        "a sandboxed page": {"Origin": "null"},
        "a browser that says so": {"Origin": "SELF", "Sec-Fetch-Site": "cross-site"},
        "a page of another host on this site": {"Origin": "SELF", "Sec-Fetch-Site": "same-site"},
    },
)
def test_no_other_site_acts_for_a_person(headers: dict[str, str], tmp_path: Path) -> None:
    async def story(found: People) -> None:
        sent = {name: found.origin if value == "SELF" else value for name, value in headers.items()}
        form = {"number": "255655001001", "amount": "1000"}
        for path in ("/send", "/sign-in", "/sign-out", "/scan", "/scan/picture?width=1", "/language"):
            status, _, _ = await found.ask(GRACE, "POST", path, form, sent)
            assert status == 403, path
        assert found.bank.instructions.find("1") == []
        assert (await found.ask(GRACE, "GET", "/wallet"))[0] == 200

    tell(tmp_path, story)


def test_no_other_host_name_leads_here(tmp_path: Path) -> None:
    """A page of evil.example whose name points to this machine would otherwise read and act as this site."""

    async def story(found: People) -> None:
        port = found.origin.rsplit(":", 1)[1]
        for host in (f"evil.example:{port}", "evil.example", ""):
            status, _, _ = await found.ask("", "GET", "/", None, {"Host": host})
            assert status in (400, 421), host
        assert (await found.ask("", "GET", "/", None, {"Host": f"localhost:{port}"}))[0] == 200

    tell(tmp_path, story)


@each(
    "case",
    {
        "a host": ("GET", "/", {"Host": "["}),
        "an origin": ("POST", "/send", {"Origin": "http://["}),
        "a page before": ("POST", "/language", {"Origin": "SELF", "Referer": "http://["}),
    },
)
def test_a_header_that_cannot_be_read_is_refused(case: tuple[str, str, dict[str, str]], tmp_path: Path) -> None:
    method, path, sent = case

    async def story(found: People) -> None:
        headers = {name: found.origin if value == "SELF" else value for name, value in sent.items()}
        assert (await found.ask(GRACE, method, path, None, headers))[0] == 400

    tell(tmp_path, story)


def test_a_cookie_with_odd_octets_belongs_to_nobody(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        port = int(found.origin.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /wallet HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n")
        writer.write(b"Cookie: session_%s=\xff; language=\xff\r\n\r\n" % found.bank.name.encode())
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 303 ")
        assert b"Content-Security-Policy" in answer

    tell(tmp_path, story)


_PART = b'--x\r\nContent-Disposition: form-data; name="number"\r\n'


@each(
    "case",
    {
        "bytes that are not UTF-8": ("application/x-www-form-urlencoded", b"number=\xff"),
        "an unknown character set": ("application/x-www-form-urlencoded; charset=nonsense", b"number=1"),
        "half a character": ("application/x-www-form-urlencoded; charset=unicode_escape", b"number=\\ud800&amount=1"),
        "half a character in UTF-7": ("application/x-www-form-urlencoded; charset=utf-7", b"number=+2AA-&amount=1"),
        "a part with half a character": (
            "multipart/form-data; boundary=x",
            _PART + b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA-\r\n--x--\r\n",
        ),
        "a file whose name is not UTF-8": (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="\xff.csv"\r\n\r\n'
            b"number,amount\r\n255655001001,1\r\n--x--\r\n",
        ),
        "no boundary": ("multipart/form-data", b"--x--"),
        "another boundary": ("multipart/form-data; boundary=x", b"number=1"),
        "a boundary that is too long": ("multipart/form-data; boundary=" + "x" * 80, b"--x--"),
        "a part without a name": (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n",
        ),
        "parts in a part": (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n",
        ),
        "a part that is not UTF-8": ("multipart/form-data; boundary=x", _PART + b"\r\n\xff\r\n--x--\r\n"),
        "a part that is not in base 64": (
            "multipart/form-data; boundary=x",
            _PART + b"Content-Transfer-Encoding: base64\r\n\r\nabcde\r\n--x--\r\n",
        ),
        "a part without an end": ("multipart/form-data; boundary=x", _PART + b"\r\n1"),
        "a part with too many headers": (
            "multipart/form-data; boundary=x",
            _PART + b"".join(b"X-%d: 1\r\n" % n for n in range(5000)) + b"\r\n1\r\n--x--\r\n",
        ),
        "an unknown transfer encoding": (
            "multipart/form-data; boundary=x",
            _PART + b"Content-Transfer-Encoding: nonsense\r\n\r\n1\r\n--x--\r\n",
        ),
    },
)
def test_a_form_that_cannot_be_read_is_refused(case: tuple[str, bytes], tmp_path: Path) -> None:
    content_type, raw = case

    async def story(found: People) -> None:
        headers = {"Origin": found.origin, "Content-Type": content_type}
        for who, path in ((GRACE, "/send"), (OFFICE, "/bulk")):
            status, text, _ = await found.ask(who, "POST", path, raw, headers)
            assert (status, "The request cannot be used" in text) == (400, True), path

    tell(tmp_path, story)


def test_no_web_page_calls_the_core(tmp_path: Path) -> None:
    """The core credits customers, so a page must not make a browser call it."""

    async def story(found: People) -> None:
        body = '{"transferState": "COMMITTED", "to": {"idType": "MSISDN", "idValue": "255712001001"}, "amount": "9"}'
        async with aiohttp.ClientSession() as session:
            for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
                for method, path in (
                    ("PUT", "/transfers/T"),
                    ("POST", "/pay"),
                    ("POST", "/transfers"),
                    ("GET", "/books"),
                ):
                    async with session.request(method, found.core + path, data=body, headers=headers) as answer:
                        assert answer.status == 403, path
        assert found.bank.books.balance_of(GRACE) == 2_000_000 * 10_000

    tell(tmp_path, story)


def test_every_answer_has_the_headers_that_protect_it(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        for who, path in (
            ("", "/"),
            (GRACE, "/wallet"),
            (GRACE, "/nothing"),
            (GRACE, "/static/bank.css"),
            ("", "/home"),
        ):
            _, _, headers = await found.ask(who, "GET", path)
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
        _, _, headers = await found.ask("", "POST", "/sign-in", {"who": GRACE})
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "session_greenbank=" in cookie

    tell(tmp_path, story)


# --- one's own --------------------------------------------------------------------------------------------------------

_PAGES = {
    "person": ["/wallet", "/send", "/request", "/scan", "/code", "/history"],
    "shop": ["/till"],
    "agent": ["/agent"],
    "office": ["/bulk", "/bulk/example/25.csv"],
    "teller": ["/teller", f"/teller/{GRACE}"],
    "treasurer": ["/treasury", "/reconciliation"],
}
_WHO = {"person": GRACE, "shop": SHOP, "agent": AGENT, "office": OFFICE, "teller": "teller", "treasurer": "treasurer"}


def test_each_page_is_for_its_role(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        for role, who in _WHO.items():
            is_staff = role in ("teller", "treasurer")
            for owner, paths in _PAGES.items():
                is_allowed = owner == role or (owner == "person" and not is_staff)
                for path in paths:
                    status, text, _ = await found.ask(who, "GET", path)
                    assert status == (200 if is_allowed else 403), (role, path)
                    assert "Traceback" not in text
        for path in (path for paths in _PAGES.values() for path in paths):
            status, _, headers = await found.ask("", "GET", path)
            assert (status, headers["Location"]) == (303, "/"), path

    tell(tmp_path, story)


def test_nobody_sees_or_decides_the_payments_of_another(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        form = {"number": "255655001001", "amount": "1000", "reference": "5e2b1a34-6d0f-4c55-9a43-0d1b6a6f7c11"}
        _, _, headers = await found.ask(GRACE, "POST", "/send", form)
        page = headers["Location"]
        assert (await found.ask(GRACE, "GET", page))[0] == 200
        for method, path in (("GET", ""), ("GET", "/state"), ("POST", "/confirm"), ("POST", "/cancel")):
            assert (await found.ask(UPENDO, method, page + path))[0] == 404, path
        # The same form id of another person is neither hers nor his.
        status, _, _ = await found.ask(UPENDO, "POST", "/send", form)
        assert status == 404
        (only,) = found.bank.instructions.find("1")
        assert (only.payer, only.state) == (GRACE, "NEW")
        made = RequestMade(
            home_id="a" * 32, kind="transfer", payee=GRACE, payer="255655001001", amount=1, currency="TZS"
        )
        await found.bank.requests.make(made)
        assert (await found.ask(UPENDO, "GET", f"/requests/{made.home_id}"))[0] == 404
        told = {
            "transactionRequestId": "Q",
            "to": {"idType": "MSISDN", "idValue": "255655001001", "fspId": "bluewallet"},
            "currency": "TZS",
            "transactionType": "TRANSFER",
        }
        found.bank.requests.take(told, found.bank.customers.get(GRACE), 10_000)
        assert (await found.ask(GRACE, "GET", "/asked/Q"))[0] == 200
        for method, path in (("GET", ""), ("POST", "/review"), ("POST", "/reject")):
            assert (await found.ask(UPENDO, method, f"/asked/Q{path}"))[0] == 404

    tell(tmp_path, story)


def test_a_sign_out_ends_the_session_on_the_bank_too(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        await found.ask(GRACE, "GET", "/wallet")
        cookie = found._sessions[GRACE].cookie_jar.filter_cookies(URL(found.origin))["session_greenbank"].value
        assert (await found.ask(GRACE, "POST", "/sign-out"))[0] == 303
        status, _, _ = await found.ask("", "GET", "/wallet", None, {"Cookie": f"session_greenbank={cookie}"})
        assert status == 303
        stored = found.bank.books.rows("SELECT * FROM session")
        assert cookie not in str(stored)
        assert (await found.ask("", "POST", "/sign-in", {"who": "255655001001"}))[0] == 404  # of another bank

    tell(tmp_path, story)


# --- entries ----------------------------------------------------------------------------------------------------------


@each(
    "case",
    {
        "no number": ({"number": "Idrisi", "amount": "1000"}, "phone number with its country code"),
        "one's own number": ({"number": "+255 712 001 001", "amount": "1000"}, "your own number"),
        "words": ({"number": "255655001001", "amount": "ten"}, "in figures"),
        "nothing": ({"number": "255655001001", "amount": "0.00"}, "above 0"),
        "less than nothing": ({"number": "255655001001", "amount": "-5"}, "in figures"),
        "parts of a cent": ({"number": "255655001001", "amount": "1.005"}, "two decimals"),
        "more than there is": ({"number": "255655001001", "amount": "2,000,000"}, "too low"),
        "too long": ({"number": "255655001001", "amount": "9" * 400}, "in figures"),
        "a decimal comma": ({"number": "255655001001", "amount": "15,00"}, "in figures"),
        "a point between thousands": ({"number": "255655001001", "amount": "1.500"}, "two decimals"),
        "two kinds of separators": ({"number": "255655001001", "amount": "1,000 000"}, "in figures"),
        "figures of another script": ({"number": "255655001001", "amount": "١٥٠٠"}, "in figures"),
        "wide figures": ({"number": "255655001001", "amount": "１５００"}, "in figures"),
        "a power": ({"number": "255655001001", "amount": "1e3"}, "in figures"),
        "a point at the end": ({"number": "255655001001", "amount": "1500."}, "in figures"),
        "nothing at all": ({}, "phone number with its country code"),
    },
)
def test_a_wrong_entry_says_what_to_do_and_keeps_the_others(case: tuple[dict[str, str], str], tmp_path: Path) -> None:
    form, reason = case

    async def story(found: People) -> None:
        status, text, _ = await found.ask(GRACE, "POST", "/send", form | {"note": '"><script>alert(1)</script>'})
        assert status == 422
        assert reason in text
        assert 'aria-invalid="true"' in text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text
        assert found.bank.instructions.find("1") == []

    tell(tmp_path, story)


def test_a_code_for_an_amount_keeps_a_wrong_entry_and_shows_its_text(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        _, text, _ = await found.ask(SHOP, "GET", "/code?amount=x1")
        assert 'value="x1"' in text
        assert "Enter the amount in figures" in text
        _, text, _ = await found.ask(SHOP, "GET", "/code?amount=7500")
        (code,) = re.findall(r'code-text">(.*?)<', text)
        read = emv_codes.read(code)
        assert (read.amount, read.id_value) == (75_000_000, "600101")

    tell(tmp_path, story)


def test_a_number_and_an_amount_are_read_as_people_write_them(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        for number, amount in (("0655 001 001", "1,500.50"), ("+255-655-001-001", "1 500.5")):
            status, _, _ = await found.ask(GRACE, "POST", "/send", {"number": number, "amount": amount})
            assert status == 303
        french = {"Origin": found.origin, "Accept-Language": "fr"}
        form = {"number": "255655001001", "amount": "1\u202f500,50"}
        assert (await found.ask(GRACE, "POST", "/send", form, french))[0] == 303
        payments = found.bank.instructions.find("1")
        assert {(found.payee, found.amount) for found in payments} == {("255655001001", 15_005_000)}
        assert len(payments) == 3

    tell(tmp_path, story)


def test_an_amount_is_never_read_as_another() -> None:
    """Before, "15,00" was 1,500 in English, and "1.500" was 1.50."""
    read = {
        ("15,00", "en"): None,
        ("1,5", "sw"): None,
        ("1,500", "en"): ("1500", ""),
        ("1,500,000.5", "sw"): ("1500000", "5"),
        ("12,345,67", "en"): None,
        ("1.500", "en"): ("1", "500"),  # which has too many decimals
        ("1.500", "fr"): ("1", "500"),
        ("1,5", "fr"): ("1", "5"),
        ("1 500,50", "fr"): ("1500", "50"),
        ("1\u202f500\u00a0000", "fr"): ("1500000", ""),  # spaces of any width are one separator
        ("1500 000", "en"): None,
        (" 1500 ", "en"): ("1500", ""),
        ("1500\n", "en"): ("1500", ""),
    }
    assert {case: amount_entered(*case) for case in read} == read


def test_a_form_that_is_sent_twice_is_one_payment(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        form = {"number": "255655001001", "amount": "1000", "reference": "5e2b1a34-6d0f-4c55-9a43-0d1b6a6f7c11"}
        for amount in ("1000", "1000", "2000"):
            _, _, headers = await found.ask(GRACE, "POST", "/send", form | {"amount": amount})
            assert headers["Location"] == "/payments/5e2b1a346d0f4c559a430d1b6a6f7c11"
        (only,) = found.bank.instructions.find("1")
        assert only.amount == 1000 * 10_000

    tell(tmp_path, story)


def test_two_tabs_that_confirm_one_payment_pay_once(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        form = {"number": "255655001001", "amount": "1000", "reference": "5e2b1a34-6d0f-4c55-9a43-0d1b6a6f7c11"}
        _, _, headers = await found.ask(GRACE, "POST", "/send", form)
        page, reference = headers["Location"], headers["Location"].rsplit("/", 1)[1]
        terms = {"total": 10_050_000, "transfer_id": "T", "expires_at": time.time() + 60}
        found.bank.instructions.offer(reference, terms | {"receive_amount": 10_000_000, "receive_currency": "TZS"})
        before = found.bank.books.balance_of(GRACE)
        clicks = [found.ask(GRACE, "POST", f"{page}/{what}") for what in ("confirm", "confirm", "cancel", "confirm")]
        answers = await asyncio.gather(*clicks)
        assert {status for status, _, _ in answers} == {303}
        assert before - found.bank.books.balance_of(GRACE) in (0, 10_050_000)  # cancelled first, or paid once
        (only,) = found.bank.instructions.find("1")
        assert (only.state == "SENT") == (found.bank.books.balance_of("held") == 10_050_000)
        assert found.bank.faults() == []

    tell(tmp_path, story)


def test_one_customer_asks_only_so_much_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit, a customer could fill another person's page with requests, and the connector with questions."""
    monkeypatch.setattr(wallet, "_MOST_ASKED", 4)
    monkeypatch.setattr(requesting, "_MOST_OPEN", 3)

    async def story(found: People) -> None:
        form = {"number": "255655001001", "amount": "1000"}
        sent = [(await found.ask(GRACE, "POST", "/send", form))[0] for _ in range(5)]
        assert sent == [303] * 4 + [429]
        asked = [(await found.ask(GRACE, "POST", "/request", form))[0] for _ in range(4)]
        assert asked == [303] * 3 + [429]
        _, text, _ = await found.ask(GRACE, "POST", "/send", form)
        assert "Too many at once" in text
        assert (await found.ask(UPENDO, "POST", "/send", form))[0] == 303
        assert (await found.ask(UPENDO, "POST", "/request", form))[0] == 303

    tell(tmp_path, story)


def test_the_batches_of_one_office_share_its_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, each batch paid twelve lines at once, so ten batches of one office took every connection."""
    most = now = 0

    async def pay(new: Instruction) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1

    async def story(found: People) -> None:
        monkeypatch.setattr(found.bank.payments, "pay", pay)
        lines = [Line(number, f"S{number}", "255655001001", 10_000) for number in range(1, 41)]
        for name in ("a", "b", "c"):
            found.bank.batches.add(name * 32, OFFICE, "salary", "x.csv", "TZS", lines)
            assert (await found.ask(OFFICE, "POST", f"/bulk/{name * 32}/pay"))[0] == 303
        while not most or now:
            await asyncio.sleep(0.02)
        assert most == AT_ONCE

    tell(tmp_path, story)


def test_a_list_that_is_being_paid_shows_a_bar_and_no_states_that_are_soon_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def pay(new: Instruction) -> None:
        await asyncio.Event().wait()

    async def story(found: People) -> None:
        monkeypatch.setattr(found.bank.payments, "pay", pay)
        found.bank.batches.add("a" * 32, OFFICE, "salary", "x.csv", "TZS", [Line(1, "S1", "255655001001", 10_000)])
        page = f"/bulk/{'a' * 32}"
        assert "waiting" in (await found.ask(OFFICE, "GET", page))[1]
        await found.ask(OFFICE, "POST", f"{page}/pay")
        _, text, _ = await found.ask(OFFICE, "GET", page)
        assert "<progress" in text
        assert "waiting" not in text

    tell(tmp_path, story)


def test_a_picture_is_read_and_another_says_what_to_do(tmp_path: Path) -> None:
    code = written(PaymentCode(id_type="BUSINESS", id_value="700101", name="Soko", city="Dar", currency="TZS"))

    async def story(found: People) -> None:
        pixels, width = pixels_of(svg_of(code), 4)
        status, text, _ = await found.ask(GRACE, "POST", f"/scan/picture?width={width}", pixels)
        assert status == 200
        assert code in text
        assert (await found.ask(GRACE, "POST", "/scan/picture?width=100", bytes(10_000)))[0] == 422
        assert (await found.ask(GRACE, "POST", "/scan/picture?width=1000", bytes(1_300_000)))[0] == 413
        assert (await found.ask(GRACE, "POST", "/scan/picture?width=x", b"1"))[0] == 413
        status, text, _ = await found.ask(GRACE, "POST", "/scan", {"text": code})
        assert "Pay Soko" in text
        own = written(PaymentCode(id_type="MSISDN", id_value=GRACE, name="Grace", city="Moshi", currency="TZS"))
        status, text, _ = await found.ask(GRACE, "POST", "/scan", {"text": own})
        assert (status, "your own code" in text) == (422, True)

    tell(tmp_path, story)


def test_a_file_that_is_too_large_or_wrong_pays_nothing(tmp_path: Path) -> None:
    def sent(raw: bytes) -> aiohttp.FormData:
        form = aiohttp.FormData({"reference": "5e2b1a34-6d0f-4c55-9a43-0d1b6a6f7c11"})
        form.add_field("file", raw, filename='../../etc/"pay";.csv', content_type="text/csv")
        return form

    async def story(found: People) -> None:
        status, text, _ = await found.ask(OFFICE, "POST", "/bulk", sent(b"x" * 3_200_000))
        assert status == 413
        status, text, _ = await found.ask(OFFICE, "POST", "/bulk", sent(b"id,to,amount,currency\nS1,x,1,TZS\n"))
        assert (status, "Line 2" in text) == (422, True)
        assert found.bank.batches.find("1") == []
        _, example, _ = await found.ask(OFFICE, "GET", "/bulk/example/25.csv")
        for _ in range(2):
            status, _, headers = await found.ask(OFFICE, "POST", "/bulk", sent(example.encode()))
        page = headers["Location"]
        status, text, _ = await found.ask(OFFICE, "GET", page)
        assert (status, "The file is in order" in text) == (200, True)
        (batch,) = found.bank.batches.find("1")
        assert (batch.lines, batch.state) == (25, "CHECKED")
        _, _, headers = await found.ask(OFFICE, "GET", f"{page}/results.csv")
        assert re.fullmatch(r'attachment; filename="[A-Za-z0-9]+[.]results[.]csv"', headers["Content-Disposition"])
        assert (await found.ask("255712005001", "GET", page))[0] == 404  # another office
        assert found.bank.instructions.find("1") == []

    tell(tmp_path, story)


def test_a_till_counts_all_sales_of_the_day(tmp_path: Path) -> None:
    """Before, it counted a thousand of them."""

    async def story(found: People) -> None:
        now, sales = time.time(), [str(number) for number in range(1_234)]
        found.bank.books.run_many(
            "INSERT INTO incoming (transfer_id, payee, amount, fee, state) VALUES (?, ?, 20000, 10000, 'COMMITTED')",
            [(sale, SHOP) for sale in sales],
        )
        found.bank.books.run_many(
            "INSERT INTO arrival (transfer_id, payee, payer_type, payer, amount, fee, currency, note, scenario,"
            " transaction_id, arrived_at) VALUES (?, ?, 'MSISDN', '1', 20000, 10000, 'TZS', '', 'PAYMENT', ?, ?)",
            [(sale, SHOP, sale, now) for sale in sales],
        )
        _, text, _ = await found.ask(SHOP, "GET", "/till")
        assert "2,468" in text
        assert "1,234" in text

    tell(tmp_path, story)


@pytest.mark.parametrize(("receives", "has_rate"), [(0, False), (1, True)])
def test_terms_without_money_for_the_payee_have_a_page_too(receives: int, has_rate: bool, tmp_path: Path) -> None:
    async def story(found: People) -> None:
        form = {"number": "255655001001", "amount": "1000", "reference": "a" * 32}
        page = (await found.ask(GRACE, "POST", "/send", form))[2]["Location"]
        terms = {"total": 10_050_000, "transfer_id": "T", "expires_at": time.time() + 60}
        found.bank.instructions.offer("a" * 32, terms | {"receive_amount": receives, "receive_currency": "KES"})
        status, text, _ = await found.ask(GRACE, "GET", page)
        assert (status, "Rate" in text) == (200, has_rate)

    tell(tmp_path, story)


def test_a_customer_who_reads_the_terms_for_long_still_sees_that_the_payment_is_being_sent(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        form = {"number": "255655001001", "amount": "1000", "reference": "a" * 32}
        page = (await found.ask(GRACE, "POST", "/send", form))[2]["Location"]
        found.bank.instructions.offer("a" * 32, {"total": 10_050_000, "expires_at": time.time() + 60})
        found.bank.books.run("UPDATE instruction SET created_at = created_at - 50")
        await found.ask(GRACE, "POST", f"{page}/confirm")
        assert "<h1>Sending…</h1>" in (await found.ask(GRACE, "GET", page))[1]
        found.bank.books.run("UPDATE instruction SET sent_at = sent_at - 20")
        assert "<h1>The outcome is not known yet</h1>" in (await found.ask(GRACE, "GET", page))[1]

    tell(tmp_path, story)


def test_a_treasurer_is_not_told_of_an_empty_statement_while_the_hub_is_away(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        _, text, _ = await found.ask("treasurer", "GET", "/treasury")
        assert '<p class="empty">The hub does not answer.</p>' in text
        assert "no transfers" not in text

    tell(tmp_path, story)


def test_a_treasurer_does_not_wait_for_a_connector_that_is_silent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    async def story(found: People) -> None:
        monkeypatch.setattr(treasury, "_PATIENCE_S", 0.1)
        monkeypatch.setattr(found.bank.calls, "call", silent)
        async with asyncio.timeout(5):
            _, text, _ = await found.ask("treasurer", "GET", "/treasury")
        assert "The hub does not answer." in text

    tell(tmp_path, story)


def test_a_teller_pays_out_no_more_than_there_is(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        page = f"/teller/{GRACE}"
        assert (await found.ask("teller", "POST", page, {"amount": "500", "what": "in"}))[0] == 303
        status, text, _ = await found.ask("teller", "POST", page, {"amount": "2,000,501", "what": "out"})
        assert (status, "too low" in text) == (422, True)
        assert (await found.ask("teller", "POST", page, {"amount": "2,000,500", "what": "out"}))[0] == 303
        assert found.bank.books.balance_of(GRACE) == 0
        assert found.bank.faults() == []
        status, text, _ = await found.ask(GRACE, "GET", "/wallet")
        assert "Paid out at the counter" in text

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        ("/reconciliation?hours=1", "/reconciliation?hours=1"),
        ("/payments/R/confirm", "/payments/R"),  # a wrong code is reported at the path of the form
        ("/agent/cash-in", "/agent"),
        ("/no/such/page", "/"),
        ("", "/"),
    ],
)
def test_a_new_language_leads_to_a_page_that_a_browser_can_open(before: str, shown: str, tmp_path: Path) -> None:
    async def story(found: People) -> None:
        headers = {"Origin": found.origin, "Referer": found.origin + before}
        _, _, answered = await found.ask(GRACE, "POST", "/language", {"language": "sw"}, headers)
        assert answered["Location"] == shown

    tell(tmp_path, story)


@pytest.mark.parametrize(("language", "word"), [("sw", "Pochi"), ("fr", "Portefeuille")])
def test_the_pages_speak_the_chosen_language(language: str, word: str, tmp_path: Path) -> None:
    async def story(found: People) -> None:
        headers = {"Origin": found.origin, "Referer": found.origin + "/wallet"}
        _, _, answered = await found.ask(GRACE, "POST", "/language", {"language": language}, headers)
        assert answered["Location"] == "/wallet"
        _, text, _ = await found.ask(GRACE, "GET", "/wallet")
        assert f'<html lang="{language}">' in text
        assert word in text
        away = headers | {"Referer": "https://evil.example//evil.example/x"}
        _, _, answered = await found.ask(GRACE, "POST", "/language", {"language": language}, away)
        assert not answered["Location"].startswith("//")

    tell(tmp_path, story)


def test_the_customer_of_a_certification_pays_and_asks_by_hand(tmp_path: Path) -> None:
    """Its account is in XTS, for which the bank has no fees."""

    async def story(found: People) -> None:
        tester = "255712009001"
        for path in ("/wallet", "/send", "/request", "/code", "/history"):
            assert (await found.ask(tester, "GET", path))[0] == 200, path
        form = {"number": "999000000001", "amount": "7.5", "reference": "a" * 32}
        status, _, headers = await found.ask(tester, "POST", "/send", form)
        assert (status, headers["Location"]) == (303, f"/payments/{'a' * 32}")
        paid = found.bank.instructions.get("a" * 32)
        assert paid is not None
        assert (paid.currency, paid.bank_fee) == ("XTS", 0)
        form |= {"number": "999000000009", "reference": "b" * 32}
        assert (await found.ask(tester, "POST", "/request", form))[0] == 303

    tell(tmp_path, story)
