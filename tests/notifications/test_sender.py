"""E-mails and webhooks over real sockets: durable, signed, retried, ended, and none holds up another."""

import base64
import hashlib
import hmac
import io
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import override_settings

from hub import notifications
from hub.audit.models import Entry
from hub.notifications import queries, retries, sender, services, store, tasks
from hub.notifications.models import Notification
from hub.notifications.retries import Outcome
from hub.notifications.sender import Sender
from tests.notifications.servers import MailServer, Receiver

LINK = "https://hub.example/portal/invitation/#a-secret-half"
SECRET = "a secret of the webhooks that is long enough"
ASHA, JUMA = "asha@example.org", "juma@example.org"


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    server = MailServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()


@pytest.fixture(autouse=True)
def _mail(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sender, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(sender, "_EXPIRE_EVERY_S", 0.05)
    monkeypatch.setattr(retries, "_FIRST_WAIT_S", 0.05)
    with override_settings(
        SENDS_EMAIL=True,
        EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=mail_server.port,
        EMAIL_TIMEOUT=2,
        DEFAULT_FROM_EMAIL="Kitovu <hub@example.org>",
        WEBHOOK_SECRET=SECRET,
        WEBHOOK_TIMEOUT_S=1,
    ):
        yield


@pytest.fixture
def at_work(transactional_db: None) -> Iterator[Sender]:
    started = Sender()
    started.start()
    yield started
    started.stop(timeout_s=10)


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def notify(*recipients: str, text: str = "Something happened.", **more: object) -> list[int]:
    return notifications.notify(kind="test", recipients=recipients, subject="Watch out", text=text, **more)


def states() -> set[str]:
    return set(Notification.objects.values_list("state", flat=True))


def raw(column: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT string_agg(n::text, ' ') FROM (SELECT {column} FROM notifications_notification) n")
        return cursor.fetchone()[0]


def test_an_email_is_sent_with_what_was_said_and_its_text_is_cleared(at_work: Sender, mail_server: MailServer) -> None:
    (number,) = notify(ASHA, text="Tafadhali, angalia: ñandú.")
    wait_until(lambda: states() == {"SENT"})
    (letter,) = mail_server.letters
    assert (letter["To"], letter["From"], letter["Subject"]) == (ASHA, "Kitovu <hub@example.org>", "Watch out")
    assert letter.get_content().strip() == "Tafadhali, angalia: ñandú."
    assert letter["Message-ID"].startswith(f"<{number}.")
    assert letter["Message-ID"].endswith("@example.org>")
    assert letter["Auto-Submitted"] == "auto-generated"
    row = Notification.objects.get()
    assert (row.text, row.sealed, row.attempts, row.last_error) == ("", None, 1, "")


def test_what_is_rolled_back_is_not_sent(at_work: Sender, mail_server: MailServer) -> None:
    with transaction.atomic():
        notify(ASHA)
        transaction.set_rollback(True)
    notify(JUMA)
    wait_until(lambda: states() == {"SENT"})
    assert [letter["To"] for letter in mail_server.letters] == [JUMA]


def test_a_mail_server_that_is_away_costs_time_and_no_mail(at_work: Sender, mail_server: MailServer) -> None:
    mail_server.stop()
    notify(ASHA, JUMA)
    wait_until(lambda: all(n.attempts >= 2 and n.last_error for n in Notification.objects.all()))
    assert states() == {"PENDING"}
    assert "ConnectionRefusedError" in Notification.objects.first().last_error
    mail_server.start()
    wait_until(lambda: states() == {"SENT"}, 20)
    assert sorted(letter["To"] for letter in mail_server.letters) == [ASHA, JUMA]


def test_a_recipient_that_is_refused_is_given_up_and_holds_up_nobody(at_work: Sender, mail_server: MailServer) -> None:
    mail_server.answer_rcpt = lambda address: "550 no such mailbox" if address == ASHA else "250 OK"
    notify(ASHA, JUMA)
    wait_until(lambda: states() == {"SENT", "GIVEN_UP"})
    refused = Notification.objects.get(state="GIVEN_UP")
    assert (refused.recipient, refused.attempts) == (ASHA, 5)
    assert "550" in refused.last_error
    assert "no such mailbox" in refused.last_error
    assert len(mail_server.to(JUMA)) == 1
    assert queries.counts()[:2] == (0, 1)


def test_an_answer_that_may_change_is_no_refusal(at_work: Sender, mail_server: MailServer) -> None:
    asked = iter(range(1, 99))
    mail_server.answer_rcpt = lambda address: "451 later" if next(asked) < 7 else "250 OK"
    notify(ASHA)
    wait_until(lambda: states() == {"SENT"}, 20)
    assert Notification.objects.get().attempts == 7


def test_a33_a_secret_is_readable_nowhere_and_gone_when_it_was_sent(at_work: Sender, mail_server: MailServer) -> None:
    mail_server.answer_data = lambda letter: "554 your text is: " + letter.get_content()
    notify(ASHA, text=f"Open {LINK}", is_secret=True)
    wait_until(lambda: Notification.objects.get().last_error != "")
    waiting = Notification.objects.get()
    assert waiting.last_error == "SMTPDataError 554"
    assert waiting.sealed
    everything = raw("*") + raw("encode(sealed, 'escape')")
    assert "a-secret-half" not in everything
    assert "invitation" not in everything
    mail_server.answer_data = lambda letter: "250 OK"
    wait_until(lambda: states() == {"SENT"})
    assert Notification.objects.get().sealed is None
    assert LINK in mail_server.letters[0].get_content()


def test_a33_a_secret_that_is_given_up_is_gone_too_and_is_not_sent_again(
    at_work: Sender, mail_server: MailServer
) -> None:
    mail_server.answer_rcpt = lambda address: "550 no such mailbox"
    (number,) = notify(ASHA, text=LINK, is_secret=True)
    wait_until(lambda: states() == {"GIVEN_UP"})
    assert Notification.objects.get().sealed is None
    with pytest.raises(services.NotSent, match="secret"):
        services.send_again(number, actor="juma")


def test_a33_the_database_keeps_no_secret_of_what_does_not_wait(transactional_db: None) -> None:
    notify(ASHA, text=LINK, is_secret=True)
    for state in ("SENT", "GIVEN_UP", "WITHDRAWN"):
        with pytest.raises(IntegrityError, match="only_what_waits_keeps_a_secret"), transaction.atomic():
            Notification.objects.update(state=state, ended_at=datetime.now(UTC))
    with pytest.raises(IntegrityError, match="a_secret_is_sealed"), transaction.atomic():
        Notification.objects.update(text=LINK)


def test_a33_a_secret_goes_to_no_url(transactional_db: None, receiver: Receiver) -> None:
    with pytest.raises(ValueError, match="only be sent by e-mail"):
        notify(receiver.url, text=LINK, is_secret=True)
    assert not Notification.objects.exists()


def test_what_expires_is_given_up_whether_or_not_it_was_tried(at_work: Sender, mail_server: MailServer) -> None:
    mail_server.stop()
    at_once, soon = (datetime.now(UTC) + timedelta(seconds=s) for s in (-1, 1.5))
    notify(ASHA, text=LINK, is_secret=True, expires_at=at_once)
    notify(JUMA, expires_at=soon)
    wait_until(lambda: states() == {"GIVEN_UP"})
    errors = dict(Notification.objects.values_list("recipient", "last_error"))
    assert "expired before" in errors[ASHA]
    assert "ConnectionRefused" in errors[JUMA]
    assert Notification.objects.get(recipient=ASHA).sealed is None
    mail_server.start()


def test_what_is_taken_back_is_not_sent(transactional_db: None, mail_server: MailServer) -> None:
    ids = notify(ASHA, text=LINK, is_secret=True)
    notifications.withdraw(ids)
    assert store.claim({"EMAIL": 9, "WEBHOOK": 9}, lease_s=9) == []
    row = Notification.objects.get()
    assert (row.state, row.sealed) == ("WITHDRAWN", None)


def test_an_operator_sends_again_what_was_given_up_or_puts_it_aside(at_work: Sender, mail_server: MailServer) -> None:
    mail_server.answer_rcpt = lambda address: "550 no such mailbox"
    first, second = notify(ASHA, JUMA)
    wait_until(lambda: states() == {"GIVEN_UP"})
    mail_server.answer_rcpt = lambda address: "250 OK"
    services.send_again(first, actor="neema")
    wait_until(lambda: states() == {"SENT", "GIVEN_UP"})
    assert len(mail_server.to(ASHA)) == 1
    with pytest.raises(services.NotSent):
        services.send_again(first, actor="neema")
    services.put_aside(second, actor="neema")
    assert queries.counts()[:2] == (0, 0)
    assert list(Entry.objects.order_by("id").values_list("action", "actor")) == [
        ("notification_resent", "neema"),
        ("notification_put_aside", "neema"),
    ]


def test_a_subject_is_one_line(at_work: Sender, mail_server: MailServer) -> None:
    notifications.notify(kind="test", recipients=[ASHA], subject="One\r\nBcc: thief@example.org", text="x")
    wait_until(lambda: states() == {"SENT"})
    (letter,) = mail_server.letters
    assert (letter["Subject"], letter["Bcc"]) == ("One Bcc: thief@example.org", None)


@pytest.mark.parametrize("recipient", ["", "asha", "asha@example.org\nBcc: x@y.example", "ftp://x.example", "https://"])
def test_a_recipient_that_is_none_is_a_fault_of_the_caller(transactional_db: None, recipient: str) -> None:
    with pytest.raises(ValueError, match="recipient"):
        notify(recipient)


@override_settings(SENDS_EMAIL=False)
def test_without_email_only_urls_are_notified(transactional_db: None, receiver: Receiver) -> None:
    assert len(notify(ASHA, receiver.url)) == 1
    assert Notification.objects.get().channel == "WEBHOOK"


def test_many_recipients_are_written_by_one_statement(
    transactional_db: None, django_assert_num_queries: Callable
) -> None:
    with transaction.atomic(), django_assert_num_queries(1):
        notify(*(f"person{n}@example.org" for n in range(50)))
    assert Notification.objects.count() == 50


def test_a_webhook_is_signed_over_id_timestamp_and_body(at_work: Sender, receiver: Receiver) -> None:
    (number,) = notify(receiver.url, webhook={"user": "neema", "count": 3})
    wait_until(lambda: states() == {"SENT"})
    ((headers, body),) = receiver.got
    said = json.loads(body)
    assert (said["type"], said["data"]) == ("test", {"user": "neema", "count": 3})
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == f"notification-{number}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 10
    printed = io.StringIO()
    call_command("webhook_key", receiver.url, stdout=printed)
    key = base64.b64decode(printed.getvalue().strip().removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_each_url_has_a_key_of_its_own(transactional_db: None) -> None:
    keys = []
    for url in ("https://one.example/", "https://two.example/"):
        printed = io.StringIO()
        call_command("webhook_key", url, stdout=printed)
        keys.append(printed.getvalue())
    assert keys[0] != keys[1]


def test_a_webhook_that_fails_comes_again_with_the_same_id_and_body(at_work: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda count: (503, b"not now") if count < 3 else (200, b"")
    notify(receiver.url)
    wait_until(lambda: states() == {"SENT"})
    assert len(receiver.got) == 3
    assert len({(headers["webhook-id"], body) for headers, body in receiver.got}) == 1


def test_a_webhook_that_is_refused_or_sent_elsewhere_is_given_up(at_work: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda count: (302 if count % 2 else 410, b"gone")
    notify(receiver.url)
    wait_until(lambda: states() == {"GIVEN_UP"})
    assert len(receiver.got) == 5
    assert Notification.objects.get().last_error.startswith("HTTP 302")


@override_settings(CALLBACK_PUBLIC_ONLY=True)
def test_a20_a_webhook_goes_only_where_the_hub_may_connect(at_work: Sender, receiver: Receiver) -> None:
    notify(receiver.url)
    wait_until(lambda: "does not connect" in Notification.objects.get().last_error)
    assert receiver.got == []


@override_settings(WEBHOOK_SECRET="")
def test_a_webhook_that_can_not_be_signed_is_not_sent(at_work: Sender, receiver: Receiver) -> None:
    notify(receiver.url)
    wait_until(lambda: "WEBHOOK_SECRET" in Notification.objects.get().last_error)
    assert receiver.got == []


def test_a_receiver_that_hangs_and_has_much_waiting_holds_up_nobody(
    at_work: Sender, receiver: Receiver, mail_server: MailServer
) -> None:
    hanging = Receiver()

    def hang(count: int) -> tuple[int, bytes]:
        time.sleep(3)
        return 200, b""

    hanging.answer = hang
    for _ in range(40):
        notify(hanging.url)
    wait_until(lambda: len(hanging.got) >= 1)
    notify(receiver.url, ASHA)
    began = time.monotonic()
    wait_until(lambda: len(receiver.got) == 1 and len(mail_server.letters) == 1)
    assert time.monotonic() - began < 1.0
    under_way = Notification.objects.filter(recipient=hanging.url, leased_until__gt=datetime.now(UTC))
    assert under_way.count() <= 1
    hanging.server.shutdown()


def test_two_senders_send_it_once(at_work: Sender, mail_server: MailServer) -> None:
    other = Sender()
    other.start()
    for number in range(20):
        notify(f"person{number}@example.org")
    wait_until(lambda: states() == {"SENT"}, 20)
    other.stop(timeout_s=10)
    assert len(mail_server.letters) == 20


def test_a_sender_that_died_after_its_claim_is_followed_by_another(
    at_work: Sender, mail_server: MailServer, transactional_db: None
) -> None:
    with transaction.atomic():
        notify(ASHA)
        (claimed,) = store.claim({"EMAIL": 1}, lease_s=1)
    assert claimed.recipient == ASHA
    time.sleep(0.3)
    assert mail_server.letters == []
    wait_until(lambda: states() == {"SENT"})
    assert Notification.objects.get().attempts == 2
    # The one that slept past its lease changes nothing of what its successor did.
    store.given_up(claimed, error="too late")
    assert states() == {"SENT"}


def test_attempts_come_ever_more_seldom_and_end_before_the_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_FIRST_WAIT_S", 5.0)
    failed, refused = Outcome(is_sent=False), Outcome(is_sent=False, is_refusal=True)
    waits = [retries.delay_s(failed, attempts=n, left_s=1e6) for n in range(1, 30)]
    assert all(w is not None and 2.5 <= w <= 900 for w in waits)
    assert waits[10] > 400
    assert retries.delay_s(failed, attempts=20, left_s=100) is None
    assert retries.delay_s(refused, attempts=4, left_s=1e6) is not None
    assert retries.delay_s(refused, attempts=5, left_s=1e6) is None
    asked = Outcome(is_sent=False, retry_after_s=7.0)
    assert retries.delay_s(asked, attempts=1, left_s=1e6) == 7.0


def test_what_ended_long_ago_is_deleted_and_what_waits_is_not(transactional_db: None) -> None:
    old = datetime.now(UTC) - timedelta(days=91)
    for state in ("SENT", "GIVEN_UP", "WITHDRAWN"):
        ids = notify(ASHA)
        Notification.objects.filter(pk__in=ids).update(state=state, ended_at=old, created_at=old)
    kept = notify(JUMA)
    Notification.objects.filter(pk__in=kept).update(created_at=old)
    notify(ASHA)
    tasks.tidy()
    assert Notification.objects.count() == 2


def test_what_waits_and_what_was_given_up_are_counted_for_prometheus(transactional_db: None) -> None:
    notify(ASHA, JUMA)
    Notification.objects.filter(recipient=JUMA).update(state="GIVEN_UP", ended_at=datetime.now(UTC))
    shown = {metric.name: metric.samples[0].value for metric in queries.show()}
    assert shown["kitovu_notifications_pending"] == 1
    assert shown["kitovu_notifications_given_up"] == 1
    assert 0 <= shown["kitovu_notifications_oldest_seconds"] < 60
