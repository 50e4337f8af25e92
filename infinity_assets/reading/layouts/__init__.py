"""From a record's value to conversations: which keys hold the turns.

A layout is a function that reads a record, registered with the keys it asks for. The first layout that can read a record does, so the
order of registration matters: the more a layout asks for, the earlier it stands. To support another form of data, add one function.
"""

from infinity_assets.reading.layouts import preferences, chats, tasks, exchanges, passages  # noqa: F401, I001 - the order of trial
from infinity_assets.reading.layouts.layout import LAYOUTS, Layout, Parsed, Rejected, layout_of, parse, recognises
from infinity_assets.reading.layouts.values import text_of

__all__ = ["LAYOUTS", "Layout", "Parsed", "Rejected", "layout_of", "parse", "recognises", "text_of"]
