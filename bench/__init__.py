"""The load instrument behind `make bench`: whole transfers, at a fixed rate, through a hub's live processes."""
