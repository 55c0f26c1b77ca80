"""The page of what the hub's periodic batches could not work on: seen by the hub's people, tried again by operators."""

import pytest
from django.core.cache import caches
from django.test import Client
from django.utils import timezone

from hub.audit.models import Entry
from hub.sweeps import store
from hub.sweeps.models import SkippedRow
from portal.permissions import Role
from tests.portal.people import browser
from tests.portal.test_pages import text_of
from tests.world import World, prepare, run

PAGE = "/portal/skipped/"


@pytest.fixture(autouse=True)
def _forget_figures() -> None:
    caches["process"].clear()


def test_without_skipped_rows_the_overview_and_the_page_say_so(world: World) -> None:
    viewer = browser(Role.VIEWER)
    assert viewer.get("/portal/overview/").context["skipped"] == 0
    assert "No rows are skipped." in text_of(viewer, PAGE)


def test_the_overview_counts_the_skipped_rows_and_the_page_says_which_and_why(world: World) -> None:
    p = prepare(world, "green", "blue", 1)
    run(p)
    store.remember("transfers", [p.transfer_id], "RaiseException: <script>it is bad</script>", attempts=1)
    store.remember("gross-settlement KES", ["17"], "CanNotSettle: white has no SETTLEMENT account", attempts=1)
    store.remember("quotes", ["*"], "QueryCanceled: it took too long", attempts=1)
    viewer = browser(Role.VIEWER)
    assert viewer.get("/portal/overview/").context["skipped"] == 3
    assert f'href="{PAGE}"' in text_of(viewer, "/portal/overview/")
    shown = text_of(viewer, PAGE)
    assert f'href="/portal/transfers/{p.transfer_id}/"' in shown
    assert "&lt;script&gt;it is bad" in shown
    for text in ("Expiry of transfers", "Gross settlement KES", "white has no SETTLEMENT account", "all rows"):
        assert text in shown
    assert "Retry now" not in shown  # to look is not to do


def test_an_operator_has_one_row_or_all_of_a_batch_tried_again_and_it_is_recorded(world: World) -> None:
    store.remember("lookups", ["1", "2"], "bad", attempts=3)
    store.remember("windows", ["9"], "bad", attempts=3)
    row = SkippedRow.objects.get(row="9")
    operator = browser(Role.OPERATOR)
    assert store.claim("windows", 1) == []
    assert "Retry now" in text_of(operator, PAGE)
    assert operator.post(f"{PAGE}{row.pk}/again/").status_code == 302
    assert store.claim("windows", 5) == ["9"]
    assert store.claim("lookups", 5) == []
    assert operator.post(f"{PAGE}of/lookups/again/").status_code == 302
    assert sorted(store.claim("lookups", 5)) == ["1", "2"]
    recorded = Entry.objects.filter(action="skipped_rows_tried_again").order_by("id")
    assert [(entry.actor, entry.subject, entry.after) for entry in recorded] == [
        ("operator", "windows", {"row": "9"}),
        ("operator", "lookups", {"rows": 2}),
    ]
    assert SkippedRow.objects.filter(due_at__gt=timezone.now()).count() == 3  # claimed: postponed before it is tried
    assert "These rows are no longer skipped." in operator.post(f"{PAGE}999/again/", follow=True).content.decode()


def test_metrics_count_them(world: World) -> None:
    store.remember("lookups", ["1", "2"], "bad", attempts=3)
    assert 'kitovu_rows_skipped{batch="lookups"} 2.0' in Client().get("/metrics").content.decode()
