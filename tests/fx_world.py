"""A world with two currencies: green pays TZS, blue is paid KES, and fxp, with accounts in both, converts."""

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta

from hub.outbox.models import Message
from ledger import accounts_and_funds, engine
from ledger.commands_and_outcomes import Command, Outcome
from ledger.fx.commands_and_outcomes import FxCommand, FxExpire, FxFulfil, FxOutcome, FxPrepare, FxReject
from ledger.models import FxTransfer
from tests.keys import CONDITION, FULFILMENT
from tests.world import World, amount, message


def open_scheme(world: World, *, ndc: int = 1000, cover: int = 5000) -> World:
    """Adds the second currency and the FXP to the world of green, blue, red and grey."""
    for name in ("fxp", "other"):  # another FXP
        world.onboard(name, ndc=ndc, cover=cover)
    return open_kes(world, "fxp", "other", "blue", ndc=ndc, cover=cover)


def open_kes(world: World, *names: str, ndc: int = 1000, cover: int = 5000) -> World:
    """Adds the second currency alone, and accounts in it."""
    for account_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
        accounts_and_funds.open_hub_account(account_type=account_type, currency="KES", actor="test")
    for name in names:
        world.onboard(name, ndc=ndc, cover=cover, currency="KES")
    return world


def fx_prepare(
    world: World,
    determining: str,
    *,
    initiator: str = "green",
    fxp: str = "fxp",
    source: tuple[str, int | str] = ("TZS", 100),
    target: tuple[str, int | str] = ("KES", 5),
    commit_request_id: str | None = None,
    expires_in: float = 60,
    condition: str = CONDITION,
) -> FxPrepare:
    """A conversion; equal arguments with an equal `commit_request_id` are the same message."""
    commit_request_id = commit_request_id or str(uuid.uuid4())
    content = f"{commit_request_id} {determining} {initiator} {fxp} {source} {target} {condition} {expires_in}"
    body = {
        "commitRequestId": commit_request_id,
        "determiningTransferId": determining,
        "initiatingFsp": initiator,
        "counterPartyFsp": fxp,
        "sourceAmount": {"currency": source[0], "amount": str(source[1])},
        "targetAmount": {"currency": target[0], "amount": str(target[1])},
        "condition": condition,
    }
    return FxPrepare(
        commit_request_id=commit_request_id,
        determining_transfer_id=determining,
        source_id=world.ids[initiator],
        initiator=initiator,
        fxp=fxp,
        source_currency=source[0],
        source_amount=amount(source[1]),
        target_currency=target[0],
        target_amount=amount(target[1]),
        condition=condition,
        expires_at=datetime.now(UTC) + timedelta(seconds=expires_in),
        digest=hashlib.sha256(content.encode()).digest(),
        message=message("2.0", json.dumps(body).encode()),
    )


def fx_fulfil(
    world: World,
    commit_request_id: str,
    *,
    fxp: str = "fxp",
    fulfilment: str | None = FULFILMENT,
    says_reserved: bool = True,
    destination: str | None = None,
) -> FxFulfil:
    digest = hashlib.sha256(f"{commit_request_id} {fulfilment} {says_reserved}".encode()).digest()
    return FxFulfil(commit_request_id, world.ids[fxp], destination, fulfilment, says_reserved, digest, message("2.0"))


def fx_reject(world: World, commit_request_id: str, *, fxp: str = "fxp", text: str = "no") -> FxReject:
    digest = hashlib.sha256(f"{commit_request_id} {text}".encode()).digest()
    return FxReject(commit_request_id, world.ids[fxp], "5103", text, digest, message("2.0"))


def fx_expire(commit_request_id: str) -> FxExpire:
    return FxExpire(commit_request_id)


def run(command: Command | FxCommand) -> Outcome | FxOutcome:
    (outcome,) = engine.run([command])
    return outcome


def agreed(world: World, determining: str | None = None, **more: object) -> FxPrepare:
    """A conversion that its FXP has fulfilled."""
    command = fx_prepare(world, determining or str(uuid.uuid4()), **more)  # type: ignore[arg-type]
    run(command)
    run(fx_fulfil(world, command.commit_request_id, fxp=command.fxp))
    return command


def fx_state_of(commit_request_id: str) -> str:
    return FxTransfer.objects.values_list("state", flat=True).get(pk=commit_request_id)


def positions(world: World) -> dict[str, int]:
    """Who stands where, in whole units; those at nothing are left out."""
    places = [("green", "TZS"), ("blue", "TZS"), ("blue", "KES")]
    places += [(name, currency) for name in ("fxp", "other") for currency in ("TZS", "KES")]
    found = {f"{name} {currency}": world.position(name, currency) // 10_000 for name, currency in places}
    return {place: value for place, value in found.items() if value}


def told(subject: str) -> list[tuple[str, str, str]]:
    """What waits in the outbox about a conversion, in order: (destination, method, kind)."""
    rows = Message.objects.filter(subject=subject).order_by("id")
    return list(rows.values_list("destination__name", "method", "kind"))
