"""The models of quotes and requests to pay. The models store the payer's requests and the payee's answers byte for
byte."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from fspiop.errors import ErrorCode
from hub.participants.models import Participant

REFUSED_BY_RULES = Q(state="REJECTED", response_digest=F("request_digest"))
"""The requests for terms that the hub refused by the scheme's rules. Only the hub's refusal has the digest of the
request. The payee DFSP never received these requests, so neither its programs nor its people may see them."""


class Agreement(models.Model):
    """An agreement: a request for terms and its answer, stored byte for byte.

    The stored request and the stored answer are evidence. If the requester repeats a request for terms, the hub sends
    the stored answer.
    """

    class State(models.TextChoices):
        PENDING = "PENDING"
        ACCEPTED = "ACCEPTED"  # the payee answered with terms
        REJECTED = "REJECTED"  # the payer or the payee refused
        EXPIRED = "EXPIRED"  # no answer came in time

    resource: ClassVar[str]  # the first part of the path, such as quotes
    not_found: ClassVar[ErrorCode]  # the error for a sender that is not a party to the agreement

    payer = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    payee = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    request = models.BinaryField()
    request_headers = models.JSONField()
    request_digest = models.BinaryField(max_length=32)
    response = models.BinaryField(null=True)
    response_headers = models.JSONField(null=True)
    response_digest = models.BinaryField(max_length=32, null=True)
    expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    answered_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def is_refused_by_rules(self) -> bool:
        """Whether this is one of `REFUSED_BY_RULES`."""
        if self.state != Agreement.State.REJECTED or self.response_digest is None:
            return False
        return bytes(self.response_digest) == bytes(self.request_digest)


class JudgedAgreement(Agreement):
    """The base class of agreements whose requests for terms are judged by the scheme's rules."""

    # The facts and the rules' verdict about the request. The hub reads this column again when the transfer arrives
    # (`rules.kept_verdicts`). NULL without rules.
    rule_facts = models.BinaryField(null=True)

    class Meta:
        abstract = True


def _guards(what: str) -> list[models.BaseConstraint]:
    return [
        models.CheckConstraint(
            condition=Q(state__in=["PENDING", "EXPIRED"], response__isnull=True)
            | Q(response__isnull=False, answered_at__isnull=False),
            name=f"a_{what}_that_was_answered_has_its_answer",
        ),
        models.CheckConstraint(condition=~Q(payer=F("payee")), name=f"a_{what}_is_between_two_participants"),
    ]


def alias_of(side: str) -> models.Func:
    """Returns the identifier of a quote's "payer" or "payee" from a plain message or an ISO 20022 message. A migration
    defines the SQL function."""
    return models.Func(
        models.F("request"), models.Value(side), function="quotes_alias", output_field=models.CharField()
    )


def alias_of_request(side: str) -> models.Func:
    """Returns the identifier of the "payer" or "payee" of a request to pay. A migration defines the SQL function."""
    return models.Func(
        models.F("request"), models.Value(side), function="quotes_request_alias", output_field=models.CharField()
    )


def requested_amount() -> models.Func:
    """Returns the requested amount of a quote or a request to pay, in ten-thousandths. A migration defines the SQL
    function."""
    return models.Func(models.F("request"), function="quotes_amount", output_field=models.BigIntegerField())


def requested_currency() -> models.Func:
    """Returns the currency of the requested amount."""
    return models.Func(models.F("request"), function="quotes_currency", output_field=models.CharField())


def _sweep(what: str) -> models.Index:
    """Returns an index for a periodic task. The task finds the unanswered requests of one payer after another. The
    index is small, because only a few requests are unanswered at a time."""
    fields = ["payer", "expires_at", "created_at"]
    return models.Index(fields=fields, condition=Q(state="PENDING"), name=f"{what}_pending_by_payer")


_FAILED = Q(state__in=["REJECTED", "EXPIRED"])
_HAS_TERMS = Q(packet_sha256__isnull=False)


class Quote(JudgedAgreement):
    resource = "quotes"
    not_found = ErrorCode.QUOTE_ID_NOT_FOUND

    quote_id = models.CharField(max_length=36, primary_key=True)
    transaction_id = models.CharField(max_length=36)
    # The hub fills the next columns when the payee sends terms. The hub compares a transfer with these columns.
    condition = models.CharField(max_length=48, null=True)
    packet_sha256 = models.BinaryField(max_length=32, null=True)
    transfer_amount = models.BigIntegerField(null=True)
    transfer_currency = models.CharField(max_length=3, null=True)
    terms_expire_at = models.DateTimeField(null=True)  # the time at which the terms expire

    class Meta:
        ordering = ["created_at"]
        indexes = [
            # with this index, the hub finds old messages to erase
            models.Index(fields=["created_at"], name="quote_by_arrival"),
            models.Index(fields=["transaction_id"], name="quote_by_transaction"),
            _sweep("quote"),
            # the hub finds the terms of a transfer with these indexes: by condition and packet, or by the packet alone
            models.Index(fields=["payer", "condition", "packet_sha256"], condition=_HAS_TERMS, name="quote_by_terms"),
            models.Index(fields=["payer", "packet_sha256"], condition=_HAS_TERMS, name="quote_by_packet"),
            # these indexes are for the portal's search for a customer's payments
            models.Index(alias_of("payer"), F("created_at").desc(), name="quote_of_payers_alias"),
            models.Index(alias_of("payee"), F("created_at").desc(), name="quote_of_payees_alias"),
            # these indexes are for the portal's search for payments that failed at the quote or stopped after the quote
            models.Index(fields=["created_at"], condition=_FAILED, name="quote_failed_by_arrival"),
            models.Index(fields=["payer", "created_at"], condition=_FAILED, name="quote_failed_by_payer"),
            models.Index(fields=["payee", "created_at"], condition=_FAILED, name="quote_failed_by_payee"),
            models.Index(requested_amount(), F("created_at").desc(), condition=_FAILED, name="quote_failed_by_amount"),
            models.Index(
                fields=["transfer_amount", "created_at"],
                condition=Q(transfer_amount__isnull=False),
                name="quote_by_amount",
            ),
        ]
        constraints = _guards("quote")


class BulkQuote(JudgedAgreement):
    """A bulk quote: a request for the terms of many payments from one payer to customers of one payee DFSP. The parties
    and the amount of each payment are in `BulkQuoteItem`."""

    resource = "bulkQuotes"
    not_found = ErrorCode.BULK_QUOTE_ID_NOT_FOUND

    bulk_quote_id = models.CharField(max_length=36, primary_key=True)
    # The payee's terms for each payment, as digests from `quotes.terms_digest`. The hub compares the items of a bulk
    # transfer with these digests.
    terms = ArrayField(models.BinaryField(max_length=32), null=True)
    # For each digest, the payment and the amount. The scheme's rules need these values (`quotes.bulk_quote_terms`).
    rule_terms = models.BinaryField(null=True)

    class Meta:
        ordering = ["created_at"]
        indexes = [models.Index(fields=["created_at"], name="bulk_quote_by_arrival"), _sweep("bulk_quote")]
        constraints = _guards("bulk_quote")


class BulkQuoteItem(models.Model):
    """One payment of a bulk quote. With these rows, people find the payment by the identifier of its payer or payee.

    The hub deletes these rows when it erases the messages of bulk quotes.
    """

    bulk_quote = models.ForeignKey(BulkQuote, on_delete=models.CASCADE, related_name="items", db_index=False)
    place = models.PositiveSmallIntegerField()  # the place in the message's list, from 0
    quote_id = models.CharField(max_length=36)
    transaction_id = models.CharField(max_length=36)
    payer_alias = models.CharField(max_length=128)
    payee_alias = models.CharField(max_length=128)
    amount = models.BigIntegerField(null=True)  # NULL if the amount is too large for the hub
    currency = models.CharField(max_length=3)
    created_at = models.DateTimeField()  # the time of the bulk quote's arrival

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["bulk_quote", "place"], name="one_payment_at_each_place_of_a_bulk_quote")
        ]
        indexes = [
            # with this index, the hub finds old rows to delete
            models.Index(fields=["created_at"], name="bulk_item_by_arrival"),
            # these indexes are for the portal's search for a customer's payments, or for a payment by its ids
            models.Index(F("payer_alias"), F("created_at").desc(), name="bulk_item_of_payers_alias"),
            models.Index(F("payee_alias"), F("created_at").desc(), name="bulk_item_of_payees_alias"),
            models.Index(fields=["transaction_id"], name="bulk_item_by_transaction"),
            models.Index(fields=["quote_id"], name="bulk_item_by_quote"),
        ]

    def __str__(self) -> str:
        return f"payment {self.place} of {self.bulk_quote_id}"


class FxQuote(JudgedAgreement):
    """An FX quote: a request for the terms of a conversion. In this table, the columns `payer` and `payee` contain the
    initiating DFSP and the FXP."""

    resource = "fxQuotes"
    not_found = ErrorCode.QUOTE_ID_NOT_FOUND

    conversion_request_id = models.CharField(max_length=36, primary_key=True)
    conversion_id = models.CharField(max_length=36)
    determining_transfer_id = models.CharField(max_length=36, null=True)
    condition = models.CharField(max_length=48, null=True)

    class Meta:
        ordering = ["created_at"]
        indexes = [
            models.Index(fields=["conversion_id"], name="fx_quote_by_conversion"),
            # these indexes find the conversion terms of a payment, and the latest rows for the portal's lists
            models.Index(fields=["determining_transfer_id"], name="fx_quote_by_determining"),
            models.Index(fields=["created_at"], name="fx_quote_by_arrival"),
            _sweep("fx_quote"),
        ]
        constraints = _guards("fx_quote")


class TransactionRequest(Agreement):
    """A request to pay, from a payee DFSP to a payer DFSP. The row also contains the payer DFSP's latest answer to the
    request to pay."""

    class State(models.TextChoices):
        SENT = "SENT"  # there is no answer yet
        RECEIVED = "RECEIVED"
        PENDING = "PENDING"
        ACCEPTED = "ACCEPTED"
        REJECTED = "REJECTED"
        FAILED = "FAILED"  # the payer DFSP refused, or did not answer in time

    resource = "transactionRequests"
    not_found = ErrorCode.TRANSACTION_REQUEST_ID_NOT_FOUND

    transaction_request_id = models.CharField(max_length=36, primary_key=True)
    state = models.CharField(max_length=8, choices=State, default=State.SENT)

    class Meta:
        ordering = ["created_at"]
        indexes = [
            # with this index, the hub finds old messages to erase
            models.Index(fields=["created_at"], name="request_to_pay_by_arrival"),
            # these indexes are for the portal's search for a customer's requests to pay
            models.Index(alias_of_request("payer"), F("created_at").desc(), name="request_of_payers_alias"),
            models.Index(alias_of_request("payee"), F("created_at").desc(), name="request_of_payees_alias"),
            models.Index(requested_amount(), F("created_at").desc(), name="request_by_amount"),
            models.Index(fields=["payer", "created_at"], name="request_by_payer"),
            models.Index(fields=["payee", "created_at"], name="request_by_payee"),
            # this index is for the sweep, which ends the unanswered requests of one payee after another
            models.Index(fields=["payee", "expires_at"], condition=Q(state="SENT"), name="request_sent_by_payee"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="SENT", response__isnull=True, answered_at__isnull=True)
                | Q(state="FAILED", response__isnull=True, answered_at__isnull=False)
                | Q(response__isnull=False, answered_at__isnull=False),
                name="a_request_that_was_answered_has_its_answer",
            ),
            models.CheckConstraint(condition=~Q(payer=F("payee")), name="a_request_is_between_two_participants"),
        ]

    @classmethod
    def order_of(cls, transaction_request_id: str) -> str:
        """Returns the subject of the messages about a request to pay.

        Messages about a request to pay never wait for messages about a transfer with the same id.
        """
        return f"{cls.resource}/{transaction_request_id}"


class Question(models.Model):
    """A GET that one DFSP sent to another DFSP through the hub. The GET waits until its answer arrives or is overdue.
    After that, the hub keeps the GET for some time, because the answer can be late or repeated.
    """

    resource = models.CharField(max_length=24)  # the name of the resource in paths
    subject = models.CharField(max_length=36)  # the id in the path
    asker = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    asked = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    version = models.CharField(max_length=8)  # the version of the answer
    asked_at = models.DateTimeField(db_default=Now())
    answer_by = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)  # answered, or reported as unanswered
    answers = models.PositiveSmallIntegerField(db_default=0)  # the number of answers that were forwarded

    class Meta:
        ordering = ["id"]
        constraints = [
            # with this constraint's index, the hub finds the question to which an answer belongs
            models.UniqueConstraint(
                fields=["subject", "resource", "asked", "asker"], name="one_question_waits_for_an_answer"
            )
        ]
        indexes = [
            # this index is for the sweep, which ends the unanswered questions of one requester after another
            models.Index(fields=["asker", "answer_by"], condition=Q(ended_at__isnull=True), name="question_waiting"),
            # this index is for the removal of old questions
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="question_ended"),
        ]

    def __str__(self) -> str:
        return f"GET /{self.resource} of {self.asker_id} to {self.asked_id}"
