"""The input moves: one loop, and what is put into it."""
