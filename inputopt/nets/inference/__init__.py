"""Fast inference on a private copy of a frozen network: copying, rewriting, verification, threads and memory."""
