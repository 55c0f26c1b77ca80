"""Participants that misbehave, and their effects on the others (`python -m bench --bad NAME`)."""
