"""Clusters of duplicates: a row that was kept, and the records that were dropped as its duplicates."""

from pathlib import Path

from infinity_assets.catalog.explain import content_lines, find_row
from infinity_assets.catalog.views import connect
from infinity_assets.errors import InfinityError

_LOSERS = """
    select row_id, source, file, position, method, similarity, matched from duplicates where duplicate_of = $row
    order by similarity desc, method, source, file, position
"""
"""The records that were dropped as duplicates of a row. `matched` is the id of the row that each was compared with."""


def describe_cluster(data: Path, row: str, limit: int) -> str:
    """Describe the cluster of duplicates that contains a row, as plain text, with at most `limit` dropped records.

    The row is the one that was kept or a dropped one, named by its id or the first digits of its id.

    Raises:
        InfinityError: No row id or several begin with these digits, or `duplicates` is not materialized.
    """
    with connect(data) as views:
        if not views.execute("select 1 from information_schema.tables where table_name = 'duplicates'").fetchall():
            raise InfinityError("`duplicates` has not been materialized: `infinity run --until duplicates`.")
        row_id = find_row(views, row)
        kept = views.execute("select duplicate_of from duplicates where row_id = ?", [row_id]).fetchall()
        survivor = kept[0][0] if kept else row_id
        losers = views.sql(_LOSERS, params={"row": survivor}).pl()
        lines = [f"row {survivor}, kept by de-duplication", *content_lines(views, survivor)]
        if losers.is_empty():
            return "\n".join([*lines, "  nothing lost to it"])
        counted = losers.group_by("method").len("records").sort("method")
        lines.append("  lost to it " + ", ".join(f"{records:,} {method}" for method, records in counted.iter_rows()))
        for loser in losers.head(limit).to_dicts():
            same = " the same row" if loser["row_id"] == survivor else ""
            place = f"{loser['source']}, {loser['file']}, record {loser['position']}"
            through = ""
            if loser["matched"] != survivor:
                itself = loser["matched"] == loser["row_id"]
                through = ", another record of it, which lost" if itself else f", matched {loser['matched']}"
            lines.append(f"\n  {loser['method']} {loser['similarity']:.3f} {loser['row_id']}{same} ({place}{through})")
            if not same:
                turns = content_lines(views, loser["row_id"])
                lines += [f"  {line}" for line in turns if not line.startswith("  is  ")]
        if losers.height > limit:
            lines.append(f"\n  {losers.height - limit:,} more: --limit {losers.height}")
        return "\n".join(lines)
