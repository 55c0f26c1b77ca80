"""Participants that misbehave, and what the others notice of it (`python -m bench --bad NAME`)."""
