"""Ways to make instructions of seeds, behind one interface: seeds in, one line per seed out.

A strategy asks models and decides nothing: what it wrote goes through the same elimination, whoever wrote it (`synthesis/elimination`), and its seed
becomes the parent of what stays. docs/evolution.md says what each one costs.

| module | strategy | from |
|---|---|---|
| `evol_instruct` | one rewriting operator per seed | WizardLM, arXiv 2304.12244 |
| `auto_evol` | the model finds its own way, and is told what failed | Auto-Evol, arXiv 2406.00770 |
| `self_rubrics` | actions by rubrics, until two models' answers are apart | CodecLM, arXiv 2404.05875 |
| `magpie` | the model writes the user's turn itself | Magpie, arXiv 2406.08464 |
| `task_from_text` | a task on a passage | Bonito, arXiv 2402.18334 |
| `self_code_align` | concepts, a Python task, its tests | SelfCodeAlign, arXiv 2410.24198 |
| `syllabus` | a label, a syllabus for it, an exercise | GLAN, arXiv 2402.13064 |

`deficiency` is on the way to all of them: a request that calls for what the students lacked. `dispatch` says who gets which seed.
"""
