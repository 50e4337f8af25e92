"""The Dagster layer: what reads, calls, writes and describes. What the recipe *is* stands in the library packages.

One folder per group of the graph, with its assets; beside them what they share: partitions, the step, resources, checks, jobs, automation.
"""
