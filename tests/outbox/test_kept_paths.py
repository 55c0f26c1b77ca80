"""Permanent records of messages contain no customer's identifier, and no digest with which one could be guessed."""

import pytest
from django.db import connection
from django.test import override_settings

from hub.api import forwarding
from hub.outbox import store
from hub.outbox.models import Delivery
from tests.outbox.messages import deliver_all, message
from tests.world import World

NUMBER = "255655001001"


def kept() -> list[tuple[str, str]]:
    return list(Delivery.objects.order_by("message_id").values_list("path", "subject"))


@pytest.mark.parametrize(
    ("path", "kept_as"),
    [
        (f"/parties/MSISDN/{NUMBER}?currency=TZS", "/parties/MSISDN/{}"),
        (f"/parties/MSISDN/{NUMBER}/error", "/parties/MSISDN/{}/error"),
        (f"/participants/MSISDN/{NUMBER}/WALLET", "/participants/MSISDN/{}"),
        (f"/%70arties/MSISDN/%32{NUMBER[1:]}", "/{}"),  # as the sender signed it
    ],
)
def test_a_delivered_path_keeps_a_digest_for_an_identifier(world: World, path: str, kept_as: str) -> None:
    subject = forwarding.subject_of(f"{path} for green")
    store.append([message(world.ids["blue"], path, subject=subject)])
    deliver_all()
    assert kept() == [(kept_as.format(store.kept_subject(subject)), store.kept_subject(subject))]
    with connection.cursor() as cursor:
        cursor.execute("SELECT d::text FROM outbox_delivery d")
        text = cursor.fetchone()[0]
    assert NUMBER[1:] not in text
    assert subject not in text  # which is a hash of the number, and numbers are soon tried
    with override_settings(SECRET_KEY="another"):
        assert store.kept_subject(subject) not in text


def test_what_is_about_a_payment_is_kept_as_it_was_sent(world: World) -> None:
    store.append([message(world.ids["blue"], "/transfers/T/error", subject="T")])
    store.append([message(world.ids["blue"], "/parties-of-nobody", subject="S")])
    deliver_all()
    assert kept() == [("/transfers/T/error", "T"), ("/parties-of-nobody", "S")]
