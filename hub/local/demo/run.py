"""Runs the demo from start to end, with output for a person."""

import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hub.local.demo import banks as demo_banks
from hub.local.demo.banks import Bank, Fxp
from hub.local.demo.compare import Comparison, books_of, compare
from hub.local.demo.onboarding import SETTLEMENT_MODEL, onboard, onboard_fxp
from hub.local.demo.payments import Result, Wanted, pay_all, read_payments
from hub.local.errors import LocalError
from hub.local.stack import PROJECT, Stack

DATA = PROJECT / "example_dfsp" / "data"
console = Console(highlight=False, soft_wrap=True)


def bring_up(stack: Stack, *, tell: Callable[[str], None], life: float = 0.0) -> list[Bank]:
    """Starts the two banks beside a running hub, and onboards the banks. After that, the banks themselves make `life`
    payments per second."""
    tell(f"Starting {' and '.join(demo_banks.NAMES)}, each behind its connector")
    banks = demo_banks.start(stack, life)
    tell("Onboarding the banks by the administration API; registering their customers' phone numbers")
    onboard(stack.base_url, banks)
    return banks


def add_fxp(stack: Stack, *, tell: Callable[[str], None]) -> Fxp:
    """Starts an FXP beside the banks, and adds a second currency to the hub."""
    tell(f"Starting {demo_banks.FXP}, which converts TZS and KES")
    fxp = demo_banks.start_fxp(stack)
    onboard_fxp(stack.base_url, fxp)
    return fxp


def run(*, state: str | None, port: int | None, payments: Path | None) -> int:
    """Starts the hub and the banks, makes the payments, settles the closed settlement window, and compares all books.
    Returns 0 if the books of the banks and of the hub agree."""
    began = time.monotonic()
    wanted = read_payments(payments or DATA / "payments.csv")

    def tell(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {text}")

    with Stack(state, port, tell=tell) as stack:
        banks = bring_up(stack, tell=tell)
        tell(f"Paying {len(wanted)} payments: alias lookup, quote, transfer")
        results = pay(wanted, banks)
        _show_results(results)
        tell("Closing the settlement window")
        if any(result.outcome == "committed" for result in results):
            stack.manage("close_window", "--reason", "demo")
            console.print(stack.manage("settlement_report"), markup=False)
            tell("Settling the window: after that, positions no longer include the window's net amounts")
            console.print(stack.manage("settle", "--model", SETTLEMENT_MODEL, "--to", "SETTLED"), markup=False)
        compared = wait_for_books(stack, banks)
        tell("Checking the ledger")
        console.print(stack.manage("check_ledger").strip().splitlines()[-1])
        is_well = _show_comparison(compared, results)
        console.print(
            f"Took {time.monotonic() - began:.0f} s. `make run DEMO=1` keeps this hub running, then look at\n"
            f"  {stack.base_url}/docs/   the API's documentation\n"
            f"  {stack.base_url}/portal/ the operators' portal; `make run` says how to make its first users\n"
            f"  {stack.state.logs}  output of each process"
        )
    return 0 if is_well else 1


def pay(wanted: list[Wanted], banks: list[Bank]) -> list[Result]:
    """Makes all payments, and shows their progress in the terminal."""
    by_customer = {customer: bank for bank in banks for customer in books_of(bank)["balances"]}

    def bank_of(payer: str) -> Bank:
        if payer not in by_customer:
            raise LocalError(f"{payer} is not a customer of the demo's banks.", where=DATA / "customers.csv")
        return by_customer[payer]

    counts: Counter[str] = Counter()
    columns = (BarColumn(40), MofNCompleteColumn(), TextColumn("{task.fields[counts]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("payments", total=len(wanted), counts="")

        def told(result: Result) -> None:
            counts["committed" if result.outcome == "committed" else "failed"] += 1
            counts["unexpected"] += not result.is_as_expected
            shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            progress.update(task, advance=1, counts=shown)

        return pay_all(wanted, uuid.uuid4().hex[:8], bank_of, told)


def wait_for_books(stack: Stack, banks: list[Bank], seconds: float = 60.0) -> Comparison:
    """Waits until no bank has a pending transfer. The hub can notify a payee DFSP after the demo has seen the payment's
    end. Returns the comparison."""
    end = time.monotonic() + seconds
    compared = compare(stack, banks)
    while compared.faults and time.monotonic() < end:
        time.sleep(1)
        compared = compare(stack, banks)
    return compared


def _show_results(results: list[Result]) -> None:
    table = Table("outcome", "payments", "median", "slowest", "said", title="Payments")
    for outcome, count in sorted(Counter(result.outcome for result in results).items(), key=lambda item: -item[1]):
        mine = [result for result in results if result.outcome == outcome]
        took = sorted(result.seconds for result in mine)
        table.add_row(outcome, str(count), f"{took[len(took) // 2]:.2f} s", f"{took[-1]:.2f} s", mine[0].why)
    console.print(table)
    for result in results:
        if not result.is_as_expected:
            said = f"expected {result.wanted.expect}, was {result.outcome}"
            console.print(f"[red]{result.wanted.reference}: {said}[/red] {result.why}")


def _show_comparison(compared: Comparison, results: list[Result]) -> bool:
    for fault in compared.faults:
        console.print(f"[red]{fault}[/red]")
    unexpected = sum(not result.is_as_expected for result in results)
    is_well = not compared.faults and not unexpected
    console.print(
        f"[{'green' if is_well else 'red'}]demo: {len(results)} payments, {unexpected} not as expected;"
        f" payer's books = hub = payee's books for {compared.agreed} transfers, {len(compared.faults)} faults[/]"
    )
    return is_well
