"""Runs workloads: declarations, child processes, statistics, the machine, reports."""
