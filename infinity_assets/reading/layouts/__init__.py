"""Layouts: functions that turn a record into conversations, by the keys that hold the turns.

A layout is registered with the keys that it requires. The first layout that can read a record is used, so layouts that
require more are registered earlier. To support another form of data, add one function.
"""

from infinity_assets.reading.layouts import preferences, chats, tasks, exchanges, passages, wrapped  # noqa: F401, I001 - the order of trial
from infinity_assets.reading.layouts.layout import (
    LAYOUTS,
    Layout,
    Parsed,
    Rejected,
    layout_of,
    parse,
    parse_named,
    recognizes,
)
from infinity_assets.reading.layouts.values import text_of

__all__ = ["LAYOUTS", "Layout", "Parsed", "Rejected", "layout_of", "parse", "parse_named", "recognizes", "text_of"]
