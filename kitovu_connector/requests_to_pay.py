"""Requests to pay (FSPIOP API v1.1, section 6.4). A payee's DFSP requests a payment from a payer at another DFSP.

A request to pay moves no money. The payer DFSP pays by a separate payment that contains the request's id. The connector
stores each request before it sends or acknowledges it. So the connector makes each request only once.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol, runtime_checkable

import msgspec
import structlog

from fspiop import bodies, correlation_ids, strictjson
from fspiop.bodies.authorizations import AuthenticationInfo, AuthorizationPut
from fspiop.bodies.transaction_requests import TransactionRequestPost, TransactionRequestPut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import asking_the_core, logs, party_identifiers
from kitovu_connector.answering_lookups import Parties
from kitovu_connector.asking_the_core import No
from kitovu_connector.backend import Backend
from kitovu_connector.background import Background, Rounds
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config
from kitovu_connector.customer_existence_checks import CustomerChecks
from kitovu_connector.exchanges import Exchanges, NoAnswer
from kitovu_connector.inbound_message import Message, Route
from kitovu_connector.keyed_locks import KeyedLocks
from kitovu_connector.lookups import LookupFailed, Lookups
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.record_store import Records
from kitovu_connector.request_to_pay_records import (
    RequestMade,
    RequestOrder,
    RequestReceived,
    RequestState,
    RequestTransfers,
)
from kitovu_connector.sender_shares import shares_of_answers

log = structlog.get_logger(__name__)

_NOT_OFFERED = No(ErrorCode.PAYER_FSP_UNSUPPORTED_TRANSACTION_TYPE.code, "the payer DFSP accepts no requests to pay")
_SEND_FOR_S = 3600.0
_TELL_AT_MOST_EVERY_S = 60.0
_DIGITS = 6  # of retriesLeft


@runtime_checkable
class RequestBackend(Protocol):
    """The interface for cores that receive requests to pay."""

    async def take_request(self, asked: TransactionRequestPost, payee_fsp: str) -> TransactionRequestPut:
        """Returns the state of a request whose payer is a customer of this DFSP, or raises Refused."""


@runtime_checkable
class PasswordBackend(Protocol):
    """The interface for cores that read one-time passwords. A payer enters such a password at the payee's device."""

    async def give_password(self, transaction_request_id: str) -> str:
        """Returns the one-time password that the payer entered at the payee's device, or raises Refused."""


@runtime_checkable
class RequestNotesBackend(Protocol):
    """The interface for cores that make requests to pay, and also receive changed answers to these requests."""

    async def request_told(self, transaction_request_id: str, home_id: str, state: str) -> None:
        """Receives the payer DFSP's changed answer to one of this DFSP's requests."""


class RequestsToPay:
    """All requests to pay that one DFSP makes as payee DFSP or receives as payer DFSP."""

    def __init__(
        self,
        config: Config,
        store: Store,
        hub: HubClient,
        backend: Backend,
        parties: Parties,
        lookups: Lookups,
        exchanges: Exchanges,
    ) -> None:
        self._config, self._hub, self._backend = config, hub, backend
        self._lookups, self._exchanges = lookups, exchanges
        self._made = Records(store.database, "request_to_pay_made", RequestMade)
        self._received = Records(store.database, "request_to_pay_received", RequestReceived)
        self._transfers = Records(store.database, "request_to_pay_transfers", RequestTransfers)
        self._background = Background()
        self._rounds = Rounds(self._background)
        self._checks = CustomerChecks(parties, self._background)
        self._refusals = shares_of_answers(config.connections)
        self._turns = KeyedLocks()
        self._callers = Counter[str]()  # by request: the calls of the core that wait for the first answer

    def routes(self) -> list[Route]:
        """Returns the routes for the messages that this class receives."""
        return [
            ("POST", "/transactionRequests", self._asked),
            ("PUT", "/transactionRequests/{id}", self._told),
            ("PUT", "/transactionRequests/{id}/error", self._failed),
            ("GET", "/authorizations/{id}", self._password_asked),
        ]

    async def resume(self) -> None:
        """Continues every unfinished request that no task processes yet.

        Runs after this instance has started or taken over records.
        """
        for made in await self._made.unfinished():
            if not made.is_told:
                self._begin_telling(made.id)
            elif made.created_at > time.time() - _SEND_FOR_S:
                self._background.start_once(f"continue {made.id}", partial(self._continue, made.id))
        for received in await self._received.unfinished():
            self._begin_answer(received)
        kept_s = self._config.request_retention_s
        self._background.start_once("delete old made requests", lambda: self._made.delete_old(kept_s))
        self._background.start_once("delete old received requests", lambda: self._received.delete_old(kept_s))
        # The connector stores the links twice as long as the requests. A request can change after its transfer has
        # arrived, and must still show this transfer.
        self._background.start_once("delete old links", lambda: self._transfers.delete_old(2 * kept_s))

    def changed(self, request_id: str) -> None:
        """Continues a request of this instance after another instance has changed the request."""
        self._begin_telling(request_id)

    def _begin_telling(self, request_id: str) -> None:
        self._rounds.begin(request_id, lambda _: self._tell_core(request_id))

    def _begin_answer(self, received: RequestReceived) -> None:
        self._background.start_once(received.id, lambda: self._answer(received))

    async def close(self) -> None:
        """Stops all tasks immediately. No step is lost, because every step is already stored."""
        await self._background.close()

    # --- as the payee's DFSP ------------------------------------------------------------------------------------------

    async def made(self, request_id: str) -> RequestMade | None:
        """Returns the request with this id, or None."""
        return await self._made.get(request_id)

    async def made_by_core(self, home_id: str) -> RequestMade | None:
        """Returns the request to which the core has given this id, or None."""
        return await self._made.of_alias(home_id)

    async def make(self, order: RequestOrder, *, needs_confirmation: bool) -> RequestMade:
        """Looks up the payer. Sends the request to the payer's DFSP, unless the core must accept the payer first.

        If the core repeats an order, no second request begins. Raises Conflict if the core has used the id for a
        different order.
        """
        party_identifiers.check("from.", order.payer.id_value, order.payer.sub_id)
        new = RequestMade(
            id=correlation_ids.new_uuid(),
            order=order,
            digest=strictjson.digest(msgspec.to_builtins(order)),
            created_at=time.time(),
            accepts_any_payer=not needs_confirmation,
        )
        request, _ = await self._made.add(new)
        with self._caller(request.id):
            return await self._go_on(request, needs_confirmation=needs_confirmation)

    async def _go_on(self, request: RequestMade, *, needs_confirmation: bool) -> RequestMade:
        async with self._turns.hold(request.id):
            request = await self._made.get(request.id) or request
            if request.state is RequestState.LOOKUP:
                request = await self._look_up(request)
            if request.state is RequestState.PAYER_FOUND and not needs_confirmation:
                request = await self._change(request, state=RequestState.ASKED)
            return await self._ask(request)

    async def _continue(self, request_id: str) -> None:
        """Continues a young request that an earlier run of the connector has left unfinished. No caller waits."""
        request = await self._made.own(request_id)
        if request is not None:
            with suppress(NoAnswer):  # a late answer still arrives, and the core can repeat its own request
                await self._go_on(request, needs_confirmation=not request.accepts_any_payer)

    @contextmanager
    def _caller(self, request_id: str) -> Iterator[None]:
        """Counts a call of the core that waits for the first answer to a request."""
        self._callers[request_id] += 1
        try:
            yield
        finally:
            self._callers[request_id] -= 1
            if not self._callers[request_id]:
                del self._callers[request_id]

    async def accept(self, request_id: str, *, is_accepted: bool) -> RequestMade | None:
        """Sends the request to the payer's DFSP if the core has accepted the payer, and ends the request if the core
        has refused the payer. Returns None if the request does not exist.
        """
        with self._caller(request_id):
            return await self._accept(request_id, is_accepted=is_accepted)

    async def _accept(self, request_id: str, *, is_accepted: bool) -> RequestMade | None:
        async with self._turns.hold(request_id):
            request = await self._made.get(request_id)
            if request is None or request.state is not RequestState.PAYER_FOUND:
                return None if request is None else await self._ask(request)
            if not is_accepted:
                code = ErrorCode.PAYEE_REJECTION.code
                return await self._change(
                    request, state=RequestState.FAILED, error_code=code, error_text="the payer was not accepted"
                )
            return await self._ask(await self._change(request, state=RequestState.ASKED))

    async def _look_up(self, request: RequestMade) -> RequestMade:
        try:
            payer = await self._lookups.find(request.order.payer)
        except LookupFailed as error:
            if error.code == ErrorCode.SERVER_TIMED_OUT.code:
                raise NoAnswer(error.code, error.text, is_late=True) from None
            return await self._fail(request, error.code, error.text)
        return await self._change(request, state=RequestState.PAYER_FOUND, payer=payer)

    async def _ask(self, request: RequestMade) -> RequestMade:
        """Sends the request and waits for the answer.

        Sends the request even if an earlier run of the connector has perhaps already sent it.
        """
        if request.state is not RequestState.ASKED:
            return request
        assert request.payer is not None
        key = ("transactionRequests", request.id)
        body = request.body(self._config.dfsp)
        try:
            await self._exchanges.ask(key, "POST", "/transactionRequests", body, request.payer.fsp_id)
        except NoAnswer as error:
            found = await self._made.get(request.id) or request
            if found.state is not RequestState.ASKED:
                return found  # the answer has arrived at the last moment, or at another instance
            if error.is_late:
                raise
            return await self._fail(found, error.code, error.text)
        return await self._made.get(request.id) or request

    async def _fail(self, request: RequestMade, code: str, text: str) -> RequestMade:
        return await self._change(request, state=RequestState.FAILED, error_code=code, error_text=text)

    async def _change(self, request: RequestMade, **changes: object) -> RequestMade:
        """Changes fields if the stored request still has the same state as `request`, and returns the stored request.
        All other fields, such as the payer DFSP's new request for a password, keep their stored values.
        """

        def change(now: RequestMade) -> RequestMade | None:
            return msgspec.structs.replace(now, **changes) if now.state is request.state else None

        return await self._made.update(request.id, change) or request

    async def _told(self, message: Message) -> int:
        body = message.read(TransactionRequestPut)
        request = await self._request_of(message)
        has_caller = request.id in self._callers

        def answered(now: RequestMade) -> RequestMade | None:
            answer = body.transaction_request_state
            if now.state not in (RequestState.ASKED, RequestState.ANSWERED) or now.answer == answer:
                return None
            return msgspec.structs.replace(
                now,
                state=RequestState.ANSWERED,
                answer=answer,
                answered_at=time.time(),
                transaction_id=body.transaction_id or now.transaction_id,
                # a core that still waits gets the first answer in the response to its own request
                is_told=now.state is RequestState.ASKED and has_caller,
            )

        changed = await self._made.update(request.id, answered)
        if changed is not None and not changed.is_told:
            self._begin_telling(request.id)
        message.met(self._exchanges.told(("transactionRequests", message.id), message.reply(body)))
        return 200

    async def _failed(self, message: Message) -> int:
        error = message.error
        request = await self._request_of(message)
        if request.state is RequestState.ASKED:
            await self._fail(request, str(error.error_code), error.error_description)
        message.met(self._exchanges.told(("transactionRequests", message.id), message.reply(error)))
        return 200

    async def _request_of(self, message: Message) -> RequestMade:
        request = await self._made.get(message.id)
        if request is None:
            raise FspiopError(ErrorCode.TRANSACTION_REQUEST_ID_NOT_FOUND)
        message.check_sender(request.payer.fsp_id if request.payer is not None else None)
        return request

    async def _tell_core(self, request_id: str) -> None:
        """Reports a new answer of the payer DFSP to the core. Repeats the report until the core accepts it, or until
        the time limit.
        """
        pause, began_at, backend = 0.5, time.time(), self._backend
        while True:
            try:
                request = await self._made.own(request_id)
                if request is None or request.is_told:
                    return
                if time.time() >= (request.answered_at or began_at) + self._config.webhook_give_up_s:
                    log.error("core_never_told", request=request_id)
                # if a call of the core waits here, the core gets the answer in the response
                elif isinstance(backend, RequestNotesBackend) and request.id not in self._callers:
                    told = partial(backend.request_told, request.id, request.order.home_id, request.answer or "")
                    await asking_the_core.timely(told, self._config.request_s)
                await self._made.update(request_id, partial(_told_of, request.answer))
            except Exception as error:
                log.warning("core_not_told", request=request_id, error=logs.trace_of(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _TELL_AT_MOST_EVERY_S)

    async def _password_asked(self, message: Message) -> int:
        """Handles GET /authorizations. Sends the payer's DFSP the one-time password that the payer entered at the
        payee's device.
        """
        request = await self._made.get(message.id)
        if request is None or request.payer is None or request.payer.fsp_id != message.source:
            raise FspiopError(ErrorCode.TRANSACTION_REQUEST_ID_NOT_FOUND)
        retries = message.query.get("retriesLeft", "")
        asked = int(retries) if retries.isascii() and retries.isdecimal() and len(retries) <= _DIGITS else 0

        def question(now: RequestMade) -> RequestMade:
            is_answered = now.password is not None and now.password_try in (0, asked)
            return msgspec.structs.replace(
                now,
                asked_try=asked,
                password_asker=message.source,
                password=now.password if is_answered else None,
                password_try=asked,
            )

        noted = await self._made.amend(request.id, question)
        is_answered = noted is not None and noted.password is not None
        if not is_answered and not isinstance(self._backend, PasswordBackend):
            return 202  # until `enter_password`
        self._background.start(self._send_password(message.id, message.source))
        return 202

    async def enter_password(self, request_id: str, password: str) -> RequestMade | None:
        """Stores the one-time password that the payer entered. If the payer's DFSP has already requested this password,
        sends it to the payer's DFSP.

        Returns None if this request does not exist.
        """
        request = await self._made.amend(
            request_id, lambda now: msgspec.structs.replace(now, password=password, password_try=now.asked_try)
        )
        if request is not None and request.password_asker is not None:
            self._background.start(self._send_password(request_id, request.password_asker))
        return request

    async def _send_password(self, request_id: str, asker: str) -> None:
        backend, request = self._backend, await self._made.get(request_id)
        found: str | No = _NOT_OFFERED
        if request is not None and request.password is not None:
            found = request.password
        elif isinstance(backend, PasswordBackend):
            found = await asking_the_core.ask(
                lambda: backend.give_password(request_id),
                seconds=self._config.request_s,
                otherwise=ErrorCode.PAYEE_REJECTION,
            )
        if not isinstance(found, str | No):
            found = asking_the_core.not_understood(TypeError("give_password: no text"))
        path = f"/authorizations/{request_id}"
        if isinstance(found, No):
            await self._send(path + "/error", asking_the_core.error_put(found), asker, self._config.request_s)
            return
        info = AuthenticationInfo(authentication="OTP", authentication_value=found)
        body = bodies.write(AuthorizationPut(response_type="ENTERED", authentication_info=info))
        await self._send(path, body, asker, self._config.request_s)

    # --- as the payer's DFSP ------------------------------------------------------------------------------------------

    async def _asked(self, message: Message) -> int:
        body = message.read(TransactionRequestPost)
        if body.payer.fsp_id not in (None, self._config.dfsp):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payer.fspId: names another DFSP")
        if body.payee.party_id_info.fsp_id not in (None, message.source):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payee.partyIdInfo.fspId: must be the FSPIOP-Source")
        if not party_identifiers.is_segment(body.payer.party_identifier):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payer: the identifier is not one of a party")
        digest = strictjson.digest([strictjson.loads(message.raw), message.source])
        new = RequestReceived(id=body.transaction_request_id, payee_fsp=message.source, body=message.raw, digest=digest)
        if await self._received.get(new.id) is not None:
            await self._store_received(new)
            return 202
        await self._checks.run(
            new.id,
            digest,
            [(body.payer.party_id_type, body.payer.party_identifier, body.payer.party_sub_id_or_type)],
            asker=message.source,
            keep=lambda: self._store_received(new),
            refuse=lambda no: self._refusals.start(self._background, new.payee_fsp, lambda: self._refuse(new, no)),
        )
        return 202

    async def _store_received(self, new: RequestReceived) -> None:
        received, is_new = await self._received.add_counted(
            new, sender=new.payee_fsp, octets=len(new.body), most=self._config.stored_terms_bytes
        )
        if is_new or not received.is_open:
            self._begin_answer(received)

    async def _refuse(self, new: RequestReceived, no: No) -> None:
        """Refuses a request to a customer that does not exist. Does not store such a request, because anybody can send
        many such requests.
        """
        path = f"/transactionRequests/{new.id}/error"
        await self._send(path, asking_the_core.error_put(no), new.payee_fsp, self._config.request_s)

    async def reject(self, request_id: str) -> bool:
        """Reports to the payee's DFSP that the payer will not pay. Returns False if this request does not exist."""
        received = await self._received.get(request_id)
        if received is not None:
            body = bodies.write(TransactionRequestPut(transaction_request_state="REJECTED"))
            path = f"/transactionRequests/{request_id}"
            self._background.start(self._send(path, body, received.payee_fsp, self._config.request_s))
        return received is not None

    async def _answer(self, received: RequestReceived) -> None:
        if not received.answer:
            received = await self._decided(received)
        path = f"/transactionRequests/{received.id}" + ("/error" if received.is_refusal else "")
        await self._send(path, received.answer, received.payee_fsp, _SEND_FOR_S)
        ended = msgspec.structs.replace(received, state=RequestState.ANSWERED)
        await self._received.save(received, ended)

    async def _decided(self, received: RequestReceived) -> RequestReceived:
        backend = self._backend
        asked = bodies.read(TransactionRequestPost, received.body)
        found: TransactionRequestPut | No = _NOT_OFFERED
        if isinstance(backend, RequestBackend):
            found = await asking_the_core.ask(
                lambda: backend.take_request(asked, received.payee_fsp),
                seconds=self._config.request_s,
                otherwise=ErrorCode.PAYER_REJECTED_TRANSACTION_REQUEST,
            )
        if not isinstance(found, TransactionRequestPut | No):
            found = asking_the_core.not_understood(TypeError("take_request: no TransactionRequestPut"))
        is_refusal = isinstance(found, No)
        body = asking_the_core.error_put(found) if isinstance(found, No) else bodies.write(found)
        decided = msgspec.structs.replace(received, answer=body, is_refusal=is_refusal)
        await self._received.save(received, decided)
        return decided

    async def _send(self, path: str, body: bytes, destination: str, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        await self._hub.send_until_taken(
            "PUT",
            path,
            body,
            destination=destination,
            caused_by=destination,
            still_wanted=lambda: time.monotonic() < give_up,
        )


def _told_of(answer: str | None, now: RequestMade) -> RequestMade | None:
    """Returns the request, marked as reported to the core. Returns None if the payer DFSP has meanwhile changed its
    answer.
    """
    return msgspec.structs.replace(now, is_told=True) if now.answer == answer else None
