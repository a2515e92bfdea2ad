"""The shipped networks: how each was made, and how it is found again."""
