"""Recipes of runs that end in one report. One file per study."""
