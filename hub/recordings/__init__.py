"""Stores the requests that a DFSP sends during its certification (`portal.certification`)."""
