"""The engine of the agreement phase: stores and forwards lookups and quotes in groups (`hub.group_commit`).

Each group is one database transaction. The engine first reads the participants. For each kind of command, the engine
then loads the rows, decides in memory, and saves the result. At the end, the engine appends the outgoing messages to
the outbox and commits. Each Django app registers its kinds of commands when the process starts.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction
from prometheus_client import Counter, Histogram

from fspiop.errors import ErrorCode, FspiopError
from hub import group_commit, outbox
from hub.agreement_outcomes import Outcome, Scene, message_of
from hub.fair_groups import Waiting as AnyWaiting
from hub.fair_groups import fair_share, without
from hub.outbox import backlog_limit
from hub.outbox.messages import ReceivedMessage
from hub.participants import queries as participants

RETRIES = Counter("kitovu_agreement_retries_total", "Groups of lookups and quotes decided again, by reason", ["reason"])
BATCH_SIZE = Histogram(
    "kitovu_agreement_group_size", "Lookups and quotes in one transaction", buckets=(1, 2, 5, 10, 25, 50, 100, 200)
)


class Command(Protocol):
    """A received message of the agreement phase (lookups and quotes), with the data that the hub needs to decide about
    the message."""

    @property
    def message(self) -> ReceivedMessage: ...

    @property
    def sender_id(self) -> int: ...

    @property
    def key(self) -> str:
        """Returns a key for the object that the message is about, such as a quote. If every participant is allowed to
        send messages about this object, the key also contains the sender.

        A group contains only one message with the same key. Another message with this key waits for a later group.
        """

    @property
    def names(self) -> Collection[str]:
        """Returns the names of the participants that must be loaded for the decision."""


Waiting = AnyWaiting[Command, Outcome]
Work = Callable[[list[Any], Scene], list[Outcome]]

_work: dict[type, Work] = {}


def register(work: Work, *commands: type) -> None:
    """Registers the function that processes commands of these types. Each call passes a list of commands. The function
    loads the rows, decides and saves, all in the caller's database transaction.
    """
    _work.update(dict.fromkeys(commands, work))


def run(batch: Sequence[Command], *, is_alone: bool = False, waits_again: bool = True) -> list[Outcome]:
    """Decides and commits these commands in one database transaction. Returns the outcomes in the order of the
    commands. If another transaction has changed the same rows meanwhile, the engine repeats its own transaction.

    If `waits_again` is false and a transaction waited too long for a lock, the engine does not repeat the transaction.
    """
    crowded = backlog_limit.crowded()  # runs before the transaction, because an error here would abort the transaction
    return group_commit.retried(
        lambda: _run_once(batch, crowded, is_alone),
        attempts=group_commit.ATTEMPTS,
        lost=lambda race: RETRIES.labels(race).inc(),
        waits_again=waits_again,
    )


def _run_once(batch: Sequence[Command], crowded: Collection[tuple[str, str]], is_alone: bool) -> list[Outcome]:
    with transaction.atomic(durable=True):
        parties = participants.active_named({name for command in batch for name in command.names})
        scene = Scene(datetime.now(UTC), settings.HUB_NAME, parties, crowded, is_alone)
        outcomes = _outcomes(batch, scene)
        messages = [message for outcome in outcomes if (message := message_of(outcome)) is not None]
        outbox.append(messages)
    outbox.poke({message.destination_id for message in messages})
    BATCH_SIZE.observe(len(batch))
    return outcomes


def _outcomes(batch: Sequence[Command], scene: Scene) -> list[Outcome]:
    found: dict[str, Outcome] = {}
    for work in dict.fromkeys(_work[type(command)] for command in batch):
        commands = [command for command in batch if _work[type(command)] is work]
        for command, outcome in zip(commands, work(commands, scene), strict=True):
            found[command.key] = outcome
    return [found[command.key] for command in batch]


def take(waiting: list[Waiting], *, most: int, most_octets: int) -> list[Waiting]:
    """Removes the next group of commands from the list and returns the group. The group contains a fair number of
    commands from each sender, and at most one command about each object."""
    share = fair_share(waiting, most=most, most_octets=most_octets, sender_of=_sender_of, octets_of=_octets_of)
    group: list[Waiting] = []
    keys: set[str] = set()
    for item in share:
        if item.command.key not in keys:
            keys.add(item.command.key)
            group.append(item)
    waiting[:] = without(waiting, group)
    return group


def _sender_of(command: Command) -> int:
    return command.sender_id


def _octets_of(command: Command) -> int:
    return len(command.message.body)


class Engine(group_commit.Engine[Command, Outcome]):
    """Runs the commands of the agreement phase in groups."""

    name = "agreements"

    def _run(self, batch: list[Command]) -> Sequence[Outcome]:
        return run(batch, waits_again=False)

    def _choose(self, waiting: list[Waiting]) -> list[Waiting]:
        return take(waiting, most=settings.LEDGER_BATCH, most_octets=settings.LEDGER_BATCH_BYTES)

    def _pace_s(self) -> float:
        return settings.AGREEMENT_PACE_MS / 1000

    def _subject_of(self, command: Command) -> str:
        return command.key


_engine = Engine()


def submit(command: Command) -> Outcome:
    """Decides the command, and returns its outcome after the database transaction has been committed. A large message
    gets a group of its own, because it can be as large as five usual groups. In a shared group, the large message would
    delay all other messages.
    """
    if len(command.message.body) <= settings.MAX_BODY_BYTES:
        return _engine.submit(command)
    return submit_alone(command)


def submit_alone(command: Command) -> Outcome:
    """Decides and commits only this command, in the thread that serves the request."""
    try:
        (outcome,) = run([command], is_alone=True)
    except group_commit.LostRace:
        raise FspiopError(
            ErrorCode.SERVICE_UNAVAILABLE, "another transaction uses this object; send the message again"
        ) from None
    return outcome
