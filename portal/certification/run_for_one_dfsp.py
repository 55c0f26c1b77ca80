"""Runs the cases for one DFSP, and stores each result as soon as it is known."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now
from django.utils import timezone

from hub.outbox.models import Delivery
from portal.certification import outcomes_by_hand
from portal.certification.case_type import Case
from portal.certification.cases import CASES
from portal.certification.certifier_customer import Play
from portal.certification.counterpart import Endpoint, Received, Sender
from portal.certification.faults import NotJudged, fault
from portal.certification.message_limits import MessageLimit
from portal.certification.models import Certification, CertificationCase
from portal.certification.options import Options, read
from portal.certification.recorded_requests import Door, Patience, Told, in_database, in_database_when_up
from portal.certification.running_case import CaseEnds, Scene
from portal.certification.shown_messages import Exchange, shown, storable

log = structlog.get_logger("certification")

Verdict = CertificationCase.Verdict
Tell = Callable[[str, str, dict[str, Any]], None]
"""Reports progress: the case's name, the verdict or "INSTRUCTION", and the values of the instruction."""

_AT_ONCE = 5
_MOST_S = 1800.0
_MOST_BY_HAND_S = 3500.0  # a little less than the time for which the hub records messages (see `certifying_process`)
_TELLS_EVERY_S = 1.0
_LOOKS_EVERY_S = 0.5
NOT_APPLICABLE = frozenset({"no_signatures", "answers_committed", "left_out", "only_by_hand"})
_BULKS = frozenset({"payer-bulk"})
_REQUESTED_BY_THE_DFSP = frozenset({"payee-request"})


class GivenUp(Exception):
    """Raised if another process has ended the run. Another process ends a run if the run's own process does not report
    in time."""


class TooManyMessages(Exception):
    """Raised if the DFSP has sent more messages than the certifier accepts in one run."""


class Run:
    """One run for one DFSP. Several runs can share the certifier's endpoint, sender and record of messages (`Door`)."""

    def __init__(
        self,
        certification: Certification,
        *,
        endpoint: Endpoint,
        sender: Sender,
        door: Door,
        tell: Tell = lambda *_: None,
    ) -> None:
        self.certification, self.sender, self.door, self._tell = certification, sender, door, tell
        self._endpoint, self._limit = endpoint, MessageLimit()
        self.dfsp = certification.participant
        self.options: Options = read(certification.options)
        self.plays: dict[str, Play] = {}
        self.conditions: dict[str, Play] = {}
        self.scenes: dict[str, Scene] = {}
        self.lookups: list[Received] = []
        self._ended = {case.name: asyncio.Event() for case in CASES}
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._by_hand = asyncio.Lock()
        self._messages = door.open(self.dfsp.name, self._limit)
        endpoint.on(self.dfsp.name, self.receive, self._limit)

    @property
    def ids(self) -> set[str]:
        """All ids that the messages of the run use."""
        return {each for scene in self.scenes.values() for each in scene.ids}

    def value(self, case: str, name: str) -> Any:
        """Returns a value that an earlier case has stored, or None."""
        scene = self.scenes.get(case)
        return None if scene is None else scene.values.get(name)

    # --- the DFSP's messages ------------------------------------------------------------------------------------------

    async def receive(self, received: Received) -> None:
        """Finds the certifier's customer to whom the DFSP's request refers, and lets this customer answer the
        request."""
        if received.method == "GET":
            self.lookups.append(received)
        play = self._play_for(received)
        if play is not None:
            await play.take(received)

    def _play_for(self, received: Received) -> Play | None:
        if received.source != self.dfsp.name or received.method not in ("GET", "POST"):
            return None
        if received.method == "GET":
            return self.plays.get(received.ids[1]) if len(received.ids) > 1 else None
        body = received.json
        if "individualQuotes" in body:
            body = body["individualQuotes"][0]
        elif "individualTransfers" in body:
            body = body["individualTransfers"][0]
        if "condition" in body:
            return self.conditions.get(body["condition"])
        party = body["payer"] if "transactionRequestId" in body and "quoteId" not in body else body["payee"]
        return self.plays.get(str(party.get("partyIdInfo", party).get("partyIdentifier")))

    def told_by_dfsp(self) -> list[Told]:
        """Returns the requests that the DFSP sent to the hub."""
        return [told for told in self._messages.all if told.source == self.dfsp.name]

    def told_about_ids(self) -> list[Told]:
        """Returns the DFSP's requests. Also returns a request in a name that belongs to no DFSP under test, if the
        request's path contains an id of this run."""
        ids = [each for each in self.ids if len(each) == 36]
        others = [told for told in self.door.others if any(each in told.path for each in ids)]
        return sorted(self.told_by_dfsp() + others, key=lambda told: told.id)

    def refused_by_hub(self, alias: str) -> list[Told]:
        """From the DFSP's requests about this customer of the certifier, returns the requests that the hub refused."""
        text = alias.encode()
        return [told for told in self.told_by_dfsp() if not told.is_taken and (alias in told.path or text in told.body)]

    # --- the run ------------------------------------------------------------------------------------------------------

    async def play_all(self) -> None:
        """Runs all cases. Raises GivenUp if another process has ended the run."""
        beat = asyncio.create_task(self._report_life())
        flood = asyncio.create_task(self._limit.is_exceeded.wait())
        try:
            work = [self._play(case) for case in CASES if case.side != "all"]
            async with asyncio.timeout(_MOST_S if self.options.outbound else _MOST_BY_HAND_S):
                await self._unless_ended(beat, flood, asyncio.gather(*work))
                await self._unless_ended(
                    beat, flood, asyncio.gather(*(self._play(c) for c in CASES if c.side == "all"))
                )
        except TooManyMessages:
            await in_database_when_up(self._end_open_cases)
        finally:
            self._endpoint.off(self.dfsp.name)
            for task in (beat, flood):
                task.cancel()
            await asyncio.gather(beat, flood, return_exceptions=True)

    async def _unless_ended(
        self, beat: "asyncio.Task[None]", flood: "asyncio.Task[bool]", work: "asyncio.Future[list[None]]"
    ) -> None:
        """Waits for the work. Cancels the work if the run cannot continue, and raises the reason."""
        watched: set[asyncio.Future[Any]] = {beat, flood, self.door.task, work}
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            if self.door.task.done():
                self.door.task.result()  # raises the error that ended the door
            raise TooManyMessages if flood.done() else GivenUp
        work.result()

    def _end_open_cases(self) -> None:
        found = [fault("too_many_messages").as_json()]
        cases = CertificationCase.objects.filter(certification=self.certification, ended_at=None)
        cases.update(verdict=Verdict.NOT_JUDGED, faults=found, instruction=None, ended_at=timezone.now())

    async def _report_life(self) -> None:
        """Reports once a second that the process still works. Stops after another process has ended the run."""
        is_alive = True
        while is_alive:
            is_alive, _ = await asyncio.gather(in_database(self._is_alive), asyncio.sleep(_TELLS_EVERY_S))

    def _is_alive(self) -> bool:
        running = Certification.objects.filter(pk=self.certification.pk, state=Certification.State.RUNNING)
        try:
            return bool(running.update(told_at=Now()))
        except (DatabaseError, InterfaceError):
            connection.close()
            return True  # the next update, a second later, tries again

    async def _play(self, case: Case) -> None:
        try:
            await asyncio.gather(*(self._ended[name].wait() for name in case.after))
            is_begun_by_dfsp = case.side == "payer" or case.name in _REQUESTED_BY_THE_DFSP
            if is_begun_by_dfsp and not self.options.outbound:
                async with self._by_hand:  # a person makes only one payment or request at a time
                    await self._play_now(case)
            else:
                async with self._places:
                    await self._play_now(case)
        finally:
            self._ended[case.name].set()

    async def _play_now(self, case: Case) -> None:
        scene = self.scenes[case.name] = Scene(self, case.name, self.dfsp, self.options)
        await self._save(case, verdict=Verdict.RUNNING, started_at=timezone.now())
        began, verdict = time.time(), Verdict.PASSED
        try:
            if case.name in self.options.left_out:
                raise NotJudged("left_out")
            if case.name in _BULKS and self.options.outbound and not self.options.sdk_outbound:
                raise NotJudged("only_by_hand")
            await case.script(scene)
        except CaseEnds:
            pass
        except NotJudged as reason:
            if not scene.faults:
                scene.faults = [reason.fault]
                verdict = Verdict.LEFT_OUT if reason.fault.code in NOT_APPLICABLE else Verdict.NOT_JUDGED
        except Exception as error:
            log.exception("case_failed", case=case.name, dfsp=self.dfsp.name)
            scene.faults = [fault("certifier_failed", why=f"{type(error).__name__}: {error}"[:200])]
            verdict = Verdict.NOT_JUDGED
        if scene.faults and verdict is Verdict.PASSED:
            verdict = Verdict.FAILED
        exchanges = await in_database_when_up(self._exchanges, scene, began)
        await self._save(
            case,
            verdict=verdict,
            faults=[each.as_json() for each in scene.faults],
            exchanges=[each.as_json() for each in exchanges],
            instruction=None,
            ended_at=timezone.now(),
        )
        self._tell(case.name, verdict.value, {})

    async def instruct(self, name: str, what: str, values: dict[str, Any]) -> None:
        """Shows a person at the DFSP which payment this person must make."""
        instruction = {"what": what, "values": values}
        await in_database_when_up(self._store, name, {"instruction": instruction})
        self._tell(name, "INSTRUCTION", instruction)

    async def reported_outcome(self, name: str, order: dict[str, Any]) -> str:
        """Asks a person at the DFSP which state the DFSP shows for a payment. Returns the state that this person
        reports."""
        await self.instruct(name, "outcome", order)
        patience = Patience(self.door, self.options.patience_s)
        while (reported := await in_database_when_up(outcomes_by_hand.reported, self.certification, name)) is None:
            if patience.left() <= 0:
                raise NotJudged("state_not_seen")
            await asyncio.sleep(_LOOKS_EVERY_S)
        return reported

    async def _save(self, case: Case, **values: Any) -> None:
        await in_database_when_up(self._store, case.name, values)

    def _store(self, name: str, values: dict[str, Any]) -> None:
        """Stores values in the row of a case that has not ended. The values, and the keys inside them, can contain
        texts of the DFSP."""
        cases = CertificationCase.objects.filter(certification=self.certification, name=name, ended_at=None)
        cases.update(**storable(values))

    # --- what the page shows ------------------------------------------------------------------------------------------

    def _exchanges(self, scene: Scene, began: float) -> list[Exchange]:
        texts = [each.encode() for each in scene.ids]
        told = [
            each
            for each in self._messages.all + self.door.others
            if each.at >= began - 1 and self._is_of(each, scene, texts)
        ]
        sent = {(each.method, each.path) for each in told}
        ids = [each for each in scene.ids if len(each) == 36]
        reports = Delivery.objects.filter(subject__in=ids, destination_id=self.dfsp.pk)
        found = [self._of_told(each) for each in told] + scene.direct
        found += [self._of_delivery(each) for each in reports if (each.method, each.path) not in sent]
        # The hub does not record a lookup without a recipient, but the certifier has received this lookup.
        lookups = [each for each in self.lookups if set(each.ids) & scene.ids]
        found += [self._of_received(each) for each in lookups if (each.method, each.path) not in sent]
        return sorted(found, key=lambda each: each.at)

    def _is_of(self, told: Told, scene: Scene, texts: list[bytes]) -> bool:
        """Returns whether a recorded request is about this case."""
        if told.path.removesuffix("/error") in scene.paths:
            return self.dfsp.name in (told.source, told.destination)
        return any(each in told.path for each in scene.ids) or any(text in told.body for text in texts)

    def _of_received(self, received: Received) -> Exchange:
        return Exchange(
            at=received.at,
            sender=received.source,
            recipient=self.sender.name,
            way="hub",
            method=received.method,
            path=received.path,
            status=202,
            is_signed="fspiop-signature" in received.headers,
            body=shown(received.body),
        )

    def _of_told(self, told: Told) -> Exchange:
        recipient = self.dfsp.name if told.source == self.sender.name else self.sender.name
        return Exchange(
            at=told.at,
            sender=told.source,
            recipient=recipient,
            way="hub",
            method=told.method,
            path=told.path,
            status=told.status,
            is_signed="fspiop-signature" in told.headers,
            body=shown(told.body),
            answer="" if told.is_taken else " ".join(told.refusal),
        )

    def _of_delivery(self, delivery: Delivery) -> Exchange:
        return Exchange(
            at=delivery.delivered_at.timestamp(),
            sender="",  # the hub
            recipient=self.dfsp.name,
            way="hub",
            method=delivery.method,
            path=delivery.path,
            status=delivery.status,
            is_signed=True,
            body="",
        )
