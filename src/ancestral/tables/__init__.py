"""Results as tables for a page or a terminal: each with its conditions, and a caption that says how to read it."""
