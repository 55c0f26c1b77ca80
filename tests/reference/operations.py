"""Every operation of the SDK's two OpenAPI documents (version 2.1), and the tests that prove it.

Each operation has two tests: in the first it succeeds, in the second it fails. The fixture `world` fails a test that
stands here if the test did not see the operation end in this way on the live hub.
"""

from collections.abc import Iterable

from aiohttp import web

Proofs = tuple[str, str]
"""The test with the success, the test with the error. A test with parameters stands here with its parameter."""
Ended = tuple[str, str, int]
"""Method, path and status of a call that has ended."""

FRONT_END: dict[str, Proofs] = {
    "GET /": ("test_health", "test_health"),
    "POST /accounts": ("test_accounts_with_and_without_a_sub_id", "test_accounts_with_and_without_a_sub_id"),
    "DELETE /accounts/{Type}/{ID}": (
        "test_accounts_with_and_without_a_sub_id",
        "test_accounts_with_and_without_a_sub_id",
    ),
    "DELETE /accounts/{Type}/{ID}/{SubId}": (
        "test_accounts_with_and_without_a_sub_id",
        "test_accounts_with_and_without_a_sub_id",
    ),
    "POST /bulkQuotes": ("test_a_bulk_is_quoted_and_paid_item_by_item", "test_bulks_that_are_refused_say_why"),
    "GET /bulkQuotes/{bulkQuoteId}": (
        "test_a_bulk_is_quoted_and_paid_item_by_item",
        "test_bulks_that_are_refused_say_why",
    ),
    "POST /bulkTransactions": (
        "test_a_bulk_of_payments_is_paid_and_the_core_is_told",
        "test_bulks_of_payments_that_are_wrong",
    ),
    "PUT /bulkTransactions/{bulkTransactionId}": (
        "test_a_bulk_of_payments_stops_for_payees_and_terms_over_crashes",
        "test_bulks_of_payments_that_are_wrong",
    ),
    "POST /bulkTransfers": ("test_a_bulk_is_quoted_and_paid_item_by_item", "test_bulks_that_are_refused_say_why"),
    "GET /bulkTransfers/{bulkTransferId}": (
        "test_a_bulk_is_quoted_and_paid_item_by_item",
        "test_bulks_that_are_refused_say_why",
    ),
    "GET /parties/{Type}/{ID}": ("test_parties", "test_parties"),
    "GET /parties/{Type}/{ID}/{SubId}": (
        "test_accounts_with_and_without_a_sub_id",
        "test_a_sub_id_that_the_core_does_not_know",
    ),
    "POST /quotes": ("test_quote_and_transfer_are_sent_one_by_one", "test_a_quote_that_is_refused_says_why"),
    "POST /requestToPay": (
        "test_a_request_is_made_and_paid_once_its_terms_are_accepted",
        "test_a_request_that_is_refused_says_why",
    ),
    "PUT /requestToPay/{transactionRequestId}": (
        "test_the_payer_is_accepted_or_not",
        "test_requests_that_nobody_knows",
    ),
    "POST /requestToPayTransfer": (
        "test_a_request_is_made_and_paid_once_its_terms_are_accepted",
        "test_a_password_that_cannot_be_had_pays_nothing",
    ),
    "PUT /requestToPayTransfer/{transactionRequestId}": (
        "test_a_request_is_made_and_paid_once_its_terms_are_accepted",
        "test_requests_that_nobody_knows",
    ),
    "POST /simpleTransfers": (
        "test_quote_and_transfer_are_sent_one_by_one",
        "test_quote_and_transfer_are_sent_one_by_one",
    ),
    "POST /transfers": ("test_a_transfer_is_paid_in_one_call", "test_one_home_id_is_one_payment"),
    "PUT /transfers/{transferId}": (
        "test_payee_and_terms_are_accepted_over_a_crash_between_any_two_steps",
        "test_transfers_that_nobody_knows",
    ),
    "GET /transfers/{transferId}": ("test_a_transfer_is_paid_in_one_call", "test_transfers_that_nobody_knows"),
    "GET /services/FXP": ("test_providers", "test_providers_for_a_dfsp_that_the_hub_does_not_know"),
    "GET /services/FXP/{SourceCurrency}/{TargetCurrency}": ("test_providers", "test_providers"),
    "POST /fxQuotes": ("test_terms_and_conversion_are_sent_one_by_one", "test_terms_and_conversions_that_are_refused"),
    "POST /fxTransfers": (
        "test_terms_and_conversion_are_sent_one_by_one",
        "test_terms_and_conversions_that_are_refused",
    ),
}
"""What a front end calls at the connector: the document of the outbound API."""

ADDED: dict[str, Proofs] = {
    "GET /health": ("test_the_health_of_the_core_is_shown", "test_health"),
    "GET /simpleTransfers/{transferId}": (
        "test_quote_and_transfer_are_sent_one_by_one",
        "test_transfers_that_nobody_knows",
    ),
}
"""What a front end can call besides; it is in no document of the SDK."""

CORE: dict[str, Proofs] = {
    "GET /": ("test_the_health_of_the_core_is_shown", "test_the_health_of_the_core_is_shown"),
    "POST /bulkQuotes": ("test_a_bulk_is_quoted_and_paid_item_by_item", "test_bulks_that_are_refused_say_why"),
    "GET /bulkQuotes/{idValue}": (
        "test_terms_of_a_bulk_are_given_over_a_crash[True]",
        "test_terms_of_a_bulk_are_given_over_a_crash[False]",
    ),
    "PUT /bulkTransactions/{bulkTransactionId}": (
        "test_a_bulk_of_payments_is_paid_and_the_core_is_told",
        "test_every_other_notification_is_repeated_too",
    ),
    "PUT /requestToPay/{transactionRequestId}": (
        "test_terms_of_a_request_that_are_not_accepted_pay_nothing_and_the_payee_is_told",
        "test_every_other_notification_is_repeated_too",
    ),
    "POST /bulkTransfers": ("test_a_bulk_is_quoted_and_paid_item_by_item", "test_bulks_that_are_refused_say_why"),
    "GET /bulkTransfers/{idValue}": (
        "test_a_bulk_survives_a_crash_of_both_sides[True]",
        "test_a_bulk_survives_a_crash_of_both_sides[False]",
    ),
    "GET /otp/{transactionRequestId}": (
        "test_a_password_is_asked_for_at_the_device_and_accepted",
        "test_a_password_that_cannot_be_had_pays_nothing",
    ),
    "GET /participants/{idType}/{idValue}": (
        "test_a_dfsp_that_asks_whose_a_customer_is_is_answered_by_the_core[]",
        "test_a_dfsp_that_asks_whose_a_customer_is_is_answered_by_the_core[]",
    ),
    "GET /participants/{idType}/{idValue}/{idSubValue}": (
        "test_a_dfsp_that_asks_whose_a_customer_is_is_answered_by_the_core[/till-1]",
        "test_a_dfsp_that_asks_whose_a_customer_is_is_answered_by_the_core[/till-1]",
    ),
    "GET /parties/{idType}/{idValue}": ("test_parties", "test_parties"),
    "GET /parties/{idType}/{idValue}/{idSubValue}": (
        "test_accounts_with_and_without_a_sub_id",
        "test_a_sub_id_that_the_core_does_not_know",
    ),
    "POST /quoterequests": ("test_a_transfer_is_paid_in_one_call", "test_a_quote_that_is_refused_says_why"),
    "POST /transactionrequests": (
        "test_a_request_is_made_and_paid_once_its_terms_are_accepted",
        "test_a_request_that_is_refused_says_why",
    ),
    "POST /transfers": (
        "test_a_transfer_is_paid_in_one_call",
        "test_each_refusal_of_the_core_reaches_the_front_end[POST /transfers-500-2001-2001]",
    ),
    "GET /transfers/{transferId}": (
        "test_a_core_whose_answer_was_lost_is_asked_before_it_gets_the_transfer_again[True]",
        "test_a_core_whose_answer_was_lost_is_asked_before_it_gets_the_transfer_again[False]",
    ),
    "PUT /transfers/{transferId}": (
        "test_a_transfer_is_paid_in_one_call",
        "test_a_notification_that_the_core_does_not_take_is_repeated",
    ),
    "POST /fxQuotes": ("test_terms_and_conversion_are_sent_one_by_one", "test_terms_and_conversions_that_are_refused"),
    "POST /fxTransfers": (
        "test_terms_and_conversion_are_sent_one_by_one",
        "test_terms_and_conversions_that_are_refused",
    ),
    "PUT /fxTransfers/{commitRequestId}": (
        "test_a_conversion_that_is_not_accepted_or_refused_moves_nothing",
        "test_a_conversion_that_is_not_accepted_or_refused_moves_nothing",
    ),
    "PATCH /fxTransfers/{commitRequestId}": (
        "test_an_fxp_converts_what_the_payee_does_not_take",
        "test_every_other_notification_is_repeated_too",
    ),
}
"""What the connector calls at a core: the document of the backend API."""


def unseen(test: str, calls: Iterable[Ended], asked: Iterable[Ended]) -> set[tuple[str, str, bool]]:
    """What this test should prove by the tables and has not: the API, the operation, and whether it succeeded."""
    proofs = {"front end": (FRONT_END | ADDED, list(calls)), "core": (CORE, list(asked))}
    return {
        (api, operation, succeeds)
        for api, (operations, ended) in proofs.items()
        for operation, tests in operations.items()
        for succeeds, name in zip((True, False), tests, strict=True)
        if name == test and not any(_is(operation, succeeds, call) for call in ended)
    }


def routes(app: web.Application) -> set[str]:
    """The operations that an application serves."""
    found = {(route.method, route.resource) for route in app.router.routes() if route.method != "HEAD"}
    return {form(f"{method} {resource.canonical}") for method, resource in found if resource is not None}


def form(operation: str) -> str:
    """An operation without the names of its path's parameters."""
    return "/".join("{}" if part.startswith("{") else part for part in operation.split("/"))


def _is(operation: str, succeeds: bool, call: Ended) -> bool:
    method, path, status = call
    wanted, found = operation.split("/"), f"{method} {path}".split("/")
    matches = len(wanted) == len(found) and all(
        part.startswith("{") or part == other for part, other in zip(wanted, found, strict=True)
    )
    return matches and (status < 400) is succeeds
