"""Trainings that differ in some settings: all combinations or random trials, on any number of machines."""
