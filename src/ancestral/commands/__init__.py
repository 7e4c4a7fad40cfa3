"""The commands. Nothing is imported here: `main` must be able to answer an interruption before the rest is."""
