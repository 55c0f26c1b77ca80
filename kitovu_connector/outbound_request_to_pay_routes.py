"""Makes requests to pay for the core: requests money from a payer at another DFSP, forwards a one-time password, and
shows the outcome.
"""

from aiohttp import web

from fspiop import bodies
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.amounts import format_amount
from kitovu_connector.core_messages import PasswordEntered, RequestShown, RequestWanted
from kitovu_connector.exchanges import NoAnswer
from kitovu_connector.outbound import amount_of, party_ref, shown
from kitovu_connector.payment_and_quote_records import Stage, Store
from kitovu_connector.payments_of_requests import RequestLinks
from kitovu_connector.request_to_pay_records import RequestMade, RequestOrder, RequestState
from kitovu_connector.requests_to_pay import RequestsToPay

_REJECTED = "REJECTED"


class OutboundRequests:
    """Gives the server for the core its routes for requests to pay."""

    def __init__(self, store: Store, requests: RequestsToPay) -> None:
        self._store, self._requests, self._links = store, requests, RequestLinks(store)

    def add_to(self, app: web.Application) -> None:
        """Adds the routes. The caller's application must turn a raised FspiopError or Conflict into a response."""
        app.router.add_post("/requests", self._make)
        app.router.add_get("/requests/{id}", self._show)
        app.router.add_post("/requests/{id}/otp", self._enter_password)
        app.router.add_post("/receivedRequests/{id}/reject", self._reject)

    async def _make(self, request: web.Request) -> web.Response:
        """Responds when the payer's DFSP has answered. If the payer pays after this response, GET shows the payment."""
        order = order_of(bodies.read(RequestWanted, await request.read()))
        try:
            made = await self._requests.make(order, needs_confirmation=False)
        except NoAnswer:  # the request to pay continues, and the core can send the same request again
            return await self._answer(await self._requests.made_by_core(order.home_id))
        return await self._answer(made)

    async def _show(self, request: web.Request) -> web.Response:
        return await self._answer(await self._requests.made_by_core(request.match_info["id"]))

    async def _enter_password(self, request: web.Request) -> web.Response:
        entered = bodies.read(PasswordEntered, await request.read())
        made = await self._requests.made_by_core(request.match_info["id"])
        if made is not None:
            made = await self._requests.enter_password(made.id, entered.otp)
        return await self._answer(made)

    async def _reject(self, request: web.Request) -> web.Response:
        """Reports to the payee's DFSP that a customer of this DFSP refuses a request to pay."""
        if not await self._requests.reject(request.match_info["id"]):
            raise _unknown()
        return web.Response(status=202)

    async def _answer(self, made: RequestMade | None) -> web.Response:
        if made is None:
            raise _unknown()
        found = await self._shown(made)
        return shown(found, status=200 if found.is_ended else 202)

    async def _shown(self, made: RequestMade) -> RequestShown:
        transfers = await self._links.transfers_of(made.id)
        arrived = [await self._store.incoming(transfer_id) for transfer_id in transfers]
        states = {found.stage for found in arrived if found is not None}
        is_paid = bool(states & {Stage.COMMITTING, Stage.COMMITTED})
        return RequestShown(
            home_request_id=made.order.home_id,
            transaction_request_id=made.id,
            state=made.state,
            is_ended=is_paid or made.state is RequestState.FAILED or made.answer == _REJECTED,
            answer=made.answer,
            is_otp_wanted=made.password_asker is not None and made.password is None,
            is_paid=is_paid,
            transfer_ids=list(transfers),
            payer_name=made.payer.name if made.payer else None,
            payer_fsp=made.payer.fsp_id if made.payer else None,
            amount=format_amount(made.order.amount),
            currency=made.order.currency,
            error_code=made.error_code,
            error_description=made.error_text,
        )


def order_of(wanted: RequestWanted) -> RequestOrder:
    """Returns the request in the form that the connector stores."""
    return RequestOrder(
        home_id=wanted.home_request_id,
        payer=party_ref(wanted.from_),
        payee=party_ref(wanted.to),
        amount=amount_of(wanted.amount),
        currency=wanted.currency,
        amount_type=wanted.amount_type,
        scenario=wanted.transaction_type,
        sub_scenario=wanted.sub_scenario,
        initiator_type=wanted.initiator_type,
        note=wanted.note,
        authentication_type="OTP" if wanted.otp else None,
    )


def _unknown() -> FspiopError:
    return FspiopError(ErrorCode.TRANSACTION_REQUEST_ID_NOT_FOUND, "no such request to pay", http_status=404)
