"""Each process keeps in its memory a copy of the hashes of all administration clients' secrets.

Anybody can send wrong secrets to `/token`. The process compares each secret with this copy. So wrong secrets cause at
most one database statement a second. If a secret is right, the process also checks the client in the database.
"""

import threading
import time

from django.db.models.functions import Now

from hub.administration.models import AdministrationClient

_READ_EVERY_S = 1.0


class _Hashes:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._by_key: dict[str, str] = {}
        self._read_at = float("-inf")

    def of(self, key: str) -> str | None:
        """Returns the hash of this client's secret from a copy that is at most one second old.

        Returns None if the client does not exist, is no longer valid, or has no secret yet.
        """
        with self._guard:
            if time.monotonic() - self._read_at >= _READ_EVERY_S:
                self._by_key = self._read()
                self._read_at = time.monotonic()
            return self._by_key.get(key)

    def forget(self) -> None:
        """Discards the copy after this process has issued a secret. The next call of `of` reads the database."""
        with self._guard:
            self._read_at = float("-inf")

    def _read(self) -> dict[str, str]:
        clients = AdministrationClient.objects.filter(revoked_at__isnull=True, valid_until__gt=Now())
        return {key: sha256 for key, sha256 in clients.values_list("key", "sha256") if sha256 is not None}


_hashes = _Hashes()
of = _hashes.of
forget = _hashes.forget
