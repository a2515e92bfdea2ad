"""Gradient rules: derivatives that are changed on purpose."""
