"""Error messages for invalid configurations: one sentence with the key, the value and a remedy."""

from __future__ import annotations

import difflib
import json
import re
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from phasepipe.errors import shown
from phasepipe.specification.base import Model
from phasepipe.specification.grid import AlphaRange

_LONGEST_KEY = 60  # characters of a key in a message
_MAPPING_TYPES = {"dict_type", "model_type", "model_attributes_type"}


def sentence(where: str, error: ValidationError, model: type[BaseModel]) -> str:
    """The first validation error of pydantic, in terms of the configuration file.

    Parameters
    ----------
    where
        Part of the configuration that was validated, for example ``sweep 'demo'``.
    error
        The error of pydantic.
    model
        Model that was validated.
    """
    return f"{where}: {_complaint(error.errors(include_url=False)[0], model)}"


def _complaint(first: ErrorDetails, model: type[BaseModel]) -> str:
    path, parent = _locate(first["loc"], model)
    key, kind, context = ".".join(path), first["type"], first.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key {key!r}{_suggestion(path[-1], parent)}"
    if kind == "invalid_key" or (kind == "string_type" and first["loc"][-1] == "[key]"):
        name = first["input"]
        written = json.dumps(name) if name is None or isinstance(name, bool) else shown(name)
        return (
            f"{'.'.join(path[:-1]) or 'the file'} has the key {written}, which is not text; put it in quotes"
        )
    if kind == "missing":
        return f"key {key!r} is missing"
    if kind == "union_tag_not_found":
        return f"key '{key}.kind' is missing; use one of {', '.join(_kinds(path[0], model))}"
    if kind == "union_tag_invalid":
        return f"{key}.kind = {shown(context['tag'])} is not valid; use one of {context['expected_tags']}"
    if kind == "too_short":
        return f"{key} is empty; give at least one value"
    if kind == "value_error":
        message = str(context["error"])
        if message.startswith("= "):  # raised by validators of the models
            return f"{key} {message}"
        return message if not key or message.startswith(key) else f"{key}: {message}"
    if kind == "string_pattern_mismatch":
        return f"{key} = {shown(first['input'])} is not valid; {_example(path, parent)}"
    if kind == "float_type" and path[-1] == "float":  # first branch of a union, which no file names
        return f"{'.'.join(path[:-1])} {_wrong(first['input'])}; give a number, text, true or false"
    if kind == "string_type" and isinstance(first["input"], int | float):
        return f"{key} {_wrong(first['input'])}; it should be text, in quotes"
    if kind == "string_unicode":
        return f"{key or 'a key'} {_wrong(first['input'])}; use text that UTF-8 can hold"
    cure = "a mapping of keys to values" if kind in _MAPPING_TYPES else None
    message = f"it should be {cure}" if cure else re.sub(r"^.*?should", "it should", first["msg"])
    return f"{key} {_wrong(first['input'])}; {message}"


def _wrong(value: object) -> str:
    return "is empty" if value is None else f"= {shown(value)} is not valid"


def _example(path: list[str], parent: type[BaseModel]) -> str:
    """Valid values as described by the key, instead of a regular expression."""
    fields = [parent.model_fields[part] for part in path if part in parent.model_fields]
    wanted = fields[-1].description if fields and fields[-1].description else "something of another form"
    examples = fields[-1].examples if fields else None
    return f"write {wanted}" + (f", for example '{examples[0]}'" if examples else "")


def _models(annotation: Any) -> list[type[BaseModel]]:
    """All models that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _kind(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return None if field is None else str(get_args(field.annotation)[0])


def _kinds(section: str, model: type[BaseModel]) -> list[str]:
    return [kind for part in _models(model.model_fields[section].annotation) if (kind := _kind(part))]


def _locate(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[list[str], type[BaseModel]]:
    """The key as written in the file, and the model it belongs to.

    pydantic adds the chosen branch of a union to the location, which does not occur in the file.
    """
    branches: dict[int | str, type[BaseModel] | None]
    branches = {kind: part for part in Model.__subclasses__() if (kind := _kind(part))}
    branches |= {"range": AlphaRange, "list": None, "common": None, "per_N": None}
    path: list[str] = []
    parent, inside = model, True  # inside: at a mapping whose keys are the fields of parent
    for part in loc:
        if not inside and part in branches:
            parent, inside = branches[part] or parent, branches[part] is not None
        elif part != "[key]":
            path.append(str(part) if len(str(part)) <= _LONGEST_KEY else f"{str(part)[:_LONGEST_KEY]}...")
            field = parent.model_fields.get(str(part)) if inside else None
            if field is not None:
                section = _section(field.annotation)
                parent, inside = section or parent, section is not None
    return path, parent


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model of a key that holds a single section, optional or not; None for other keys."""
    parts = [part for part in get_args(annotation) or [annotation] if part is not NoneType]
    section = parts[0] if len(parts) == 1 and get_origin(annotation) in (None, Union, UnionType) else None
    return section if isinstance(section, type) and issubclass(section, BaseModel) else None


def _suggestion(key: str, model: type[BaseModel]) -> str:
    known = [name for name in model.model_fields if name != "name"]
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; the keys are {', '.join(known)}"
