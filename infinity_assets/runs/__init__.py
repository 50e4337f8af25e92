"""Runs of the graph from the command line: the runner, the planner that estimates a run's cost, and the arena."""
