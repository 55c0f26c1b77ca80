"""Stores the requests for terms, the answers and the refusals of all kinds of agreements, and forwards these messages
byte for byte.

One database transaction stores the messages of a group and adds the forwarded messages to the outbox: see
`hub.agreement_engine`.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from django.conf import settings
from django.db.models import QuerySet

from fspiop.errors import FspiopError
from hub import agreement_engine
from hub.agreement_outcomes import Alone, Forwarded, Outcome, RefusedAndStored, Scene
from hub.outbox.messages import HubMessages, Outgoing
from hub.participants.models import Participant
from quotes import notices, rules_gate, store
from quotes.commands_and_facts import AgreementCommand, AskTerms, Facts, GiveTerms, Standing, State, Stored
from quotes.decide import decide, is_same, is_too_large
from quotes.models import Agreement
from quotes.rules_gate import QuoteGate
from rules import kept_verdicts

A = TypeVar("A", bound=Agreement)
Send = Callable[[list[Outgoing]], None]


def ask(command: AskTerms) -> Outcome:
    """In the group's database transaction, stores a request for terms and forwards the request to the payee."""
    outcome = agreement_engine.submit(command)
    return agreement_engine.submit_alone(command) if isinstance(outcome, Alone) else outcome


def answer(command: GiveTerms) -> Outcome:
    """In the group's database transaction, stores and forwards the payee's terms, or a refusal from the payer or the
    payee."""
    return agreement_engine.submit(command)


def run(commands: list[AgreementCommand], scene: Scene) -> list[Outcome]:
    """Processes a group's requests and answers in the caller's database transaction: loads the rows, decides and
    saves."""
    facts, gate = _load(commands, scene)
    outcomes = decide(commands, scene, facts)
    _save(outcomes, facts, gate.kept if gate is not None else {})
    if gate is not None:
        gate.save()
    return outcomes


def _load(commands: Collection[AgreementCommand], scene: Scene) -> tuple[Facts, QuoteGate | None]:
    """Reads the rows without a lock, because the SQL statements that save the decisions check the rows again."""
    standing: dict[str, Standing] = {}
    stored: dict[str, Stored] = {}
    for resource, kind in store.KINDS.items():
        of_kind = [command for command in commands if command.resource == resource]
        if not of_kind:
            continue
        seen = store.standing(kind, {command.agreement_id for command in of_kind})
        standing |= {f"{resource}/{agreement_id}": each for agreement_id, each in seen.items()}
        again = {
            command.agreement_id
            for command in of_kind
            if isinstance(command, AskTerms)
            and command.agreement_id in seen
            and is_same(command, seen[command.agreement_id])
            and not is_too_large(command, seen[command.agreement_id], scene)
        }
        if again:
            found = store.stored(kind, again)
            stored |= {f"{resource}/{agreement_id}": each for agreement_id, each in found.items()}
    new = [each for each in commands if isinstance(each, AskTerms) and each.key not in standing]
    delays = any(
        isinstance(each, GiveTerms) and each.expires_at is not None and kept_verdicts.may_hold(standing[each.key].kept)
        for each in commands
        if each.key in standing
    )
    gate = rules_gate.open_gate(new, delays=delays)
    return Facts(standing, stored, gate), gate


def _save(outcomes: Collection[Outcome], facts: Facts, kept: Mapping[str, bytes]) -> None:
    forwarded = [outcome for outcome in outcomes if isinstance(outcome, Forwarded)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, RefusedAndStored)]
    asked = [(each.command, each.message.destination_id) for each in forwarded if isinstance(each.command, AskTerms)]
    given = [
        (each.command, facts.standing[each.command.key].state)
        for each in forwarded
        if isinstance(each.command, GiveTerms)
    ]
    asked += [(each.command, each.payee_id) for each in refused]
    given += [(each.answer, State.PENDING) for each in refused]
    for resource, kind in store.KINDS.items():
        if of_kind := [each for each in asked if each[0].resource == resource]:
            store.add(kind, of_kind, kept)
        if answers := [each for each in given if each[0].resource == resource]:
            store.settle(kind, answers)


def find(kind: type[A], agreement_id: str, *, asker_id: int) -> A:
    """Returns the caller's agreement with this id.

    Raises an error if there is no agreement with this id, or if the caller is not a party to the agreement.
    """
    return _of(asker_id, kind, kind._default_manager.filter(pk=agreement_id))


def _of(participant_id: int, kind: type[A], rows: QuerySet[A]) -> A:
    agreement = rows.select_related("payer", "payee").first()
    if agreement is None or participant_id not in (agreement.payer_id, agreement.payee_id):
        raise FspiopError(kind.not_found)
    if agreement.is_refused_by_rules and participant_id != agreement.payer_id:
        raise FspiopError(kind.not_found)
    return agreement


def answer_again(agreement: Agreement) -> Outgoing:
    """Returns the message that sends the payer the stored answer: the payee's answer, or a report that no answer
    arrived."""
    return notices.answer_again(agreement, _hub())


def unanswered(agreement: Agreement, *, content_type: str | None) -> Outgoing:
    """Notifies the payer that no answer arrived in time. The error is 3302 if the request had an expiration, and 2004
    if the hub's own time limit applied."""
    return notices.unanswered(agreement, _hub(), content_type=content_type)


def error_callback(
    agreement: Agreement, to: Participant, error: FspiopError, *, content_type: str | None, subject: str
) -> Outgoing:
    """Reports to one party that an agreement failed. The report has the API version of the party's request."""
    return notices.error_callback(agreement, to, error, _hub(), content_type=content_type, subject=subject)


def _hub() -> HubMessages:
    return HubMessages(settings.HUB_NAME, datetime.now(UTC))
