"""Minimal-norm attacks: the smallest change that fools the network, one published attack a file."""
