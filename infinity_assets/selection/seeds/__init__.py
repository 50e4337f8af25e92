"""Seeds: rows worth evolving (recipe 3.2 and 3.5).

    criteria    labels and scores of a row -> criteria that it meets, and the veto
    coverage    vectors -> cells of a grid; rows in cells -> the order in which a budget takes them
    picking     both -> the seeds, and the reason of every other row
    summary     tables for the asset's page

docs/seeds.md has the formulas, their sources and the gaps in the publications.
"""
