"""The SQL statements on the tables of agreements. The hub runs these SQL statements for every payment.

Each statement takes any number of agreements of one kind.

All kinds of agreements share most columns. Each kind also has a few columns of its own.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import orjson

from fspiop.bodies.bulk_quotes import BulkQuotePost
from hub.group_commit import LostRace
from hub.postgresql import arrays
from hub.sql_execution import execute
from quotes.bulk_quote_terms import amount_of
from quotes.commands_and_facts import AskTerms, GiveTerms, Side, Standing, Stored
from quotes.models import Agreement, BulkQuote, FxQuote, Quote

KINDS: Mapping[str, type[Agreement]] = MappingProxyType({kind.resource: kind for kind in (Quote, BulkQuote, FxQuote)})
"""Maps names in paths, such as "quotes", to kinds of agreements."""

# The additional columns of each kind of agreement, with their types. A request sets the columns in `_ASKED`, and terms
# set the columns in `_GIVEN`.
_ASKED: Mapping[type[Agreement], Mapping[str, str]] = {
    Quote: {"transaction_id": "text"},
    BulkQuote: {},
    FxQuote: {"conversion_id": "text", "determining_transfer_id": "text"},
}
_GIVEN: Mapping[type[Agreement], Mapping[str, str]] = {
    Quote: {
        "condition": "text",
        "packet_sha256": "bytea",
        "transfer_amount": "bigint",
        "transfer_currency": "text",
        "terms_expire_at": "timestamptz",
    },
    BulkQuote: {"terms": "bytea[]", "rule_terms": "bytea"},
    FxQuote: {"condition": "text"},
}


def standing(kind: type[Agreement], ids: Collection[str]) -> dict[str, Standing]:
    """Returns the present state of each of these agreements, by the agreement's id. Locks no row."""
    rows = execute(_select(kind), [sorted(ids)])
    return {
        agreement_id: Standing(
            state, Side(payer_id, payer), Side(payee_id, payee), request_digest, response_digest, size, kept
        )
        for agreement_id, state, payer_id, payer, payee_id, payee, request_digest, response_digest, size, kept in rows
    }


def stored(kind: type[Agreement], ids: Collection[str]) -> dict[str, Stored]:
    """Returns these agreements. Each agreement comes with the message that the hub sends for a repeated request: the
    request itself, or the answer."""
    found = {}
    for row in execute(_select_messages(kind), [sorted(ids)]):
        agreement_id, state, payer_id, payer, payee_id, payee, expires_at, request, headers, response, its_headers = row
        found[agreement_id] = Stored(
            pk=agreement_id,
            resource=kind.resource,
            not_found=kind.not_found,
            state=state,
            payer=Side(payer_id, payer),
            payee=Side(payee_id, payee),
            expires_at=expires_at,
            request=request,
            request_headers=orjson.loads(headers),  # Django's connections return JSON as text
            response=response,
            response_headers=None if its_headers is None else orjson.loads(its_headers),
        )
    return found


def add(kind: type[Agreement], requests: Sequence[tuple[AskTerms, int]], kept: Mapping[str, bytes]) -> None:
    """Stores these requests for terms. Each request comes with the payee's id. Raises LostRace if the id of one of the
    requests was already used.

    `kept` maps the key of a request to the facts and the verdict of the scheme's rules, which the hub stores.
    """
    # The SQL statement inserts the rows in the order of ids. So two database transactions never end in a deadlock.
    ordered = sorted(requests, key=lambda each: each[0].agreement_id)
    columns: list[list[Any]] = [
        [command.agreement_id for command, _ in ordered],
        [command.sender_id for command, _ in ordered],
        [payee_id for _, payee_id in ordered],
        [command.message.body for command, _ in ordered],
        [orjson.dumps(command.message.headers).decode() for command, _ in ordered],
        [command.message.digest for command, _ in ordered],
        [command.expires_at for command, _ in ordered],
        [kept.get(command.key) for command, _ in ordered],
        *([command.columns[name] for command, _ in ordered] for name in _ASKED[kind]),
    ]
    if execute(_insert(kind), columns).rowcount != len(ordered):
        raise LostRace("another process stored one of these requests first")
    bulks = [command.details for command, _ in ordered if isinstance(command.details, BulkQuotePost)]
    if bulks:
        _add_items(bulks)


def _add_items(bulks: Sequence[BulkQuotePost]) -> None:
    """Stores the parties and the amount of each payment of these bulk quotes."""
    payments = [(bulk, place, payment) for bulk in bulks for place, payment in enumerate(bulk.individual_quotes)]
    columns: list[list[Any]] = [
        [bulk.bulk_quote_id for bulk, _, _ in payments],
        [place for _, place, _ in payments],
        [payment.quote_id for _, _, payment in payments],
        [payment.transaction_id for _, _, payment in payments],
        [bulk.payer.party_id_info.party_identifier for bulk, _, _ in payments],
        [payment.payee.party_id_info.party_identifier for _, _, payment in payments],
        [amount_of(payment.amount) for _, _, payment in payments],
        [payment.amount.currency for _, _, payment in payments],
    ]
    execute(_ADD_ITEMS, columns)


_ADD_ITEMS = """
    INSERT INTO quotes_bulkquoteitem (bulk_quote_id, place, quote_id, transaction_id, payer_alias, payee_alias, amount,
                                      currency, created_at)
    SELECT n.*, b.created_at
    FROM unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[])
         AS n (bulk_quote_id, place, quote_id, transaction_id, payer_alias, payee_alias, amount, currency)
    JOIN quotes_bulkquote b ON b.bulk_quote_id = n.bulk_quote_id
"""


def settle(kind: type[Agreement], answers: Sequence[tuple[GiveTerms, str]]) -> None:
    """Stores these answers to requests for terms. Each answer comes with the agreement's state, which the hub read
    earlier.

    Raises LostRace if the state of an agreement has changed since then. An agreement never returns to an earlier
    state. If the state of an agreement is the same as before, the agreement has not changed at all.
    """
    ordered = sorted(answers, key=lambda each: each[0].agreement_id)
    columns: list[list[Any]] = [
        [command.agreement_id for command, _ in ordered],
        [seen for _, seen in ordered],
        [command.state.value for command, _ in ordered],
        [command.message.body for command, _ in ordered],
        [orjson.dumps(command.message.headers).decode() for command, _ in ordered],
        [command.message.digest for command, _ in ordered],
        *([_element(command.columns.get(name)) for command, _ in ordered] for name in _GIVEN[kind]),
    ]
    if execute(_update(kind), columns).rowcount != len(ordered):
        raise LostRace("an agreement changed while an answer to it was decided")


def _element(value: Any) -> Any:
    """Returns a value as an element of a PostgreSQL array. A list becomes the text of an array literal, because
    PostgreSQL requires inner arrays of equal lengths."""
    return arrays.literal(value) if isinstance(value, list) else value


# --- the SQL: names of tables and columns come from the models -------------------------------------------------------


def table_and_key(kind: type[Agreement]) -> tuple[str, str]:
    key = kind._meta.pk
    assert key is not None
    assert key.column is not None
    return kind._meta.db_table, key.column


def _unnested(columns: Mapping[str, str]) -> str:
    types = ", ".join("%s::text[]" if each.endswith("[]") else f"%s::{each}[]" for each in columns.values())
    return f"unnest({types}) AS n ({', '.join(columns)})"


_ADDED = {
    "id": "text",
    "payer_id": "bigint",
    "payee_id": "bigint",
    "request": "bytea",
    "request_headers": "text",
    "request_digest": "bytea",
    "expires_at": "timestamptz",
    "rule_facts": "bytea",
}
_SETTLED = {
    "id": "text",
    "seen": "text",
    "state": "text",
    "response": "bytea",
    "response_headers": "text",
    "response_digest": "bytea",
}


@cache
def _insert(kind: type[Agreement]) -> str:
    table, key = table_and_key(kind)
    besides = _ASKED[kind]
    columns = [key, *list(_ADDED)[1:], *besides]
    new = ", ".join("n.request_headers::jsonb" if name == "request_headers" else f"n.{name}" for name in _ADDED)
    return f"""
        INSERT INTO {table} (state, {", ".join(columns)})
        SELECT 'PENDING', {", ".join([new, *(f"n.{name}" for name in besides)])}
        FROM {_unnested({**_ADDED, **besides})}
        ON CONFLICT ({key}) DO NOTHING
    """  # noqa: S608


_OF_BOTH = "a.state, a.payer_id, payer.name, a.payee_id, payee.name"
_BOTH = """
    JOIN participants_participant payer ON payer.id = a.payer_id
    JOIN participants_participant payee ON payee.id = a.payee_id
"""


@cache
def _select(kind: type[Agreement]) -> str:
    table, key = table_and_key(kind)
    return f"""
        SELECT a.{key}, {_OF_BOTH}, a.request_digest, a.response_digest,
               coalesce(octet_length(CASE WHEN a.state = 'PENDING' THEN a.request ELSE a.response END), 0),
               CASE WHEN a.state = 'PENDING' THEN a.rule_facts END
        FROM {table} a {_BOTH} WHERE a.{key} = ANY(%s::text[])
    """  # noqa: S608


@cache
def _select_messages(kind: type[Agreement]) -> str:
    table, key = table_and_key(kind)
    return f"""
        SELECT a.{key}, {_OF_BOTH}, a.expires_at, CASE WHEN a.state = 'PENDING' THEN a.request END, a.request_headers,
               a.response, a.response_headers
        FROM {table} a {_BOTH} WHERE a.{key} = ANY(%s::text[])
    """  # noqa: S608


# If a party refuses an agreement that already has terms, the columns of the terms stay unchanged. As in `ledger.store`,
# the earlier state in this comparison is a column and not a constant.
@cache
def _update(kind: type[Agreement]) -> str:
    table, key = table_and_key(kind)
    besides = _GIVEN[kind]
    values = {name: f"n.{name}::{each}" if each.endswith("[]") else f"n.{name}" for name, each in besides.items()}
    given = "".join(f", {name} = coalesce({value}, a.{name})" for name, value in values.items())
    return f"""
        UPDATE {table} a
        SET state = n.state, response = n.response, response_headers = n.response_headers::jsonb,
            response_digest = n.response_digest, answered_at = clock_timestamp(){given}
        FROM {_unnested({**_SETTLED, **besides})}
        WHERE a.{key} = n.id AND a.state = n.seen
    """  # noqa: S608
