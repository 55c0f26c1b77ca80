"""The participants of the scheme, their callback endpoints and their credentials."""

import pgtrigger
from django.db import models
from django.db.models.functions import Lower

from hub.test_currency import REFUSED_BY_DATABASE, TEST_CURRENCY

NO_TEST_MONEY = f"""
    IF EXISTS (SELECT 1 FROM participants_participant WHERE is_certifier) THEN
        RAISE EXCEPTION '{REFUSED_BY_DATABASE}'
        USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
"""  # noqa: S608 (the only value is a constant)
"""The body of triggers that refuse the test currency as soon as the hub has a certifier."""


class Participant(models.Model):
    """A participant: a DFSP or the hub itself. Two names must differ in more than upper and lower case, so that nobody
    confuses two participants."""

    name = models.CharField(max_length=30, unique=True)
    is_active = models.BooleanField(default=True)
    # Without `may_send`, the participant cannot begin payments. Without `may_receive`, it cannot be the payee of new
    # payments. Payments that are already reserved still commit or abort.
    may_send = models.BooleanField(default=True, db_default=True)
    may_receive = models.BooleanField(default=True, db_default=True)
    is_hub = models.BooleanField(default=False)
    is_proxy = models.BooleanField(default=False)
    # The certifier tests DFSPs with test money. As soon as a hub has a certifier, the test currency is never converted.
    is_certifier = models.BooleanField(default=False, db_default=False)
    # Counts the changes of the participant's endpoints. Caches compare this number to detect a change.
    endpoints_version = models.PositiveIntegerField(default=0)
    # Whether the hub also accepts the participant's signatures over re-serialised JSON. The reference hub's Node
    # libraries make such signatures.
    jws_compat = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # Off-boarding: the time after which no new payment with the participant can begin, and the time when the
    # participant was closed permanently.
    leaving_since = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    # The values of `may_send` and `may_receive` before the off-boarding began. If the off-boarding is cancelled, the
    # hub restores these values.
    could_send = models.BooleanField(null=True, blank=True)
    could_receive = models.BooleanField(null=True, blank=True)
    # The time when the onboarding of a new participant began. When the participant goes live, the hub deletes this
    # time.
    onboarding_since = models.DateTimeField(null=True, blank=True)
    # The certifier that tests this participant during the certification, before this participant goes live. During the
    # certification, this participant can exchange payments only with the certifier, and only in the test currency
    # (`hub.test_currency.is_test_payment`).
    tested_by = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )

    class Meta:
        ordering = ["id"]
        triggers = [
            pgtrigger.Protect(
                name="a_closed_participant_stays_closed",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "OLD.closed_at IS NOT NULL AND (NEW.closed_at, NEW.is_active, NEW.may_send, NEW.may_receive)"
                    " IS DISTINCT FROM (OLD.closed_at, OLD.is_active, OLD.may_send, OLD.may_receive)"
                ),
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(leaving_since__isnull=True) | models.Q(may_send=False, may_receive=False),
                name="who_leaves_begins_no_payment",
            ),
            models.CheckConstraint(
                condition=models.Q(closed_at__isnull=True) | models.Q(is_active=False, leaving_since__isnull=False),
                name="who_is_closed_has_left",
            ),
            models.CheckConstraint(
                condition=models.Q(onboarding_since__isnull=True) | models.Q(may_send=False, may_receive=False),
                name="who_is_not_live_begins_no_payment",
            ),
            models.CheckConstraint(
                condition=models.Q(tested_by__isnull=True)
                | models.Q(onboarding_since__isnull=False, leaving_since__isnull=True),
                name="only_a_participant_before_its_go_live_has_a_tester",
            ),
            models.UniqueConstraint(Lower("name"), name="participant_names_differ_in_more_than_case"),
            models.UniqueConstraint(
                fields=["is_hub"], condition=models.Q(is_hub=True), name="there_is_one_hub_participant"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Endpoint(models.Model):
    """A participant's URL for one type of callback. The hub replaces placeholders such as {{name}} by parts of the
    message's path."""

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="endpoints")
    type = models.CharField(max_length=64)
    value = models.CharField(max_length=512)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["participant", "type"], name="one_endpoint_of_each_type_per_participant")
        ]
        triggers = [
            pgtrigger.Trigger(
                name="a_change_of_endpoints_is_counted",
                operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
                when=pgtrigger.After,
                func="""
                    UPDATE participants_participant SET endpoints_version = endpoints_version + 1
                    WHERE id IN (OLD.participant_id, NEW.participant_id);
                    RETURN NULL;
                """,
            )
        ]

    def __str__(self) -> str:
        return f"{self.participant} {self.type}"


class Credential(models.Model):
    """A credential of a participant, valid for a limited time.

    While a participant replaces a credential, several credentials of one kind can be valid.

    `sha256` identifies the credential. It is a hash: of a certificate's DER, of a signing key's SubjectPublicKeyInfo,
    or of a client's secret. A certificate, a key or a client can be registered only once. A revoked credential cannot
    be registered again. `label` is a certificate's subject or a client's key. `pem` is the certificate or the public
    signing key. For a client, the hub stores only the hash of the secret.
    """

    class Kind(models.TextChoices):
        CERTIFICATE = "certificate"
        CLIENT = "client"
        SIGNING_KEY = "signingKey"

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="credentials")
    kind = models.CharField(max_length=16, choices=Kind)
    sha256 = models.CharField(max_length=64)
    label = models.CharField(max_length=255, default="")
    pem = models.TextField(default="")
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        triggers = [
            pgtrigger.Protect(
                name="a_revoked_credential_stays_revoked",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__revoked_at__isnull=False),
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(valid_until__gt=models.F("valid_from")), name="a_credential_is_valid_for_some_time"
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=["certificate", "client", "signingKey"]),
                name="a_credential_is_a_certificate_a_client_or_a_key",
            ),
            models.UniqueConstraint(fields=["sha256"], name="a_credential_is_given_once"),
            models.UniqueConstraint(
                fields=["label"], condition=models.Q(kind="client"), name="a_client_key_belongs_to_one_client"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} of {self.participant}"


class AllowedNetwork(models.Model):
    """A network from which a participant is allowed to send requests. If no network is registered, all addresses are
    allowed."""

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="networks")
    network = models.CharField(max_length=43)  # in the spelling of Python's `ipaddress`, such as 192.0.2.0/24

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["participant", "network"], name="a_network_is_listed_once_per_participant")
        ]

    def __str__(self) -> str:
        return f"{self.participant} {self.network}"


class Contact(models.Model):
    """A contact person of a participant, and this person's role."""

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="contacts")
    role = models.CharField(max_length=64)
    name = models.CharField(max_length=128)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=32, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=~models.Q(email="", phone=""), name="a_contact_can_be_reached_in_some_way")
        ]

    def __str__(self) -> str:
        return f"{self.name}, {self.role} of {self.participant}"


class CurrencyPair(models.Model):
    """A conversion that a participant offers as a foreign exchange provider (FXP)."""

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="currency_pairs")
    source_currency = models.CharField(max_length=3)
    target_currency = models.CharField(max_length=3)

    class Meta:
        ordering = ["id"]
        constraints = [
            # the index of this constraint also serves the search for participants that offer a conversion
            models.UniqueConstraint(
                fields=["source_currency", "target_currency", "participant"], name="a_pair_is_offered_once"
            ),
            models.CheckConstraint(
                condition=~models.Q(source_currency=models.F("target_currency")), name="a_pair_is_of_two_currencies"
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="nobody_converts_test_money",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                condition=pgtrigger.Condition(f"'{TEST_CURRENCY}' IN (NEW.source_currency, NEW.target_currency)"),
                func=NO_TEST_MONEY,
            )
        ]

    def __str__(self) -> str:
        return f"{self.participant} {self.source_currency}/{self.target_currency}"
