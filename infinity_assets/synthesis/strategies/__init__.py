"""Strategies that write instructions from seeds, one per module. The settings name a strategy by its module.

A strategy takes a frame of seeds, asks models, and returns one line per seed. The rules of `synthesis/elimination` then
apply to the rewrites of all strategies, and the seed of an accepted rewrite becomes its parent. `synthesis/strategy.py`
defines the interface. `synthesis/dispatch.py` assigns the seeds. docs/evolution.md has the cost of each strategy.

| module | method | paper |
|---|---|---|
| `evol_instruct` | one rewriting operator per seed | WizardLM, arXiv 2304.12244 |
| `auto_evol` | the model finds its own method, and revises after feedback | Auto-Evol, arXiv 2406.00770 |
| `self_rubrics` | actions derived from rubrics, until the answers of two models differ enough | CodecLM, arXiv 2404.05875 |
| `magpie` | the model writes the user's turn itself | Magpie, arXiv 2406.08464 |
| `task_from_text` | a task on a passage | Bonito, arXiv 2402.18334 |
| `self_code_align` | concepts, a Python task, its tests | SelfCodeAlign, arXiv 2410.24198 |
| `syllabus` | a label, a syllabus for it, an exercise | GLAN, arXiv 2402.13064 |
"""
