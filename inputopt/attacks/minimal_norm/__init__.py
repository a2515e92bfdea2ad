"""Minimal-norm attacks: find the smallest perturbation that succeeds; one published attack per file."""
