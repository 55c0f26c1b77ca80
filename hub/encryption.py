"""Encrypts secrets that the database must store for a limited time. The keys are derived from SECRET_KEY."""

import base64
import hashlib

from cryptography.fernet import Fernet
from django.conf import settings


def fernet(purpose: str) -> Fernet:
    """Returns a cipher with a separate key for this purpose, derived from SECRET_KEY."""
    digest = hashlib.sha256(f"kitovu {purpose}\0".encode() + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
