"""Robustness evaluation: robust accuracy under attack protocols, robustness curves and reliability warnings."""
