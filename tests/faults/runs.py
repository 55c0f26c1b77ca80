"""What every run with faults has: seeded load, healing, a last reading of everything, and the checkers."""

import argparse
import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench.hubs import use_rules
from bench.latency_and_cpu_figures import percentile
from bench.onboard import Administration
from hub.local import net
from hub.local.errors import LocalError
from hub.local.stack import Stack
from tests.faults import checkers, quotes, rules
from tests.faults.checkers import Findings
from tests.faults.dfsps import Scheme
from tests.faults.history import History
from tests.faults.injections import Site
from tests.faults.outsiders import MUTE, ROGUE
from tests.faults.windows import close_window

NAMES = ["hot", "blue", "red", "tight"]
_TIGHT_CAP = 40  # its limit is met, again and again
_WINDOW_S = 5.0
_RULES_KNOWN_S = 2.0  # until each process of the hub knows that there are rules
_QUIET_S = 150.0


@dataclass
class Report:
    seed: int
    history: History
    findings: Findings
    ends: dict[str, int] = field(default_factory=dict)
    settled_by_asking: int = 0
    quoted: int = 0  # requests for terms
    held: dict[str, int] = field(default_factory=dict)  # transfers that rules held, by how the hold ended
    replayed: str = ""  # decisions of the rules, and how many a replay reproduced

    def lines(self) -> list[str]:
        """For people; the last line for scripts."""
        history, found = self.history, self.findings
        payments = history.payments.values()
        recovered = history.recovery_times()
        times = [each for each in recovered if each != float("inf")]
        seconds = zip(recovered, history.prepare_lags(), history.expiry_lags(), strict=True)
        by_fault: dict[str, list[tuple[float, ...]]] = defaultdict(list)
        for fault, each in zip(history.faults, seconds, strict=True):
            by_fault[fault.name].append(each)
        recovery = ", ".join(
            f"{name} {percentile(times, percent):.1f} s" for name, percent in (("p50", 50), ("p95", 95), ("max", 100))
        )
        wrong = [
            f"{kind}: {text}" for kind in ("lost", "doubled", "broken", "stuck") for text in getattr(found, kind)[:10]
        ]
        return [
            f"seed {self.seed}",
            "faults: how often; in how many seconds at most a request was taken again, a payee asked, an expiry told:",
            *(
                f"  {name}: {len(spans)}; {', '.join(f'{max(each):.1f}' for each in zip(*spans, strict=True))}"
                for name, spans in sorted(by_fault.items())
            ),
            f"{len(payments)} transfers: {sum(p.is_acknowledged for p in payments)} acknowledged,"
            f" {sum(p.was_unknown for p in payments)} without an answer for a time,"
            f" {self.settled_by_asking} settled by asking; {history.windows_closed} windows closed",
            *([f"{self.quoted} requests for terms"] if self.quoted else []),
            f"ends: {self.ends}",
            *([f"rules: held {self.held}; {self.replayed}"] if self.replayed else []),
            f"recovery: {recovery}",
            *wrong,
            f"chaos: {len(payments)} {'payments' if self.quoted else 'transfers'}, {len(history.faults)} faults,"
            f" lost {len(found.lost)},"
            f" doubled {len(found.doubled)}, broken {len(found.broken)}, stuck {len(found.stuck)}",
        ]


def run(
    stack: Stack,
    harm: Callable[[Site], None],
    *,
    seed: int,
    seconds: float,
    rate: float,
    scheme: Scheme | None = None,
    whole_payments: bool = False,
    with_rules: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Report:
    """Load on a hub that runs, while `harm` is done to it; leaves it running."""
    rng = random.Random(seed)
    if scheme is None:
        ports = [net.free_port(20_000 + rng.randrange(20_000)) for _ in NAMES]
        rogue_port = net.free_port(20_000 + rng.randrange(20_000))
        scheme = Scheme(NAMES, ports, net.HOST, stack.port, seed, rogue_port=rogue_port, whole_payments=whole_payments)
    scheme.open()
    administration = Administration(stack.base_url)
    administration.open_hub_accounts()
    for name in NAMES:
        cap = {"net_debit_cap": _TIGHT_CAP} if name == "tight" else {}
        administration.add_dfsp(name, scheme.address(name), **cap)
        administration.add_customers(name, scheme.aliases(name))
    if scheme.rogue:
        administration.add_dfsp(ROGUE, scheme.address(ROGUE))
        administration.add_dfsp(MUTE, None)
    if with_rules:
        use_rules(rules.document(NAMES, whole_payments=whole_payments), stack.manage)
        time.sleep(_RULES_KNOWN_S)

    over, healed = threading.Event(), threading.Event()
    # The last fault can end after its time. Only a request that is sent after it shows when the hub is back.
    load = scheme.load(rate, seconds, goes_on=lambda: not healed.is_set())
    loading = threading.Thread(target=lambda: scheme.do(load, seconds + _QUIET_S), daemon=True)
    closing = threading.Thread(target=_close_windows, args=(stack, scheme.history, over))
    loading.start()
    closing.start()
    try:
        try:
            harm(Site(stack, scheme, rng, tell))
        finally:
            healed.set()
        loading.join()
    finally:
        over.set()
        closing.join()
    tell("healed; waiting for quiet")
    report = Report(seed, scheme.history, Findings())
    _heal(stack)
    _finish(stack, scheme, report)
    if with_rules:
        _check_rules(stack, report)
    return report


def _close_windows(stack: Stack, history: History, over: threading.Event) -> None:
    while not over.wait(_WINDOW_S):
        try:
            history.windows_closed += close_window(stack.base_url)
        except (OSError, ValueError):
            continue  # the hub is away for the moment


def _heal(stack: Stack) -> None:
    stack.check()
    stack.wait_ready()


def _finish(stack: Stack, scheme: Scheme, report: Report) -> None:
    """Waits until nothing moves, asks for what is not known, and checks everything."""
    scheme.do(scheme.settle_down(_QUIET_S))
    until = time.monotonic() + _QUIET_S
    with psycopg.connect(stack.env["DATABASE_URL"], autocommit=True) as connection:
        while time.monotonic() < until and _moving(connection):
            time.sleep(0.5)
        # Payees that were asked late have an answer under way.
        if not scheme.do(scheme.settle_down(_QUIET_S)):
            report.findings.stuck.append("some DFSPs are not through with what they meant to do")
        report.settled_by_asking = _ask_for_the_unknown(scheme, connection)
        report.findings = _joined(report.findings, checkers.check(scheme.history, connection))
        if scheme.quotes is not None:
            report.quoted = len(scheme.quotes.all)
            quotes.check(scheme.quotes, connection, report.findings)
        report.ends = dict(checkers.outcomes(connection))
    try:
        stack.manage("check_ledger")
    except LocalError as error:
        report.findings.broken.append(str(error))
    # It lives: a new transfer goes through.
    before = set(scheme.history.payments)
    scheme.do(scheme.load(5, 2))
    scheme.do(scheme.settle_down(30))
    new = [payment for payment in scheme.history.payments.values() if payment.id not in before]
    # A payment whose payee gives no terms has no transfer.
    begun = [payment for payment in new if payment.begun_at]
    refused = [payment for payment in begun if not payment.is_acknowledged]
    report.findings.stuck += [f"{payment.id} was begun after the healing and was not taken" for payment in refused]
    if not begun:
        report.findings.stuck.append("no payment reached its transfer after the healing")


def _check_rules(stack: Stack, report: Report) -> None:
    """The profiles count what the transfers say, and a replay reproduces what was decided in spite of all faults."""
    with psycopg.connect(stack.env["DATABASE_URL"], autocommit=True) as connection:
        report.held = dict(Counter(hold.state for hold in rules.holds(connection).values()))
    try:
        stack.manage("rebuild_profiles", "--check")
        found = json.loads(stack.manage("rules", "replay", "--json").strip().splitlines()[-1])
        report.replayed = f"{found['compared']} decisions, {found['reproduced']} reproduced, {found['late']} late"
    except LocalError as error:
        report.findings.broken.append(str(error))


def _moving(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(
        f"""SELECT (SELECT count(*) FROM outbox_message WHERE state = 'PENDING' AND {checkers.OURS})
                   + (SELECT count(*) FROM ledger_transfer WHERE state = 'RESERVED')
                   + (SELECT count(*) FROM quotes_quote WHERE state = 'PENDING')"""
    ).fetchone()
    return row is not None and row[0] > 0


def _ask_for_the_unknown(scheme: Scheme, connection: psycopg.Connection[Any]) -> int:
    """Who does not know an end asks for it, as a DFSP would; how many learned it so."""
    learned = 0
    for _ in range(3):
        if scheme.quotes is not None and scheme.quotes.unheard():
            scheme.do(scheme.quotes.ask_again())
            _wait_for_answers(connection)
        at_hub = checkers.rows(connection)
        # A payee that answered in two ways, or was not answered, does not know which of them counted.
        open_payers = [p for p in scheme.history.payments.values() if p.id in at_hub and not p.payer_ends]
        open_payees = [
            p
            for p in scheme.history.payments.values()
            if p.id in at_hub and not p.payee_ends and p.prepares and (p.plan == "both" or 200 not in p.put_answers)
        ]
        if not open_payers and not open_payees:
            break
        scheme.do(scheme.ask([(p, p.payer) for p in open_payers] + [(p, p.payee) for p in open_payees]))
        _wait_for_answers(connection)
        learned += sum(bool(p.payer_ends) for p in open_payers)
    return learned


def _wait_for_answers(connection: psycopg.Connection[Any]) -> None:
    """What was asked is answered by callbacks, which wait in the outbox until they are sent."""
    time.sleep(1)
    until = time.monotonic() + _QUIET_S
    while time.monotonic() < until and _moving(connection):
        time.sleep(0.5)
    time.sleep(1)


def _joined(one: Findings, other: Findings) -> Findings:
    return Findings(
        one.lost + other.lost, one.doubled + other.doubled, one.broken + other.broken, one.stuck + other.stuck
    )


def parser(module: str, about: str | None) -> argparse.ArgumentParser:
    """The command line that every run has."""
    made = argparse.ArgumentParser(prog=f"python -m tests.faults.{module}", description=about)
    made.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="a random one")
    made.add_argument("--rate", type=float, default=20, help="transfers begun each second (20)")
    return made


def tell(text: str) -> None:
    """A line for who watches, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def end(report: Report) -> int:
    """Says what came of it; what fails exits with 1."""
    print("\n".join(report.lines()))
    return 1 if report.findings else 0
