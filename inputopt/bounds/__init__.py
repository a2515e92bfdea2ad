"""Certificates: proven lower bounds of margins in a ball, by bound propagation, branch and bound, and smoothing."""
