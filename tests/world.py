"""One small world: DFSPs green, blue, red, and grey who must see nothing; and the ways to act in it as they would."""

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module

from django.apps import apps
from django.db import connection

from fspiop.money import parse_amount
from fspiop.time import http_date
from hub.outbox.models import Message
from hub.participants import services as participants
from hub.participants.models import Participant
from ledger import accounts_and_funds, engine, invariants, queries
from ledger.commands_and_outcomes import Expire, Fulfil, Outcome, PaymentMessage, Prepare, Reject
from ledger.models import Account, Transfer
from tests import snapshots
from tests.keys import CONDITION, FULFILMENT

CURRENCY = "TZS"
DFSPS = ("green", "blue", "red", "grey")


_PREPARED: dict[object, tuple[dict[str, int], snapshots.Rows]] = {}


def amount(text: str | int) -> int:
    return parse_amount(str(text))


@dataclass
class World:
    """Participants by name; `say` and its sisters are what a DFSP's message becomes after its doorway."""

    ids: dict[str, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, *, ndc: int = 1000, cover: int = 5000) -> "World":
        """The world in a database that has no participants yet."""
        if (ndc, cover) in _PREPARED:
            ids, rows = _PREPARED[ndc, cover]
            snapshots.restore(rows)
            return cls(dict(ids))
        world = cls._prepare(ndc, cover)
        if snapshots.may_restore():
            _PREPARED[ndc, cover] = dict(world.ids), snapshots.take()
        return world

    @classmethod
    def after(cls, live: Callable[["World"], object]) -> "World":
        """The world after this, which happens once in each test process; the rows that it left are written anew."""
        if live in _PREPARED:
            ids, rows = _PREPARED[live]
            snapshots.restore(
                rows, replace=True
            )  # what the migrations wrote may have changed: the open window is closed
            return cls(dict(ids))
        world = cls.begin()
        live(world)
        assert world.breaks() == []
        if snapshots.may_restore():
            _PREPARED[live] = dict(world.ids), snapshots.take()
        return world

    @classmethod
    def _prepare(cls, ndc: int, cover: int) -> "World":
        participants.hub()
        accounts_and_funds.ensure_open_window()
        # What a test that really commits took away with all other rows.
        import_module("settlement.migrations.0002_account_types").begin(apps, None)
        for account_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
            accounts_and_funds.open_hub_account(account_type=account_type, currency=CURRENCY, actor="test")
        world = cls()
        for name in DFSPS:
            world.onboard(name, ndc=ndc, cover=cover)
        return world

    def onboard(self, name: str, *, ndc: int | str, cover: int | str, currency: str = CURRENCY) -> Participant:
        participant = accounts_and_funds.register_participant(
            name=name, currency=currency, is_proxy=False, actor="test"
        )
        accounts_and_funds.set_initial_limit(participant, currency=currency, ndc=amount(ndc), actor="test")
        participants.set_endpoint(
            participant, endpoint_type="FSPIOP_CALLBACK_URL", value=f"http://{name}.example", actor="test"
        )
        self.ids[name] = participant.pk
        if amount(cover):
            self.funds_in(name, cover, currency=currency)
        return participant

    def account(self, name: str, account_type: str = "POSITION", currency: str = CURRENCY) -> Account:
        return Account.objects.get(participant_id=self.ids[name], type=account_type, currency=currency)

    def funds_in(self, name: str, text: int | str, currency: str = CURRENCY) -> None:
        accounts_and_funds.record_funds_in(
            self.account(name, "SETTLEMENT", currency),
            transfer_id=str(uuid.uuid4()),
            amount=amount(text),
            reason="test",
            external_reference="",
            actor="test",
        )

    def fill(self, *, cover: int | str) -> None:
        """Funds for everybody, as at the beginning."""
        for name in self.ids:
            self.funds_in(name, cover)

    def position(self, name: str, currency: str = CURRENCY) -> int:
        """What is posted and reserved, in whole currency units times ten thousand."""
        return queries.value_of(self.account(name, currency=currency))

    def breaks(self) -> list[str]:
        """The names of the invariants that do not hold, as this transaction sees them."""
        with connection.cursor() as cursor:
            return [found.invariant.name for found in invariants.breaks_seen_by(cursor)]


def message(version: str = "1.1", body: bytes = b"{}") -> PaymentMessage:
    return PaymentMessage(body, {"fspiop-source": "test", "date": http_date(datetime.now(UTC))}, version)


def prepare(
    world: World,
    payer: str,
    payee: str,
    text: str | int,
    *,
    transfer_id: str | None = None,
    expires_in: float = 60,
    currency: str = CURRENCY,
    condition: str = CONDITION,
    source: str | None = None,
) -> Prepare:
    """A prepare; equal arguments with an equal `transfer_id` are the same message."""
    transfer_id = transfer_id or str(uuid.uuid4())
    content = f"{transfer_id} {payer} {payee} {text} {currency} {condition} {expires_in}"
    body = {
        "transferId": transfer_id,
        "payerFsp": payer,
        "payeeFsp": payee,
        "amount": {"amount": str(text), "currency": currency},
        "condition": condition,
    }
    return Prepare(
        transfer_id=transfer_id,
        source_id=world.ids[source or payer],
        payer=payer,
        payee=payee,
        currency=currency,
        amount=amount(text),
        condition=condition,
        expires_at=datetime.now(UTC) + timedelta(seconds=expires_in),
        digest=hashlib.sha256(content.encode()).digest(),
        message=message(body=json.dumps(body).encode()),
    )


def fulfil(
    world: World,
    payee: str,
    transfer_id: str,
    *,
    fulfilment: str | None = FULFILMENT,
    wants_patch: bool = False,
    destination: str | None = None,
    version: str = "1.1",
) -> Fulfil:
    content = f"{transfer_id} {fulfilment} {wants_patch}"
    return Fulfil(
        transfer_id=transfer_id,
        source_id=world.ids[payee],
        destination=destination,
        fulfilment=fulfilment,
        moment_fault=None,
        wants_patch=wants_patch,
        digest=hashlib.sha256(content.encode()).digest(),
        message=message(version),
    )


def reject(world: World, payee: str, transfer_id: str, *, code: str = "5100", text: str = "no") -> Reject:
    digest = hashlib.sha256(f"{transfer_id} {code} {text}".encode()).digest()
    return Reject(transfer_id, world.ids[payee], code, text, digest, message())


def run(command: Prepare | Fulfil | Reject | Expire) -> Outcome:
    (outcome,) = engine.run([command])
    return outcome


def state_of(transfer_id: str) -> str:
    return Transfer.objects.values_list("state", flat=True).get(pk=transfer_id)


def messages_about(transfer_id: str) -> list[tuple[str, str, str]]:
    """What waits in the outbox about a transfer, in order: (destination, method, kind)."""
    rows = Message.objects.filter(subject=transfer_id).order_by("id")
    return list(rows.values_list("destination__name", "method", "kind"))
