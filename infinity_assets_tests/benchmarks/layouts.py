"""What the reader makes of the layouts of the corpus (`infinity_assets_tests/reading/corpus`), one line for each.

    python -m infinity_assets_tests.benchmarks.layouts            counts, and the layouts that are not read as is right
    python -m infinity_assets_tests.benchmarks.layouts --all      every layout
    python -m infinity_assets_tests.benchmarks.layouts --rows     also the rows that are wrong

`right`, `refused` and `wrong` are numbers of records read without help; `advice` says whether all records of a layout
that is not read become the right rows with the first lines that `infinity sources preview` proposes.
"""

import sys
import tempfile
from pathlib import Path

from infinity_assets_tests.reading.layout_corpus import load_layouts, read_layout, try_advice, write_file


def main() -> None:
    """Print the table."""
    total = {False: [0, 0, 0, 0], True: [0, 0, 0, 0]}
    """Right, refused and wrong records, and layouts of which all are right, of layouts held out and others."""
    advised = {False: [0, 0], True: [0, 0]}
    """Refused records, and those of layouts for which the first advice is right."""
    for layout in load_layouts():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_file(layout, folder)
            outcome = read_layout(layout, folder)
            help_given = try_advice(layout, folder) if outcome.refused else None
        helps = help_given is not None and not help_given.refused and not help_given.wrong
        is_right = not outcome.refused and not outcome.wrong
        counts = (outcome.right, outcome.refused, len(outcome.wrong), is_right)
        total[layout.held_out] = [before + count for before, count in zip(total[layout.held_out], counts, strict=True)]
        advised[layout.held_out][0] += outcome.refused
        advised[layout.held_out][1] += outcome.refused if helps else 0
        if "--all" in sys.argv or not is_right:
            advice = "right" if helps else "-" if not outcome.refused else "wrong" if help_given else "none"
            print(
                f"{layout.theme:12} {layout.name:48} right {outcome.right}  refused {outcome.refused}  "
                f"wrong {len(outcome.wrong)}  advice {advice}"
            )
        if "--rows" in sys.argv:
            for row in outcome.wrong:
                print(f"    {row!r}")
    for held_out, (right, refused, wrong, layouts) in total.items():
        records = right + refused + wrong
        print(
            f"{'held out' if held_out else 'others'}: {layouts} of {sum(one.held_out is held_out for one in load_layouts())} "
            f"layouts; of {records} records right {right / records:.1%}, refused {refused / records:.1%}, wrong "
            f"{wrong / records:.1%}; advice right for {advised[held_out][1]} of {advised[held_out][0]}"
        )


if __name__ == "__main__":
    main()
