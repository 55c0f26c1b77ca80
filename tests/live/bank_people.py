"""People of the demo's banks without a browser. They fill in the pages' forms, also while a process restarts."""

import json
import re
import sqlite3
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from http.client import HTTPException
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from hub.local.demo.banks import Bank
from hub.local.stack import Stack

GRACE, SHOP, AGENT, EMPLOYER = "255712001001", "255712003001", "255712004001", "255712005001"
IDRISI, WANJIKU, CLOSED, NOBODY = "255655001001", "254722001001", "255655002001", "255699999999"
_PATIENCE_S = 60.0
_BETWEEN_S = 0.1


class Person:
    """One person's session. A request without an answer is sent again, as people press a button again."""

    def __init__(self, bank: Bank, who: str) -> None:
        self.bank = bank
        self._open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar())).open
        self.post("/sign-in", who=who)

    def get(self, path: str) -> str:
        return self._ask(path)[1]

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def post(self, path: str, **form: str) -> str:
        """Sends a form; returns the path of the page to which it leads."""
        return self._ask(path, urllib.parse.urlencode(form).encode())[0]

    def upload(self, path: str, name: str, text: str, **form: str) -> str:
        """Sends a form with a file; returns the path of the page to which it leads."""
        parts = [(f'name="{field}"', value) for field, value in form.items()]
        parts.append((f'name="file"; filename="{name}"\r\nContent-Type: text/csv', text))
        body = "".join(f"--x\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n" for head, value in parts)
        return self._ask(path, (body + "--x--\r\n").encode(), "multipart/form-data; boundary=x")[0]

    def _ask(self, path: str, body: bytes | None = None, content_type: str = "") -> tuple[str, str]:
        headers = {"Origin": self.bank.web_url}
        if content_type:
            headers["Content-Type"] = content_type
        until = time.monotonic() + _PATIENCE_S
        while True:
            request = urllib.request.Request(self.bank.web_url + path, body, headers)
            try:
                with self._open(request, timeout=20) as answer:
                    return urllib.parse.urlsplit(answer.url).path, answer.read().decode()
            except urllib.error.HTTPError as error:
                if error.code == 422:  # the page says what is wrong
                    return path, error.read().decode()
                if error.code < 500 or time.monotonic() > until:
                    raise AssertionError(f"{path}: {error.code} {error.read().decode()[:400]}") from None
            except (OSError, HTTPException):
                if time.monotonic() > until:
                    raise
            time.sleep(_BETWEEN_S)


class People:
    """The people of both banks, and each kind of payment that they make. A kind returns whether it was paid."""

    def __init__(self, stack: Stack, banks: list[Bank]) -> None:
        self._blue_books = stack.state.path / banks[1].name / "books.sqlite3"
        green, blue = banks
        self.grace, self.shop, self.agent, self.office = (Person(green, who) for who in (GRACE, SHOP, AGENT, EMPLOYER))
        self.idrisi = Person(blue, IDRISI)
        self.kinds: dict[str, Callable[[int], bool]] = {
            "transfer": self.transfer,
            "request": self.request,
            "merchant": self.merchant,
            "refund": self.refund,
            "cash-in": self.cash_in,
            "cash-out": self.cash_out,
            "salaries": self.salaries,
            "conversion": self.conversion,
        }
        self.refused: dict[str, Callable[[int], bool]] = {
            "to nobody": lambda amount: self._send(NOBODY, amount),
            "to a closed account": lambda amount: self._send(CLOSED, amount),
        }
        assert self.merchant(900_000)
        with sqlite3.connect(stack.state.path / green.name / "books.sqlite3") as books:
            (self._sale,) = books.execute("SELECT transfer_id FROM arrival WHERE amount = 9000000000").fetchone()

    def transfer(self, amount: int) -> bool:
        return self._send(IDRISI, amount)

    def conversion(self, amount: int) -> bool:
        return self._send(WANJIKU, amount + 5000)

    def request(self, amount: int) -> bool:
        asked = self.grace.post("/request", number=IDRISI, amount=str(amount), reference=uuid.uuid4().hex)
        return self._approve(self.grace, asked, "transfer", amount)

    def cash_out(self, amount: int) -> bool:
        asked = self.agent.post("/agent/cash-out", number=IDRISI, amount=str(amount), reference=uuid.uuid4().hex)
        return self._approve(self.agent, asked, "cash_out", amount)

    def merchant(self, amount: int) -> bool:
        sale = self.shop.get(self.shop.post("/till", amount=str(amount), reference=uuid.uuid4().hex))
        code = re.search(r"000201[^<\"]*6304[0-9A-F]{4}", sale)
        assert code is not None
        return self._pay(self.idrisi, self.idrisi.post("/scan", text=code[0], reference=uuid.uuid4().hex))

    def refund(self, amount: int) -> bool:
        form = {"amount": str(amount), "reference": uuid.uuid4().hex}
        return self._pay(self.shop, self.shop.post(f"/till/refund/{self._sale}", **form))

    def cash_in(self, amount: int) -> bool:
        form = {"number": IDRISI, "amount": str(amount), "reference": uuid.uuid4().hex}
        return self._pay(self.agent, self.agent.post("/agent/cash-in", **form))

    def salaries(self, amount: int) -> bool:
        lines = "".join(f"S{number},25565500100{number},{amount},TZS\n" for number in range(1, 7))
        page = self.office.upload(
            "/bulk", "salaries.csv", "id,to,amount,currency\n" + lines, reference=uuid.uuid4().hex
        )
        self.office.post(page + "/pay")
        self._until(lambda: self.office.json(page + "/state")["state"] == "ENDED")
        return "NOT_PAID" not in self.office.get(page + "/results.csv")

    def _send(self, number: str, amount: int) -> bool:
        form = {"number": number, "amount": str(amount), "reference": uuid.uuid4().hex}
        return self._pay(self.grace, self.grace.post("/send", **form))

    def _approve(self, asker: Person, made: str, kind: str, amount: int) -> bool:
        """Idrisi approves the request, and the asker enters a code if the request needs one."""
        self._until(lambda: self._ended(asker, made) or self._received(kind, amount) is not None)
        received = self._received(kind, amount)
        if received is None:
            return False
        page = self.idrisi.post(f"/asked/{received}/review")
        if page.startswith("/asked"):
            return False
        return self._pay(self.idrisi, page, lambda code: asker.post(made + "/code", code=code))

    def _ended(self, asker: Person, made: str) -> bool:
        return asker.json(made + "/state")["state"] in ("FAILED", "REJECTED")

    def _received(self, kind: str, amount: int) -> str | None:
        query = "SELECT request_id FROM request_received WHERE kind = ? AND amount = ?"
        with sqlite3.connect(self._blue_books) as books:
            row = books.execute(query, (kind, amount * 10_000)).fetchone()
        return None if row is None else str(row[0])

    def _pay(self, payer: Person, page: str, tell: Callable[[str], object] = lambda code: None) -> bool:
        """Confirms the terms, tells a code if the page shows one, and waits for the end."""
        state = ""

        def is_ended() -> bool:
            nonlocal state
            state = payer.json(page + "/state")["state"]
            if state == "OFFERED":
                code = re.search(r"code is ([0-9]{6})", payer.get(page))
                payer.post(page + "/confirm", code=code[1] if code else "")
            elif state.startswith("SENT") and (shown := re.search(r"secret\">([0-9]{3}) ([0-9]{3})<", payer.get(page))):
                tell(shown[1] + shown[2])
            return state in ("PAID", "FAILED")

        self._until(is_ended)
        return state == "PAID"

    def _until(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + _PATIENCE_S
        while not holds():
            assert time.monotonic() < until, "it never came so"
            time.sleep(_BETWEEN_S)


class Commits:
    """Counts the commits to a file of SQLite by other processes. Each of them is a step that a crash leaves behind."""

    def __init__(self, path: Path) -> None:
        self._conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
        self._last, self.count = self._version(), 0

    def wait_for(self, number: int, until: Callable[[], bool]) -> bool:
        """Waits for so many commits. Returns False if `until` holds before."""
        while self.count < number:
            if until():
                return False
            version = self._version()
            if version != self._last:
                self._last, self.count = version, self.count + 1
            else:
                time.sleep(0.0005)
        return True

    def _version(self) -> int:
        (found,) = self._conn.execute("PRAGMA data_version").fetchone()
        return int(found)
