"""The Dagster layer: assets, checks, jobs and automation. The logic of the recipe is in the library packages.

Each group of the graph is a folder with one module per asset. The modules next to these folders hold the code that
assets share, the resources, the checks, the jobs and the automation.
"""
