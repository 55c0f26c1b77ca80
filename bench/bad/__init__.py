"""Measures the effects of a participant that misbehaves on the other participants (`python -m bench --bad NAME`)."""
