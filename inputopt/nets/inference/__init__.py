"""What makes the private copy of a frozen network right and quick: copying, rewriting, verifying, threads, memory."""
