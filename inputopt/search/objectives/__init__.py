"""Objectives: what a search minimises, one number an example."""
