"""Runs of the graph from the command line: the runner, the planner that estimates what a run would cost, and the arena of selectors."""
