"""Verbs of the command line, one module each: their flags, what they run, and what they print."""
