"""Trainings that differ in some settings: all combinations or trials drawn, shared by any number of machines."""
