"""The steps an input can take."""
