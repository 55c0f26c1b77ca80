"""The load generator behind `make bench`: sends whole transfers at a fixed rate through a hub's live processes."""
