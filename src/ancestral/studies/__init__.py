"""Recipes: one file is one study, with the runs it needs and the page it writes."""
