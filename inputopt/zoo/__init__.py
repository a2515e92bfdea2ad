"""The shipped networks: how they are trained and loaded."""
