"""The lock between commits and the closing of a settlement window.

Commits hold it shared and read the open window after they have it; closing holds it exclusive. So each commit is in
exactly one window, and none joins a window that has closed.
"""

WINDOW_LOCK = 0x4B49_0001
