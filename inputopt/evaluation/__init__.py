"""Answers to believe: how many inputs hold out, against which attacks, and why one may doubt it."""
