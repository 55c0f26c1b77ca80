"""Files of the portal: how many one may have open, and what they leave to others while they are read slowly."""

import io
import threading
from collections.abc import Iterator
from csv import DictReader

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections, connection
from django.http.response import HttpResponseBase

from hub.audit import record
from hub.audit.models import Entry
from hub.downloads import EACH
from ledger.models import Transfer
from portal.permissions import Role
from tests.portal.people import browser, browser_of, person
from tests.world import World, prepare, run

FILE = "/portal/transfers.csv"


def end(*answers: HttpResponseBase) -> None:
    """As the web server does where a client has read all, or has gone; the test's connection stays open."""
    request_finished.disconnect(close_old_connections)
    for answer in answers:
        answer.close()
    request_finished.connect(close_old_connections)


def test_a_person_has_few_files_open_and_is_told(world: World) -> None:
    client, other = browser(Role.VIEWER), browser(Role.OPERATOR)
    held = [client.get(FILE) for _ in range(EACH)]
    assert [answer.status_code for answer in held] == [200] * EACH
    exported = Entry.objects.filter(action="transfers_exported")
    assert exported.count() == EACH
    refused = client.get(FILE)
    assert refused.status_code == 429
    assert "Too many downloads at once" in refused.content.decode()
    assert exported.count() == EACH
    end(other.get(FILE), held[0])
    held[0] = client.get(FILE)
    assert held[0].status_code == 200
    end(*held)


def test_a_participants_people_share_what_one_may_have_open(world: World) -> None:
    people = [person(Role.PARTICIPANT_VIEWER, name=f"green-{number}") for number in range(EACH + 1)]
    held = [browser_of(user).get(FILE) for user in people]
    assert [answer.status_code for answer in held] == [200] * EACH + [429]
    stranger = browser_of(person(Role.PARTICIPANT_VIEWER, name="blue-1", participant="blue")).get(FILE)
    assert stranger.status_code == 200
    end(*held, stranger)


def test_a_file_that_nobody_takes_leaves_its_place(world: World) -> None:
    client = browser(Role.VIEWER)
    for _ in range(3 * EACH):
        answers = [client.head(FILE), client.get(FILE)]
        assert [answer.status_code for answer in answers] == [200, 200]
        end(*answers)  # as a web server does
    assert client.get("/portal/audit/entries.csv").status_code == 403


def test_the_audit_trail_leaves_whole_and_in_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(25):
        record("done", subject=f"s{number}", actor="test")
    monkeypatch.setattr("portal.views.audit._AT_ONCE", 10)
    monkeypatch.setattr("portal.csv_export.MOST_ROWS", 24)
    answer = browser(Role.AUDITOR).get("/portal/audit/entries.csv?action=done")
    rows = list(DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [row["about"] for row in rows[:-1]] == [f"s{number}" for number in range(24, 0, -1)]
    assert rows[-1]["id"].startswith("This file ends here, after 24 rows")


@pytest.fixture
def one_connection(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pool of one connection, which who waits for longer than a moment does not get."""
    options = connection.settings_dict["OPTIONS"] | {"pool": {"min_size": 1, "max_size": 1, "timeout": 0.2}}
    monkeypatch.setattr("django.conf.settings.DATABASE_POOL_PATIENCE_S", 0.2)
    connection.close()
    with monkeypatch.context() as pooled:
        pooled.setitem(connection.settings_dict, "OPTIONS", options)
        pooled.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
        yield
        connection.close()
        connection.close_pool()


def elsewhere() -> int | Exception:
    """How many transfers another request counts meanwhile."""
    found: list[int | Exception] = []

    def run() -> None:
        try:
            found.append(Transfer.objects.count())
        except Exception as error:
            found.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def test_between_two_parts_of_a_file_others_have_its_connection(
    committed_world: World, monkeypatch: pytest.MonkeyPatch, one_connection: None
) -> None:
    for _ in range(6):
        run(prepare(committed_world, "green", "blue", 1))
    monkeypatch.setattr("portal.queries.keyset._BATCH", 2)
    client = browser(Role.VIEWER)
    answer = client.get(FILE)
    connection.close()  # as hub.page_concurrency does; the test's client keeps it
    parts = iter(answer)
    for _ in range(3):  # the headings, and two batches
        next(parts)
        assert elsewhere() == 6
    rest = b"".join(parts).decode()
    assert rest.count("\r\n") == 2
    end(answer)
