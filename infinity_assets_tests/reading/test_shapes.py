"""Tests of the shapes of records."""

from infinity_assets.reading.shapes import MAX_CHARS, shape


def test_a_shape_lists_keys_and_types() -> None:
    meta = {"reply": ["a"], "n": 1.5, "ok": True, "none": None}
    value = {"title": "x", "meta": meta, "empty": [], "turns": [{"a": {"b": {"c": 1}}}]}
    inner = "{reply: list of text, n: number, ok: truth value, none: null}"
    assert shape(value) == f"{{title: text, meta: {inner}, empty: list, turns: list of {{a: {{…}}}}}}"
    assert shape("x") == "text"
    assert len(shape({str(key) * 30: 1 for key in range(100)})) == MAX_CHARS
