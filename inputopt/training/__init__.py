"""The weights move."""
