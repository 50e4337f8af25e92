"""Writes docs/settings.md, the reference of all settings, from their documentation in the code.

python -m infinity_assets_tests.settings_reference
"""

import types
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from infinity_assets.settings import Settings

FILE = Path(__file__).parents[1] / "docs" / "settings.md"
_HEAD = """\
# Settings

All settings, with type, default and source. Set them in `infinity.yaml` in the working directory, in the file that
INFINITY_SETTINGS names, or as environment variables: `chat.seeds.max_seeds` is INFINITY_CHAT__SEEDS__MAX_SEEDS.
`infinity settings` prints the values in force. This page is generated from the code.
"""


def reference() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *_sections(Settings, Settings.__doc__ or "", "", {})])


def _sections(model: type[BaseModel], text: str, path: str, described: dict[type[BaseModel], str]) -> Iterator[str]:
    if model in described:
        anchor = described[model].replace(".", "")
        yield f"## {path}\n\n{_filled(f'{text} It has the settings of [{described[model]}](#{anchor}).')}\n"
        return
    described[model] = path
    fields = model.model_fields
    rows = [
        f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {_one_line(field.description or '')} |"
        for name, field in fields.items()
        if not _section_of(field.annotation)
    ]
    if path:
        yield f"## {path}\n\n{_filled(text)}\n"
    if rows:
        yield "\n".join(["| setting | type | default | meaning |", "|---|---|---|---|", *rows]) + "\n"
    for name, field in fields.items():
        if section := _section_of(field.annotation):
            yield from _sections(
                section, field.description or section.__doc__ or "", f"{path}.{name}".lstrip("."), described
            )


def _section_of(annotation: Any) -> type[BaseModel] | None:
    found = [
        part for part in (annotation, *get_args(annotation)) if isinstance(part, type) and issubclass(part, BaseModel)
    ]
    return found[0] if found and get_origin(annotation) in (None, Union, types.UnionType) else None


def _type(annotation: Any) -> str:
    return f"`{_type_text(annotation)}`".replace("|", "\\|")


def _type_text(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(args[0])
    if origin in (Union, types.UnionType):
        return " | ".join(map(_type_text, args))
    if origin is Literal:
        return " | ".join(map(repr, args))
    if annotation in (..., types.NoneType):
        return "..." if annotation is ... else "None"
    return origin.__name__ + f"[{', '.join(map(_type_text, args))}]" if origin else annotation.__name__


def _default(field: Any) -> str:
    if field.default_factory is not None:
        return "computed"
    if field.is_required():
        return "required"
    text = f"`{field.default!r}`".replace("|", "\\|")
    return text if len(text) < 100 else "see `infinity settings`"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _filled(text: str) -> str:
    return fill(text, 120, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
    print(FILE)
