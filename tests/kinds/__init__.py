"""Odd networks, a module a kind; `tests/networks.py` is the table of all."""
