"""The state of one running case. A scene sends messages, waits for messages, and collects the messages and faults of
the case."""

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import structlog

from fspiop.errors import ErrorCode
from hub.outbox.models import Delivery, Message
from hub.participants.models import Participant
from hub.test_currency import TEST_CURRENCY
from ledger.models import Transfer
from portal.certification.certifier_customer import Play
from portal.certification.faults import Fault, NotJudged, fault
from portal.certification.options import Options
from portal.certification.recorded_requests import Patience, Told, in_database
from portal.certification.shown_messages import Exchange, shown

if TYPE_CHECKING:
    from portal.certification.counterpart import Answer
    from portal.certification.run_for_one_dfsp import Run

log = structlog.get_logger("certification")

_ORDER_S = 90.0
_AGAIN_BY_HAND_S = 60.0
_LOOKS_EVERY_S = 0.2
_LONGEST_SHOWN = 300
_BAD_SIGNATURE = ErrorCode.INVALID_SIGNATURE.code


class CaseEnds(Exception):
    """Raised if the case has found a fault and does not continue."""


@dataclass
class Scene:
    """One running case."""

    run: "Run"
    name: str
    dfsp: Participant
    options: Options
    ids: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)  # of lookups
    faults: list[Fault] = field(default_factory=list)
    direct: list[Exchange] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)  # values that later cases need

    @property
    def certifier(self) -> str:
        return self.run.sender.name

    def new_id(self) -> str:
        made = str(uuid.uuid4())
        self.ids.add(made)
        return made

    # --- verdicts -----------------------------------------------------------------------------------------------------

    def add(self, code: str, /, **values: Any) -> None:
        """Notes a fault. The case continues."""
        self.faults.append(fault(code, **values))

    def fail(self, code: str, /, **values: Any) -> CaseEnds:
        """Notes a fault. The caller raises the returned exception."""
        self.add(code, **values)
        return CaseEnds()

    # --- messages of the certifier ------------------------------------------------------------------------------------

    def message(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, to: str = ""
    ) -> tuple[str, str, bytes, dict[str, str]]:
        """Returns a signed message of the certifier: its method, path, body and headers."""
        raw = json.dumps(body).encode() if body is not None else b""
        return method, path, raw, self.run.sender.headers(method, path, raw, to or self.dfsp.name)

    async def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[bytes, dict[str, str]]:
        """Sends a message through the hub. Returns the sent bytes and headers, so that the same message can be
        delivered again."""
        _, _, raw, headers = self.message(method, path, body)
        answer = await self.run.sender.send(method, path, raw, headers)
        if not answer.is_taken:
            raise NotJudged("hub_did_not_take", message=f"{method} {path}", answer=str(answer))
        return raw, headers

    async def deliver(self, method: str, path: str, raw: bytes, headers: dict[str, str]) -> "Answer":
        """Delivers a message directly to the DFSP's endpoint."""
        at = time.time()
        answer = await self.run.sender.deliver(self.dfsp, method, path, raw, headers)
        self.direct.append(
            Exchange(
                at=at,
                sender=self.certifier,
                recipient=self.dfsp.name,
                way="direct",
                method=method,
                path=path,
                status=answer.status,
                is_signed="fspiop-signature" in headers,
                body=shown(raw),
                answer=answer.text,
            )
        )
        return answer

    # --- messages of the DFSP -----------------------------------------------------------------------------------------

    async def answers(self, path: str, *, method: str = "PUT", count: int = 1, seconds: float = 0.0) -> list[Told]:
        """Returns the DFSP's callbacks with this path, or with this path and /error. Waits for `count` callbacks, but
        at most for `seconds`."""
        plain = unquote(path)  # the hub records decoded paths
        wanted = {plain, plain + "/error"}
        return await self.run.door.wait(
            self.dfsp.name,
            wanted,
            lambda told: told.method == method and self._is_by_dfsp(told),
            seconds=seconds or self.options.answer_s,
            count=count,
        )

    def _is_by_dfsp(self, told: Told) -> bool:
        """Returns whether the DFSP sent a message about this case. A message with a wrong FSPIOP-Source also counts."""
        if told.source == self.dfsp.name:
            return True
        return told.source != self.certifier and any(each in told.path for each in self.ids)

    async def answer(self, asked: str, path: str, *, seconds: float = 0.0) -> Told:
        """Returns the DFSP's first callback. If no callback comes, or if the hub refused the callback, ends the
        case."""
        found = await self.answers(path, seconds=seconds)
        if not found:
            raise self.fail("no_answer", asked=asked, seconds=int(seconds or self.options.answer_s))
        return self.checked(found[0])

    def checked(self, told: Told) -> Told:
        """If the hub accepted the message, returns the message. If the hub refused the message, ends the case."""
        if told.is_taken:
            return told
        code, text = told.refusal
        if code == _BAD_SIGNATURE:
            raise NotJudged("hidden_by_signature", message=told.shown)
        if told.claimed != self.dfsp.name:
            raise NotJudged("hidden_by_source", message=told.shown)
        raise self.fail("refused_by_hub", message=told.shown, code=code, text=text)

    def judge_refusal(self, message: str, answer: "Answer", *, code: str) -> None:
        """Checks that the DFSP's endpoint refused a message with 4xx and with this error code."""
        if not answer.is_refusal:
            self.add("not_refused", message=message, answer=str(answer), expected=code)
        elif answer.code != code:
            self.add("wrong_code", code=answer.code or "-", expected=code)

    # --- the hub ------------------------------------------------------------------------------------------------------

    async def transfer_state(self, transfer_id: str, *, seconds: float) -> str:
        """Waits until the transfer has ended, but at most for `seconds`. Returns the transfer's state at the hub."""
        end = time.monotonic() + seconds
        while True:
            state = await in_database(_state_of, transfer_id)
            if state in ("COMMITTED", "ABORTED") or time.monotonic() > end:
                return state or "unknown"
            await asyncio.sleep(_LOOKS_EVERY_S)

    async def is_delivered(self, method: str, path: str, *, seconds: float) -> bool:
        """Returns whether the DFSP accepted a message with this path from the hub. Waits for the acceptance, but at
        most for `seconds`."""
        end = time.monotonic() + seconds
        while not await in_database(_is_delivered, self.dfsp.pk, method, path):
            if time.monotonic() > end:
                return False
            await asyncio.sleep(_LOOKS_EVERY_S)
        return True

    # --- the DFSP's orders --------------------------------------------------------------------------------------------

    def play(self, alias: str, **behaviour: Any) -> Play:
        """Adds a customer of the certifier to the case: the payee of the DFSP's payment."""
        made = Play(self, alias, **behaviour)
        self.ids.add(alias)
        self.run.plays[alias] = made
        return made

    async def order(self, payee: str, amount: str, **more: Any) -> "Order":
        """Causes the DFSP to pay a customer of the certifier."""
        body = {
            "homeTransactionId": self.new_id(),
            "from": {"idType": self.options.payee_type, "idValue": self.options.payee},
            "to": {"idType": "MSISDN", "idValue": payee},
            "amount": amount,
            "amountType": "RECEIVE",
            "currency": TEST_CURRENCY,
            "note": f"certification: {self.name}",
        } | more
        made = Order(self, "/payments", body)
        await made.give()
        return made

    async def request(self, amount: str, payer: str) -> "Order":
        """Causes the DFSP to request a payment from a customer of the certifier."""
        body = {
            "homeRequestId": self.new_id(),
            "from": {"idType": "MSISDN", "idValue": payer},
            "to": {"idType": self.options.payee_type, "idValue": self.options.payee},
            "amount": amount,
            "currency": TEST_CURRENCY,
            "note": f"certification: {self.name}",
        }
        made = Order(self, "/requests", body)
        await made.give()
        return made

    @property
    def patience_s(self) -> float:
        """The time within which the DFSP must begin an ordered payment."""
        return self.options.answer_s if self.options.outbound else self.options.patience_s

    def wait(self, seconds: float) -> Patience:
        return Patience(self.run.door, seconds)

    async def call(self, url: str, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Calls an API of the DFSP. Returns the status and the JSON of the response."""
        return await self.run.sender.call(method, url.rstrip("/") + path, body, timeout_s=_ORDER_S)


@dataclass
class Order:
    """An order to the DFSP to make a payment. The order goes to the DFSP's outbound API, or to a person who reads the
    instruction."""

    scene: Scene
    path: str
    body: dict[str, Any]
    answer: "asyncio.Task[tuple[int, Any]] | None" = None

    async def give(self) -> None:
        if self.scene.options.outbound:
            self.answer = asyncio.create_task(self._call("POST", self.path, self.body))
        else:
            await self.scene.run.instruct(self.scene.name, self.path.strip("/"), self.body)

    async def outcome(self) -> str:
        """Returns the state that the DFSP shows for the payment now: the state in the DFSP's outbound API, or the state
        that a person reports."""
        if self.answer is None:
            return await self.scene.run.reported_outcome(self.scene.name, self.body)
        status, said = await self.answer
        patience = self.scene.wait(self.scene.options.answer_s)
        while 200 <= status < 300:
            status, said = await self._call("GET", f"{self.path}/{self.body['homeTransactionId']}")
            if not isinstance(said, dict) or said.get("isEnded") or patience.left() <= 0:
                break
            await asyncio.sleep(_LOOKS_EVERY_S)
        if not isinstance(said, dict) or "state" not in said:
            raise self.scene.fail("order_refused", answer=shown_answer(status, said))
        return str(said["state"])

    async def again(self) -> float:
        """Gives the same order a second time. Returns how long the caller must wait for a second transfer.

        If a person gives the order, the certifier cannot see when the person gives the order again. The reason is that
        a correct DFSP makes no second transfer.
        """
        if self.answer is None:
            seconds = min(_AGAIN_BY_HAND_S, self.scene.patience_s)
            await self.scene.run.instruct(self.scene.name, "again", self.body | {"seconds": int(seconds)})
            return seconds
        await self.answer
        await self._call("POST", self.path, self.body)
        return 0.0

    async def refusal(self) -> str:
        """Returns the outbound API's refusal of the order, or ""."""
        if self.answer is None or not self.answer.done():
            return ""
        status, said = self.answer.result()
        return "" if 200 <= status < 300 else shown_answer(status, said)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        return await self.scene.call(self.scene.options.outbound, method, path, body)


def shown_answer(status: int, said: Any) -> str:
    """Returns the answer of an API of the DFSP, for the text of a fault."""
    return f"HTTP {status}: {json.dumps(said)[:_LONGEST_SHOWN]}"


def _state_of(transfer_id: str) -> str | None:
    return Transfer.objects.filter(pk=transfer_id).values_list("state", flat=True).first()


def _is_delivered(dfsp_id: int, method: str, path: str) -> bool:
    return Delivery.objects.filter(
        destination_id=dfsp_id, subject=path.split("/")[2], method=method, path=path
    ).exists()


def error_deliveries(dfsp_id: int, ids: set[str]) -> tuple[int, list[tuple[str, str]]]:
    """Returns how many error callbacks the DFSP answered. Also returns the callbacks that the DFSP did not accept, with
    the DFSP's responses.

    A DFSP that does not know the id in a callback is allowed to answer with 4xx.
    """
    errors = {"destination_id": dfsp_id, "path__endswith": "/error"}
    answered = Delivery.objects.filter(subject__in=ids, **errors).count()
    waiting = Message.objects.filter(attempts__gt=0, **errors).exclude(last_error="").defer("body", "headers")
    mine = [message for message in waiting if any(part in message.path for part in ids)]
    not_taken = [message for message in mine if not message.last_error.startswith("HTTP 4")]
    found = [(f"{message.method} {message.path}", message.last_error) for message in not_taken]
    return answered + len(mine) - len(not_taken), found
