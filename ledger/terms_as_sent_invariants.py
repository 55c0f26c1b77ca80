# ruff: noqa: S608 (statements are put together from constants)
"""The invariants of stored messages: each decision used the values in the sender's message.

To check these invariants, the database compares the rows with the stored messages. A message is stored as it arrived,
in the FSPIOP API's format or in ISO 20022. If a text is unreadable, the SQL function `ledger_message` returns NULL.
"""

from hub.invariant_type import Invariant

_AGENT = "{{CdtTrfTxInf,{},FinInstnId,Othr,Id}}"


def _text(fspiop: str, iso: str) -> str:
    """Returns the SQL that reads a value from message `m` in either format."""
    return f"coalesce(m #>> '{{{fspiop}}}', m #>> '{iso}')"


def _amount(fspiop: str, iso: str) -> str:
    """Returns the SQL that reads an amount from message `m` in either format, in ten-thousandths.

    The result of the SQL is NULL if the message has no amount.
    """
    text = _text(fspiop, iso)
    return f"CASE WHEN length({text}) < 25 AND {text} ~ '^[0-9]+([.][0-9]+)?$' THEN {text}::numeric * 10000 END"


_TARGET = "{CdtTrfTxInf,IntrBkSttlmAmt,ActiveCurrencyAndAmount}"
_TARGET_CURRENCY = "{CdtTrfTxInf,IntrBkSttlmAmt,Ccy}"
_SOURCE = "{CdtTrfTxInf,UndrlygCstmrCdtTrf,InstdAmt,ActiveOrHistoricCurrencyAndAmount}"
_SOURCE_CURRENCY = "{CdtTrfTxInf,UndrlygCstmrCdtTrf,InstdAmt,Ccy}"
_ID = "{CdtTrfTxInf,PmtId,TxId}"


def _is_erased(body: str, at: str, kind: str) -> str:
    """Returns the SQL that is true if the hub has erased the message because the retention period of the message ended.
    The table `sweeps_erasure` records such erasures."""
    up_to = f"(SELECT up_to FROM sweeps_erasure WHERE kind = '{kind}')"
    return f"coalesce({body} = ''::bytea AND {at} < {up_to}, false)"


# An ISO 20022 message can have its condition only inside the ILP packet. In this case, the SQL returns NULL, and the
# check accepts NULL.
_CONDITION = _text("condition", "{CdtTrfTxInf,VrfctnOfTerms,Sh256Sgntr}")
_SAYS_CONDITION = f"({_CONDITION} = condition OR ({_CONDITION} IS NULL AND m ? 'CdtTrfTxInf'))"

INVARIANTS = [
    Invariant(
        "transfers_are_what_was_sent",
        "A transfer's amount, currency, parties and condition are equal to the values in the payer's stored message.",
        f"""SELECT transfer_id, amount, currency, payer, payee, m IS NULL AS is_unreadable,
                   {_text("amount,amount", _TARGET)} AS amount_sent
            FROM (SELECT t.transfer_id, t.amount, t.currency, t.payee_name AS payee, payer.name AS payer, t.condition,
                         ledger_message(e.body) AS m,
                         {_is_erased("e.body", "t.received_at", "transfers")} AS is_erased
                  FROM ledger_transfer t
                  JOIN participants_participant payer ON payer.id = t.payer_id
                  LEFT JOIN ledger_transferevent e ON e.transfer_id = t.transfer_id
                       AND e.state = CASE WHEN t.payer_account_id IS NULL THEN 'ABORTED' ELSE 'RESERVED' END
                  WHERE t.bulk_id IS NULL OFFSET 0) sent
            WHERE ({_text("transferId", _ID)} = transfer_id
                   AND {_amount("amount,amount", _TARGET)} = amount
                   AND {_text("amount,currency", _TARGET_CURRENCY)} = currency
                   AND {_text("payerFsp", _AGENT.format("DbtrAgt"))} = payer
                   AND {_text("payeeFsp", _AGENT.format("CdtrAgt"))} = payee
                   AND {_SAYS_CONDITION}) IS NOT TRUE AND NOT is_erased""",
    ),
    Invariant(
        "conversions_are_what_was_sent",
        "A conversion's amounts, currencies, parties, condition and transfer are equal to those in the stored message.",
        f"""SELECT commit_request_id, initiator, fxp_name, m IS NULL AS is_unreadable, source_amount, target_amount,
                   {_text("sourceAmount,amount", _SOURCE)} AS source_sent,
                   {_text("targetAmount,amount", _TARGET)} AS target_sent
            FROM (SELECT f.*, initiator.name AS initiator, ledger_message(e.body) AS m,
                         {_is_erased("e.body", "f.received_at", "conversions")} AS is_erased
                  FROM ledger_fxtransfer f
                  JOIN participants_participant initiator ON initiator.id = f.initiator_id
                  LEFT JOIN ledger_fxtransferevent e ON e.fx_transfer_id = f.commit_request_id
                       AND e.state = CASE WHEN f.debit_account_id IS NULL THEN 'ABORTED' ELSE 'RESERVED' END
                  OFFSET 0) sent
            WHERE ({_text("commitRequestId", _ID)} = commit_request_id
                   AND {_text("determiningTransferId", "{CdtTrfTxInf,PmtId,EndToEndId}")} = determining_transfer_id
                   AND {_amount("sourceAmount,amount", _SOURCE)} = source_amount
                   AND {_text("sourceAmount,currency", _SOURCE_CURRENCY)} = source_currency
                   AND {_amount("targetAmount,amount", _TARGET)} = target_amount
                   AND {_text("targetAmount,currency", _TARGET_CURRENCY)} = target_currency
                   AND {_text("initiatingFsp", _AGENT.format("Dbtr"))} = initiator
                   AND {_text("counterPartyFsp", _AGENT.format("Cdtr"))} = fxp_name
                   AND {_SAYS_CONDITION}) IS NOT TRUE AND NOT is_erased""",
    ),
    Invariant(
        "items_are_what_was_sent",
        "A bulk's parties, items, amounts, currencies and conditions equal those in the payer's stored message.",
        f"""WITH sent AS (SELECT b.bulk_transfer_id, b.ids_used_before, payer.name AS payer, b.payee_name AS payee,
                                 ledger_message(b.request) AS m
                          FROM ledger_bulktransfer b JOIN participants_participant payer ON payer.id = b.payer_id
                          WHERE NOT {_is_erased("b.request", "b.received_at", "bulks")}),
                 item AS (SELECT bulk_transfer_id AS bulk_id, ids_used_before, item ->> 'transferId' AS transfer_id,
                                 {_amount("transferAmount,amount", "{-}").replace("m #>>", "item #>>")} AS amount,
                                 item #>> '{{transferAmount,currency}}' AS currency, item ->> 'condition' AS condition
                          FROM sent
                          CROSS JOIN LATERAL jsonb_array_elements(
                              CASE jsonb_typeof(m -> 'individualTransfers') WHEN 'array'
                                   THEN m -> 'individualTransfers' ELSE '[]' END) AS each (item))
            SELECT bulk_transfer_id AS bulk_id, NULL AS transfer_id, NULL AS amount, NULL AS amount_sent FROM sent
            WHERE (m ->> 'bulkTransferId' = bulk_transfer_id AND m ->> 'payerFsp' = payer AND m ->> 'payeeFsp' = payee)
                  IS NOT TRUE
            UNION ALL
            SELECT coalesce(t.bulk_id, item.bulk_id), coalesce(t.transfer_id, item.transfer_id), t.amount, item.amount
            FROM (SELECT * FROM ledger_transfer WHERE bulk_id IN (SELECT bulk_transfer_id FROM sent)) t
            FULL JOIN item ON item.bulk_id = t.bulk_id AND item.transfer_id = t.transfer_id
            WHERE (t.amount, t.currency, t.condition)
                  IS DISTINCT FROM (item.amount, item.currency, item.condition)
              AND (t.transfer_id IS NOT NULL OR (item.transfer_id = ANY(item.ids_used_before)) IS NOT TRUE)""",
    ),
]
