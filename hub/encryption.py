"""Encryption of the few secrets that the database must hold for a time, by keys made from SECRET_KEY."""

import base64
import hashlib

from cryptography.fernet import Fernet
from django.conf import settings


def fernet(purpose: str) -> Fernet:
    """A key of its own for this purpose, derived from the one secret that a deployment keeps anyway."""
    digest = hashlib.sha256(f"kitovu {purpose}\0".encode() + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
