"""Ways to make instructions of seeds, behind one interface: seeds in, one line per seed out.

A strategy asks models and decides nothing: what it wrote goes through the same elimination, whoever wrote it (`synthesis/elimination`), and its seed
becomes the parent of what stays.

| module | strategy | from |
|---|---|---|
| `evol_instruct` | one rewriting operator per seed | WizardLM, arXiv 2304.12244 |
"""
