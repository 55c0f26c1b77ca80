"""Releases and refuses held transfers. A periodic task ends the holds whose time has passed.

One person requests the release or the refusal of a held transfer. A second person approves this request. The database
transaction of the approval also releases or refuses the transfer.
"""

from collections.abc import Sequence

from django.db import transaction

from fspiop.errors import ErrorCode, FspiopError
from hub import outbox
from hub.audit import record
from hub.outbox.messages import Outgoing
from hub.sweeps import isolating_batches
from ledger import engine
from ledger.commands_and_outcomes import Aborted, RefuseHeld
from ledger.held_transfers import judged_again, store
from ledger.held_transfers.models import HeldTransfer
from ledger.notices import prepare_to_payee
from rules.decide import Verdict
from rules.language.refusal_codes import is_scheme_code
from rules.rulesets import active_rules

_MOST = 50  # a limit for each call, because the function reads the message of each transfer
_ATTEMPTS = 2


def work_off() -> int:
    """Releases the transfers whose hold is over, and aborts the transfers that people or the rules have refused.

    Returns the number of transfers that this call has released, refused or aborted.
    """
    return isolating_batches.each(_release_due, _abort_refused)


def _release_due() -> int:
    return isolating_batches.in_groups(store.RELEASES, find=store.due, work=_release, most=_MOST)


def _release(transfer_ids: list[str]) -> int:
    with transaction.atomic(durable=True):
        active = active_rules.current_at()
        locked_ids = store.lock(transfer_ids)
        refused = judged_again.refusals(locked_ids, active)
        for transfer_id, verdict in refused.items():
            _refuse_by_rules(transfer_id, verdict)
        messages = _send([each for each in locked_ids if each not in refused])
    return len(messages) + len(refused)


def _refuse_by_rules(transfer_id: str, verdict: Verdict) -> None:
    """Marks a held transfer as refused. The rules did not refuse the transfer at its arrival. Now the rules refuse one
    of the transfer's parties. The hub then never sends this transfer to its payee.
    """
    code = verdict.code or ""
    rules = ", ".join(hit.rule for hit in verdict.hits if hit.counts and hit.action == "refuse") or "a kill switch"
    held = HeldTransfer.objects.filter(pk=transfer_id, state=HeldTransfer.State.HELD, refusal_code__isnull=True)
    if held.update(refusal_code=code, actor=judged_again.ACTOR):
        after = {"reason": f"refused at its release by {rules}", "code": code}
        record("held_transfer_refused", subject=transfer_id, actor=judged_again.ACTOR, after=after)


def _send(locked_ids: Sequence[str], *, actor: str = "") -> list[Outgoing]:
    """Releases these locked transfers in the caller's database transaction. Adds the POST of each transfer to the
    outbox, for the transfer's payee.
    """
    messages = [
        prepare_to_payee(each.request, each.payee, each.transfer_id, payer_id=each.payer_id)
        for each in store.release(locked_ids, actor=actor)
    ]
    outbox.append(messages)
    transaction.on_commit(lambda: outbox.poke({message.destination_id for message in messages}))
    return messages


def _abort_refused() -> int:
    return isolating_batches.in_groups(store.REFUSALS, find=store.refused, work=_abort, most=_MOST)


def _abort(transfer_ids: list[str]) -> int:
    codes = store.refusal_codes(transfer_ids)
    outcomes = engine.run([RefuseHeld(id, error_code=code) for id, code in sorted(codes.items())], attempts=_ATTEMPTS)
    return sum(isinstance(outcome, Aborted) for outcome in outcomes)


@transaction.atomic
def release(transfer_id: str, *, reason: str, actor: str) -> None:
    """Sends a held transfer to its payee now.

    Raises FspiopError if the transfer is no longer held, or if one of its parties has meanwhile been blocked or marked.
    """
    active = active_rules.current_at()
    locked_ids = store.lock([transfer_id])
    refused = judged_again.refusals(locked_ids, active).get(transfer_id)
    if refused is not None:
        text = f"a kill switch, or a rule about a list or a marker, refuses the transfer now ({refused.code})"
        raise FspiopError(ErrorCode.CLIENT_ERROR, text)
    if not _send(locked_ids, actor=actor):
        raise _not_held()
    record("held_transfer_released", subject=transfer_id, actor=actor, after={"reason": reason})


@transaction.atomic
def refuse(transfer_id: str, *, code: str, reason: str, actor: str) -> None:
    """Refuses a held transfer. At its next run, the periodic task aborts the transfer. The abort has this error code.

    Raises FspiopError if the transfer is no longer held.
    """
    if not is_scheme_code(code):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{code} is no error code of a scheme")
    held = HeldTransfer.objects.filter(pk=transfer_id, state=HeldTransfer.State.HELD, refusal_code__isnull=True)
    if not store.lock([transfer_id]) or not held.update(refusal_code=code, actor=actor):
        raise _not_held()
    record("held_transfer_refused", subject=transfer_id, actor=actor, after={"reason": reason, "code": code})


def _not_held() -> FspiopError:
    return FspiopError(ErrorCode.CLIENT_ERROR, "the transfer is not held any more")
