"""Canvases: what a search moves, and how it becomes inputs."""
