"""What the settings are made of: which fields are sections, or lists of them, whatever stands in a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, get_args, get_type_hints

if TYPE_CHECKING:
    from coo_middleware.faults import FieldPath


@cache
def section_fields(section: type) -> dict[str, object]:
    """The types of a section's fields by their names, in their order."""
    hints = get_type_hints(section)
    return {each.name: hints[each.name] for each in fields(section)}


def find_section(kind: object) -> type | None:
    """The section that a field's type stands for: itself, the items of its list, or what may be null; else None."""
    if isinstance(kind, type) and is_dataclass(kind):
        return kind
    return next((found for each in get_args(kind) if (found := find_section(each))), None)


def fill(value: object, kind: object) -> object:
    """`value` with `{}` for every null in the place of a section that may not be null: of which nothing is said, as in
    `policy:`, is a section with its defaults.
    """
    section = find_section(kind)
    if section is None:
        return value
    if isinstance(value, Mapping):
        known = section_fields(section)
        return {name: fill(member, known.get(name)) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [fill(each, section) for each in value]
    return {} if value is None and kind is section else value


def names_beside(path: FieldPath, kind: type) -> list[str]:
    """The names that are known where the field at `path` stands, in settings of `kind`."""
    section = kind
    for name in path[:-1]:
        if isinstance(name, str):
            section = find_section(section_fields(section)[name]) or section
    return list(section_fields(section))
