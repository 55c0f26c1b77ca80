"""Closes windows, creates settlements, changes the states of settlements, and changes settlement models."""

from settlement.services.bank_statements import NotTaken, take_in
from settlement.services.settlements import abort, advance, create, move, plan
from settlement.services.windows import Closed, close_window, total_up, total_up_what_is_left

__all__ = [
    "Closed",
    "NotTaken",
    "abort",
    "advance",
    "close_window",
    "create",
    "move",
    "plan",
    "take_in",
    "total_up",
    "total_up_what_is_left",
]
