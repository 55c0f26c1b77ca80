"""A bulk or a conversion that the front end sends itself: stored, sent again as it was, and ended by the hub alone."""

import pytest

from kitovu_connector import front_end_conversion_and_bulk_states as states
from kitovu_connector.front_end_conversion_and_bulk_states import OVER, Answered, Failed, Sent, Submission
from tests.keys import CONDITION, FULFILMENT, OTHER_FULFILMENT

NOW = 1_800_000_000.0
NEW = Submission(
    id="b",
    resource="bulkTransfers",
    body=b"{}",
    digest=b"",
    destination="blue",
    expires_at=NOW + 30,
    conditions={"t": CONDITION},
    created_at=NOW,
)
TAKEN = states.taken(NEW, 10.0).submission
DOUBT = states.unclear(NEW).submission


def test_the_hubs_report_ends_it_if_each_fulfilment_fits() -> None:
    done = states.answered(TAKEN, Answered(b"{}", {"t": FULFILMENT}, is_end=True)).submission
    assert (done.state, done.outcome) == (Sent.DONE, b"{}")
    for fulfilments in ({"t": OTHER_FULFILMENT}, {"another": FULFILMENT}):
        refused = states.answered(TAKEN, Answered(b"{}", fulfilments, is_end=True))
        assert (refused.submission, refused.refusal is None) == (TAKEN, False)
    assert states.answered(DOUBT, Answered(b"{}", {}, is_end=False)).submission.state is Sent.ACCEPTED


def test_only_the_first_request_that_was_ever_sent_can_be_refused() -> None:
    assert states.refused(NEW, "3100", "no").submission.state is Sent.FAILED
    for sent in (TAKEN, DOUBT):
        assert states.refused(sent, "3100", "no").submission.state not in OVER


@pytest.mark.parametrize("code", ["1001", "2001", "3106", "3105"])
def test_a_fault_on_the_way_ends_nothing_and_asks(code: str) -> None:
    following = states.failed(TAKEN, Failed(code, "", NOW), NOW, 10.0)
    assert (following.submission, following.asks) == (TAKEN, True)


@pytest.mark.parametrize("code", ["3303", "5103", "4001", "3202"])
def test_an_error_that_decides_ends_it(code: str) -> None:
    failed = states.failed(TAKEN, Failed(code, "no", NOW), NOW, 10.0).submission
    assert (failed.state, failed.error_code) == (Sent.FAILED, code)


def test_an_unknown_id_means_never_only_when_it_is_too_late() -> None:
    for code in ("3210", "3208", "3200"):
        assert states.failed(DOUBT, Failed(code, "", NOW), NOW, 10.0).sends
        assert states.failed(TAKEN, Failed(code, "", NOW + 99), NOW + 99, 10.0).submission.state not in OVER
        early = Failed(code, "", NOW + 31)  # written before the hub can no longer take it
        assert states.failed(DOUBT, early, NOW + 99, 10.0).submission.state not in OVER
        late = Failed(code, "", NOW + 40)
        assert states.failed(DOUBT, late, NOW + 99, 10.0).submission.state is Sent.FAILED
