"""A part of the hub's own API for DFSPs: signals of payees, fraud markers and appeals."""
