"""Seeds: rows worth evolving (arXiv 2506.11116, 2507.06968).

    criteria    decides from labels and scores which criteria a row meets, and on the veto
    coverage    puts rows into cells of a grid by their vectors, and orders them so that a budget covers many cells
    picking     picks the seeds, and gives a reason for every other row
    summary     makes the tables for the asset's page

docs/seeds.md has the formulas, their sources and the gaps in the publications.
"""
