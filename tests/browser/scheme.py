"""A small country's scheme with some hours of life, for looking at its pages."""

import json
import random
from datetime import UTC, datetime, timedelta
from importlib import import_module

from django.apps import apps
from django.db import connection

from hub.outbox import store
from hub.outbox.models import Message
from hub.participants import services as participants
from ledger import accounts_and_funds
from ledger.models import Transfer
from tests.factories import LedgerCheckFactory
from tests.world import CURRENCY, World, fulfil, prepare, reject, run

BANKS = {"uhuru-bank": 40_000, "simba-pesa": 25_000, "kilele-sacco": 9_000, "bahari-wallet": 4_000}


def begin(*, payments: int = 60) -> World:
    participants.hub()
    accounts_and_funds.ensure_open_window()
    # What a test that really commits took away with all other rows.
    import_module("settlement.migrations.0002_account_types").begin(apps, None)
    for account_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
        accounts_and_funds.open_hub_account(account_type=account_type, currency=CURRENCY, actor="provisioning")
    world = World()
    for name, cover in BANKS.items():
        world.onboard(name, ndc=cover * 3 // 4, cover=cover)
    chance = random.Random(7)
    for number in range(payments):
        payer, payee = chance.sample(list(BANKS), 2)
        command = prepare(world, payer, payee, chance.randint(1, 900))
        command.message.body = json.dumps(
            {"transferId": command.transfer_id, "payerFsp": payer, "payeeFsp": payee}
        ).encode()
        run(command)
        if not Transfer.objects.filter(pk=command.transfer_id, state="RESERVED").exists():
            continue
        if number % 12 == 5:
            run(reject(world, payee, command.transfer_id, text="the account is closed"))
        elif number % 15 != 7:
            run(fulfil(world, payee, command.transfer_id))
    _deliver(keep=4)
    LedgerCheckFactory.create(seconds=0.2)
    return world


def _deliver(*, keep: int) -> None:
    """Most were told at once; some wait, and one was given up."""
    ids = list(Message.objects.order_by("id").values_list("id", flat=True))
    store.delivered([(message_id, 202) for message_id in ids[:-keep]])
    Message.objects.filter(pk=ids[-1]).update(
        state="DEAD", attempts=14, last_error="HTTP 503: <html>out of order</html>"
    )
    Message.objects.filter(pk=ids[-2]).update(attempts=3, due_at=datetime.now(UTC) + timedelta(seconds=40))


def spread(minutes: int = 28) -> None:
    """Lets the payments have arrived over the last half hour: past the trigger that keeps a transfer's terms."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            """UPDATE ledger_transfer t SET received_at = now() - n.part * make_interval(mins => %s),
                      completed_at = CASE WHEN completed_at IS NULL THEN NULL
                                     ELSE now() - n.part * make_interval(mins => %s) + interval '180 ms' END
               FROM (SELECT transfer_id, 1 - row_number() OVER (ORDER BY received_at)::float8 / count(*) OVER () AS part
                     FROM ledger_transfer) n WHERE n.transfer_id = t.transfer_id""",
            [minutes, minutes],
        )
        cursor.execute("SET session_replication_role = origin")
