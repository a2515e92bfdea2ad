"""What an answer rests on: which numbers of an input, and which region of an image."""
