"""The Dagster layer: assets that read, call models, write and describe. The recipe itself is in the library packages.

Each group of the graph has a folder with its assets. The modules beside the folders hold what the assets share:
partitions, the step, resources, checks, jobs and automation.
"""
