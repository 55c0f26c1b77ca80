"""The calls of the SDK's outbound API that move no money. These calls concern parties, quotes, accounts, FXPs and the
terms of conversions.

Each call sends one request to the hub, and returns the answer from the callback. The connector stores nothing, so the
front end can repeat a call without harm.
"""

from collections import defaultdict
from typing import Any, cast, get_args

import msgspec
from aiohttp import web

from fspiop import bodies, correlation_ids
from fspiop.bodies.common import CorrelationId, PartyIdInfo, PartyIdType
from fspiop.bodies.fx_quotes import FxConversion, FxQuotePost
from fspiop.bodies.participants import MAX_PARTIES, ParticipantsPost
from fspiop.errors import ErrorCode, FspiopError, error_body
from fspiop.paths import path_of
from kitovu_connector import party_identifiers
from kitovu_connector.aliases import Aliases, AliasRefused
from kitovu_connector.config import Config
from kitovu_connector.core_http import present
from kitovu_connector.exchanges import Exchanges, NoAnswer
from kitovu_connector.lookups import LookupFailed, Lookups
from kitovu_connector.payment_order import PartyRef, party_of
from kitovu_connector.reference_api.bodies import Account, SimpleQuote, Wanted
from kitovu_connector.reference_api.errors import ApiError, failed, last_error
from kitovu_connector.reference_api.shown_payments import COMPLETED, ERROR_OCCURRED

_TYPES = frozenset(get_args(PartyIdType))


class FxQuoteWanted(Wanted, kw_only=True):
    """POST /fxQuotes."""

    conversion_request_id: CorrelationId
    conversion_terms: FxConversion
    home_transaction_id: str | None = None


class Queries:
    """Sends the front end's requests to the hub, and returns the answers to the front end."""

    def __init__(self, config: Config, lookups: Lookups, aliases: Aliases, exchanges: Exchanges) -> None:
        self._config, self._lookups, self._aliases, self._exchanges = config, lookups, aliases, exchanges

    def add_to(self, app: web.Application) -> None:
        """Adds the routes of this class to an application."""
        for path in ("/{type}/{id}", "/{type}/{id}/{sub_id}"):
            app.router.add_get("/parties" + path, self._party)
            app.router.add_delete("/accounts" + path, self._delete_account)
        app.router.add_post("/accounts", self._create_accounts)
        app.router.add_post("/quotes", self._quote)
        app.router.add_get("/services/FXP", self._providers)
        app.router.add_get("/services/FXP/{source}/{target}", self._providers)
        app.router.add_post("/fxQuotes", self._fx_quote)

    # --- parties ------------------------------------------------------------------------------------------------------

    async def _party(self, request: web.Request) -> web.Response:
        alias = _alias_in(request)
        try:
            found = await self._lookups.find(alias)
        except LookupFailed as error:
            if error.code == ErrorCode.SERVER_TIMED_OUT.code:
                raise failed(error.code, error.text) from None
            return web.json_response(error_body(error.code, error.text), status=404)
        party = {"body": msgspec.to_builtins(party_of(found)), "headers": {"fspiop-source": found.fsp_id}}
        return web.json_response({"party": party, "currentState": COMPLETED})

    # --- accounts -----------------------------------------------------------------------------------------------------

    async def _create_accounts(self, request: web.Request) -> web.Response:
        """Registers the accounts. Sends one request for each currency."""
        try:
            accounts = bodies.read(list[Account], await request.read())
            for account in accounts:
                party_identifiers.check("", account.id_value, account.id_sub_value)
        except FspiopError as error:
            nothing = {"accounts": [], "currentState": ERROR_OCCURRED}
            raise ApiError(400, error.code, error.description, field="executionState", state=nothing) from None
        by_currency: dict[str | None, list[Account]] = defaultdict(list)
        for account in accounts:
            by_currency[account.currency].append(account)
        state: dict[str, Any] = {
            "modelId": correlation_ids.new_uuid(),
            "accounts": msgspec.to_builtins(accounts),
            "response": [],
        }
        for currency, wanted in by_currency.items():
            for start in range(0, len(wanted), MAX_PARTIES):
                await self._register(state, currency, wanted[start : start + MAX_PARTIES])
        return web.json_response(state | {"currentState": COMPLETED})

    async def _register(self, state: dict[str, Any], currency: str | None, accounts: list[Account]) -> None:
        body = ParticipantsPost(
            request_id=correlation_ids.new_uuid(),
            party_list=[
                PartyIdInfo(
                    party_id_type=account.id_type,
                    party_identifier=account.id_value,
                    party_sub_id_or_type=account.id_sub_value,
                    fsp_id=self._config.dfsp,
                )
                for account in accounts
            ],
            currency=currency,
        )
        key = ("participants", body.request_id)
        try:
            reply = await self._exchanges.ask(key, "POST", "/participants", bodies.write(body))
        except NoAnswer as error:
            told = {"currentState": ERROR_OCCURRED, "lastError": last_error(error.code, error.text)}
            raise failed(error.code, error.text, field="executionState", state=state | told) from None
        state["postAccountsResponse"] = {"body": msgspec.to_builtins(reply.body), "headers": reply.headers}
        for result in reply.body.party_list:
            party, fault = result.party_id, result.error_information
            state["response"].append(
                {
                    "idType": party.party_id_type,
                    "idValue": party.party_identifier,
                    **present(
                        idSubValue=party.party_sub_id_or_type,
                        error=fault and {"statusCode": str(fault.error_code), "message": fault.error_description},
                    ),
                }
            )

    async def _delete_account(self, request: web.Request) -> web.Response:
        alias = _alias_in(request)
        state: dict[str, Any] = {
            "idType": alias.id_type,
            "idValue": alias.id_value,
            **present(subIdOrType=alias.sub_id),
        }
        try:
            await self._aliases.withdraw(alias.alias)
        except FspiopError as error:
            code, text = error.code, error.description
            if isinstance(error, AliasRefused):
                code, text = error.hub_code, error.hub_text
            told = {"currentState": ERROR_OCCURRED, "lastError": last_error(code, text)}
            raise failed(code, text, field="executionState", state=state | told) from None
        answer = {"fspId": self._config.dfsp}
        state |= {"response": [answer], "currentState": COMPLETED, "deleteAccountResponse": {"body": answer}}
        return web.json_response(state)

    # --- quotes -------------------------------------------------------------------------------------------------------

    async def _quote(self, request: web.Request) -> web.Response:
        wanted = bodies.read(SimpleQuote, await request.read())
        quote = wanted.quotes_post_request
        key = ("quotes", quote.quote_id)
        reply = await self._exchanges.ask(key, "POST", "/quotes", bodies.write(quote), wanted.fsp_id)
        shown = {"body": msgspec.to_builtins(reply.body), "headers": reply.headers}
        return web.json_response({"quotes": shown, "currentState": COMPLETED})

    # --- conversions --------------------------------------------------------------------------------------------------

    async def _providers(self, request: web.Request) -> web.Response:
        pair = [request.match_info[name] for name in ("source", "target") if name in request.match_info]
        path = path_of("services", "FXP", *pair)
        reply = await self._exchanges.ask(("services", "/".join(pair) or "FXP"), "GET", path)
        return web.json_response(msgspec.to_builtins(reply.body))

    async def _fx_quote(self, request: web.Request) -> web.Response:
        wanted = bodies.read(FxQuoteWanted, await request.read())
        terms = wanted.conversion_terms
        if terms.initiating_fsp != self._config.dfsp:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"conversionTerms.initiatingFsp: must be {self._config.dfsp}")
        body = bodies.write(FxQuotePost(conversion_request_id=wanted.conversion_request_id, conversion_terms=terms))
        key = ("fxQuotes", wanted.conversion_request_id)
        reply = await self._exchanges.ask(key, "POST", "/fxQuotes", body, terms.counter_party_fsp)
        return web.json_response(
            present(homeTransactionId=wanted.home_transaction_id) | msgspec.to_builtins(reply.body)
        )


def _alias_in(request: web.Request) -> PartyRef:
    found = request.match_info
    id_type, id_value, sub_id = found["type"], found["id"], found.get("sub_id")
    if id_type not in _TYPES:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "Type: not a type of the API")
    party_identifiers.check("", id_value, sub_id)
    return PartyRef(id_type=cast(PartyIdType, id_type), id_value=id_value, sub_id=sub_id)
