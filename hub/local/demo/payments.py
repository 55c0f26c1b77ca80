"""Makes the payments in a CSV file, several at a time. The columns are reference, payer, payee, amount, currency, note
and expect."""

import csv
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from hub.local.demo.banks import Bank
from hub.local.demo.http import call_until_answered
from hub.local.errors import LocalError

AT_ONCE = 12
_COLUMNS = {"reference", "payer", "payee", "amount", "currency"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One payment in the file. `expect` is "committed", or an error code if the payment must fail, or is empty."""

    reference: str
    payer: str
    payee: str
    amount: str
    currency: str
    note: str
    expect: str


@dataclass(frozen=True, slots=True)
class Result:
    """A payment's result ("committed" or an error code) and its duration."""

    wanted: Wanted
    outcome: str
    seconds: float
    why: str

    @property
    def is_as_expected(self) -> bool:
        """Whether the payment has the result that the CSV file expects."""
        return self.wanted.expect in ("", self.outcome)


def read_payments(path: Path) -> list[Wanted]:
    """Reads the payments in the CSV file. If a line is wrong, raises LocalError with the line's number."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if missing := _COLUMNS - set(reader.fieldnames or []):
                raise LocalError(
                    f"The file has no column {', '.join(sorted(missing))}.",
                    where=path,
                    do="The first line must name reference,payer,payee,amount,currency and may name note,expect.",
                )
            return [
                Wanted(
                    **{name: (row[name] or "").strip() for name in sorted(_COLUMNS)},
                    note=(row.get("note") or "").strip(),
                    expect=(row.get("expect") or "").strip(),
                )
                for row in reader
            ]
    except OSError as error:
        raise LocalError(f"The payments cannot be read: {error.strerror}.", where=path) from None


def pay_all(
    wanted: list[Wanted], run_id: str, bank_of: Callable[[str], Bank], told: Callable[[Result], None]
) -> list[Result]:
    """Makes all payments in the CSV file. Each request for a payment goes to the payer's bank. If the bank crashes, the
    function repeats the request until the payment has ended."""
    results = []
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pay") as pool:
        waiting = [pool.submit(_pay, payment, run_id, bank_of(payment.payer)) for payment in wanted]
        for future in as_completed(waiting):
            results.append(future.result())
            told(results[-1])
    return results


def _pay(payment: Wanted, run_id: str, bank: Bank) -> Result:
    body = {
        "reference": f"{payment.reference}-{run_id}",
        "payer": payment.payer,
        "payee": payment.payee,
        "amount": payment.amount,
        "currency": payment.currency,
        "note": payment.note,
    }
    began = time.monotonic()
    end = began + 240
    while True:
        status, answer = call_until_answered("POST", f"{bank.url}/pay", body, seconds=120)
        if status != 202:  # 202 means that the payment has not ended yet
            break
        if time.monotonic() > end:
            return Result(payment, "open", time.monotonic() - began, "the payment did not end within 240 s")
    seconds = time.monotonic() - began
    if status == 200 and answer["state"] == "COMMITTED":
        return Result(payment, "committed", seconds, "")
    code = answer.get("errorCode") or answer.get("statusCode") or _code_in(answer) or f"HTTP {status}"
    why = answer.get("errorDescription") or answer.get("message") or str(answer)
    return Result(payment, code, seconds, why)


def _code_in(answer: dict[str, dict[str, str]]) -> str | None:
    return answer.get("errorInformation", {}).get("errorCode")
