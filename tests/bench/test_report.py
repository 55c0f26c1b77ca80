"""The last line and the exit code: when a run counts as failed."""

from collections import Counter
from dataclasses import asdict, replace

from bench import report
from bench.latency_and_cpu_figures import Outcome
from bench.run import Plan, Result

PLAN = Plan(rate=50, seconds=10, warmup=1, drain=1, dfsps=2, hot=0)


def figures(outcome: Outcome, ledger_ok: bool | None = True) -> dict[str, object]:
    return report.summary(
        PLAN, Result(outcome, {"web": 5.0, "dfsps 0": 1.0, "dfsps 1": 1.0}, 9.0, 0, 0, 0.0), ledger_ok
    )


def whole(**changes: object) -> Outcome:
    outcome = Outcome(sent=500, accepted=500, completed=500, completed_while_measured=500)
    outcome.hops["whole"] = [0.1] * 99 + [0.25]
    for name, value in changes.items():
        setattr(outcome, name, value)
    return outcome


def test_a_good_run_says_so_in_one_line() -> None:
    found = figures(whole())
    assert report.last_line(found) == (
        "bench: 50.0 transfers/s, p50 100.0 ms, p99 100.0 ms, cpu 14.00 ms, lost 0, ledger ok"
    )
    assert report.verdict(found) == []
    assert found["instrument_share"] == 0.286
    assert found["cpu_ms_per_transfer"] == {"web": 10.0, "dfsps": 4.0}


def test_a_run_fails_for_what_was_lost_failed_refused_or_does_not_add_up() -> None:
    assert report.verdict(figures(whole(lost=1))) == ["1 transfers lost"]
    assert len(report.verdict(figures(whole(failed=Counter({"error 3303": 2}))))) == 1
    assert len(report.verdict(figures(whole(refused=Counter({"HTTP 400": 2}))))) == 1
    assert report.verdict(figures(whole()) | {"altered": 2}) == ["the hub altered messages of 2 transfers"]
    assert len(report.verdict(figures(whole()) | {"contradicted": 1})) == 1
    assert report.verdict(figures(whole(), ledger_ok=False)) == ["the ledger check failed"]
    assert report.last_line(figures(whole(), ledger_ok=False)).endswith("ledger BROKEN")


def test_a_busy_hub_is_no_fault_unless_it_did_nothing() -> None:
    assert report.verdict(figures(whole(refused=Counter({"HTTP 429": 5, "HTTP 503": 40})))) == []
    nothing = Outcome(refused=Counter({"HTTP 503": 40}), hops={"whole": []})
    assert report.verdict(figures(nothing)) == ["no transfer completed"]


def test_the_last_line_says_whether_payments_or_transfers_were_made() -> None:
    found = figures(whole()) | {"plan": asdict(replace(PLAN, payments=True))}
    assert report.last_line(found).startswith("bench: 50.0 payments/s, p50 ")


def test_payments_that_their_payers_gave_up_are_a_fault_unless_the_hub_was_busy() -> None:
    assert report.verdict(figures(whole(given_up=Counter({"HTTP 503": 7, "HTTP 429": 1})))) == []
    assert report.verdict(figures(whole(given_up=Counter({"HTTP 400": 2})))) == ["requests given up: {'HTTP 400': 2}"]


def test_a_hub_that_stays_slow_after_the_load_fails_a_run() -> None:
    lowered = figures(whole()) | {"plan": asdict(replace(PLAN, calm=20.0))}
    assert report.verdict(lowered | {"recovered_s": 0.4}) == []
    assert len(report.verdict(lowered | {"recovered_s": None})) == 1


def test_books_that_do_not_agree_fail_a_run() -> None:
    found = figures(whole()) | {"book_faults": ["t: only in the books of a"]}
    assert len(report.verdict(found)) == 1


def test_a_ledger_that_was_not_looked_at_is_not_called_ok() -> None:
    found = figures(whole(), ledger_ok=None)
    assert report.verdict(found) == []
    assert report.last_line(found).endswith("ledger not checked")
