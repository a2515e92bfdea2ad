"""The document: its networks and its figures."""
