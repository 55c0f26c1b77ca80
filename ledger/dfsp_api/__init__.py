"""The part of the hub's own API for DFSPs that reads positions and transfers."""
