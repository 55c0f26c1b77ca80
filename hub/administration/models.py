"""The OAuth2 clients of the hub's operators: programs that use the administration APIs. The clients of DFSPs are in
another table."""

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone


class AdministrationClient(models.Model):
    """A program of the hub's operators. The program authenticates with a key and a secret, which expire together.

    The hub creates the secret of a client only when the holder of the client fetches the secret. The audit trail and
    the client's change requests contain the key. So the hub never deletes a client, and never gives the key to another
    client.
    """

    name = models.CharField(max_length=32)
    key = models.CharField(max_length=64, unique=True)
    may_read = models.BooleanField()
    may_write = models.BooleanField()
    # The person who requested the client and receives its secret. This person is never allowed to approve the client's
    # change requests.
    holder = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    # The hash of the secret. The hash is None until the holder fetches the secret.
    sha256 = models.CharField(max_length=64, null=True, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    secret_given_at = models.DateTimeField(null=True)
    valid_until = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        triggers = [
            pgtrigger.Protect(
                name="a_revoked_administration_client_stays_revoked",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__revoked_at__isnull=False),
            ),
            pgtrigger.Protect(
                name="an_administration_client_keeps_its_terms",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "((NEW.name, NEW.key, NEW.may_read, NEW.may_write, NEW.holder_id, NEW.valid_until) IS DISTINCT FROM"
                    " (OLD.name, OLD.key, OLD.may_read, OLD.may_write, OLD.holder_id, OLD.valid_until)"
                    " OR (OLD.sha256 IS NOT NULL AND NEW.sha256 IS DISTINCT FROM OLD.sha256))"
                ),
            ),
            pgtrigger.Protect(name="an_administration_client_is_never_deleted", operation=pgtrigger.Delete),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(may_read=True) | models.Q(may_write=True),
                name="an_administration_client_may_do_something",
            ),
            models.CheckConstraint(
                condition=models.Q(sha256__isnull=True, secret_given_at__isnull=True)
                | models.Q(sha256__isnull=False, secret_given_at__isnull=False),
                name="an_administration_client_has_its_secret_from_when_it_was_given",
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def is_valid(self) -> bool:
        """Returns False if the client has expired or was revoked. A client can be valid before it has a secret."""
        return self.revoked_at is None and timezone.now() < self.valid_until

    @property
    def scopes(self) -> list[str]:
        granted = ((self.may_read, READ), (self.may_write, WRITE))
        return [scope for may, scope in granted if may]


READ = "administration:read"
WRITE = "administration:write"
SCOPES = (READ, WRITE)
