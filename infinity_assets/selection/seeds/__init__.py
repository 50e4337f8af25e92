"""Seeds: rows worth evolving (recipe 3.2 and 3.5).

    criteria    what is known of a row -> what speaks for it, and the veto
    coverage    vectors -> cells of a grid; rows in cells -> the order in which a budget takes them
    picking     both -> the seeds, and why every other row is none
    summary     what the page shows of that

docs/seeds.md has the formulas, their sources and what was never published.
"""
