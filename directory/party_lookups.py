"""Forwards GET /parties requests and their answers. For each GET /parties, stores the time until which the hub waits
for the answer.

The hub accepts an answer only from the DFSP that received the GET /parties. The hub forwards the answer only to the
DFSP that sent the GET /parties. If no answer comes in time, the requester gets 2004 (FSPIOP API v1.1, section 7.6). If
the hub cannot deliver a GET /parties, the outbox reports the failure to the requester.
"""

from django.conf import settings

from directory import alias_and_lookup_sql, rules_gate
from directory.lookup_commands import AnswerParty, AskParty, Facts, Gate
from directory.lookup_decisions import decide
from directory.models import PartyLookup
from hub import agreement_engine
from hub.agreement_outcomes import Forwarded, Outcome, Scene
from hub.outbox import unanswered
from hub.outbox.messages import Recipient


def ask(command: AskParty) -> Outcome:
    """Forwards a GET /parties and stores the lookup, in the group's database transaction.

    If the requester repeats a GET /parties, the waiting time begins again.
    """
    return agreement_engine.submit(command)


def answer(command: AnswerParty) -> Outcome:
    """Forwards the answer to a GET /parties to the requester, in the group's database transaction.

    For PARTY_ANSWER_S after a lookup's end, the hub still accepts a late or repeated answer.
    """
    return agreement_engine.submit(command)


def run(commands: list[AskParty | AnswerParty], scene: Scene) -> list[Outcome]:
    """Loads, decides and saves the lookups and answers of a group, in the caller's database transaction."""
    gate = rules_gate.open_gate([each for each in commands if isinstance(each, AskParty)])
    outcomes = decide(commands, scene, _load(commands, scene, gate))
    asked = [
        (outcome.message, outcome.command.requester.version)
        for outcome in outcomes
        if isinstance(outcome, Forwarded) and isinstance(outcome.command, AskParty)
    ]
    if asked:
        alias_and_lookup_sql.ask(asked, wait_s=settings.PARTY_ANSWER_S)
    if gate is not None:
        gate.save()
    return outcomes


def _load(commands: list[AskParty | AnswerParty], scene: Scene, gate: Gate | None) -> Facts:
    sought = {
        each.alias for each in commands if isinstance(each, AskParty) and not each.destination and each.owner is None
    }
    oracles = alias_and_lookup_sql.oracles_of({alias.type for alias in sought}) if sought else {}
    registrations, owners = alias_and_lookup_sql.registered(sought) if sought else ({}, {})
    answered = {
        (to.id, each.subject, each.sender_id)
        for each in commands
        if isinstance(each, AnswerParty) and (to := scene.parties.get(each.destination or "")) is not None
    }
    # One SQL statement finds a lookup, checks that the requester has not looked up the alias at another DFSP meanwhile,
    # and ends the lookup.
    ended = alias_and_lookup_sql.end(answered, keep_s=settings.PARTY_ANSWER_S) if answered else set()
    return Facts(oracles, settings.BUILTIN_ORACLE_TYPES, registrations, owners, ended, gate)


def report_unanswered() -> int:
    """Sends an error callback to the requester of each overdue lookup, because no answer came in time. Returns the
    number of reported lookups."""
    return unanswered.report(LOOKUPS)


def forget_ended() -> int:
    """Removes the lookups that ended PARTY_ANSWER_S or longer ago. Returns the number of removed lookups."""
    return unanswered.forget_ended(LOOKUPS, keep_s=settings.PARTY_ANSWER_S)


def _late(lookup: PartyLookup) -> unanswered.Late:
    return unanswered.Late(
        id=lookup.pk,
        requester=Recipient(lookup.requester_id, lookup.requester.name, lookup.version),
        asked_id=lookup.owner_id,
        asked_at=lookup.asked_at,
        subject=lookup.subject,
        error_path=lookup.error_path,
    )


# One SQL statement removes a lookup and stores the lookup's times, so that the history of payments counts each lookup
# exactly once.
_KEEP = """
    INSERT INTO directory_endedlookup (requester_id, owner_id, asked_at, ended_at, is_answered)
    SELECT requester_id, owner_id, asked_at, ended_at, answers > 0 AND ended_at <= answer_by FROM gone
"""
LOOKUPS = unanswered.Requests(
    PartyLookup, "requester", batch="lookups", ended_batch="ended-lookups", read=_late, keep=_KEEP
)
