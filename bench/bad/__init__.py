"""Measures how a misbehaving participant affects the other participants (`python -m bench --bad NAME`)."""
