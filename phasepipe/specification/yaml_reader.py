"""Read YAML by the core schema of YAML 1.2, and reject values that YAML readers interpret differently.

PyYAML follows YAML 1.1, where ``1e-2`` is text, ``064`` is 52, ``1:30`` is 90 and ``yes`` is a truth value,
and it silently keeps the second of two equal keys. Here PyYAML only parses the document; its values follow
YAML 1.2, and error messages name the line and the key. Merge keys (``<<``) are supported.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from phasepipe.errors import shown

_DEEPEST = 30  # levels of nesting; a sweep has six
_MOST_VALUES = 200_000  # with aliases expanded
_MOST_DIGITS = 400  # more than the largest float has
_WIDEST = 40  # maximal number of characters of a value in a message

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUTH = dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NOT_A_NUMBER = {".nan", ".NaN", ".NAN"}

# values that YAML 1.1 interprets differently
_OLD_TRUTH = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_OCTAL = re.compile(r"[-+]?0o[0-7]+")
_BINARY = re.compile(r"[-+]?0b[01_]+")
_UNDERSCORES = re.compile(
    r"[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|0x[0-9a-fA-F_]*_[0-9a-fA-F_]*"
)
_BASE_60 = re.compile(r"[-+]?([1-9][0-9_]*(:[0-5]?[0-9])+|[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*)")


class YamlError(ValueError):
    """The document is not valid; the message does not contain the name of the file."""


def parse_yaml(text: str) -> Any:
    """Value of a document: mappings, lists, text, numbers, truth values and None.

    Raises
    ------
    YamlError
        If the text is not valid YAML, or contains values that YAML readers interpret differently.
    """
    try:
        loader = _Parser(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise YamlError(f"is not valid YAML: {place}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        reason = str(error).partition(' in "<')[0]
        raise YamlError(f"is not valid YAML: {' '.join(reason.split())}") from error
    return None if root is None else _Reader().value(root, ())


class _Parser(yaml.SafeLoader):
    """PyYAML's parser without tags and deep nesting; :class:`_Reader` interprets the values."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise YamlError(f"has the tag {_shown(tag)} in line {line}; tags are not supported, remove it")
        self.depth += 1
        if self.depth > _DEEPEST:
            raise YamlError(f"is nested deeper than {_DEEPEST} levels in line {line}; a sweep has six")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Reader:
    """Converts the tree of a document to values; nodes with several aliases are converted once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def value(self, node: Node, path: tuple[str, ...]) -> Any:
        return self._read(node, path)[0]

    def _read(self, node: Node, path: tuple[str, ...]) -> tuple[Any, int]:
        """The value of a node, and the number of values in it with aliases expanded."""
        if id(node) in self._open:
            raise YamlError(f"{_place(node, path)} contains itself; replace the alias by a value")
        if id(node) not in self._known:
            self._open.add(id(node))
            value, size = self._fresh(node, path)
            if size > _MOST_VALUES:
                raise YamlError(
                    f"contains more than {_MOST_VALUES} values with its aliases expanded; "
                    "split it into several files"
                )
            self._known[id(node)] = value, size
            self._open.remove(id(node))
        return self._known[id(node)]

    def _fresh(self, node: Node, path: tuple[str, ...]) -> tuple[Any, int]:
        if isinstance(node, ScalarNode):
            return _scalar(node, path), 1
        if isinstance(node, SequenceNode):
            entries = [self._read(entry, (*path, str(place))) for place, entry in enumerate(node.value)]
            return [value for value, _ in entries], 1 + sum(size for _, size in entries)
        assert isinstance(node, MappingNode)
        return self._mapping(node, path)

    def _mapping(self, node: MappingNode, path: tuple[str, ...]) -> tuple[dict[Any, Any], int]:
        own: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        lines: dict[Any, int] = {}
        total = 1
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            line = key_node.start_mark.line + 1
            same = _comparable(key)
            if same in lines:
                where = f" of {'.'.join(path)}" if path else ""
                raise YamlError(
                    f"has the key {shown(key)}{where} twice, in lines {lines[same]} and {line}; keep one"
                )
            lines[same] = line
            value, size = self._read(value_node, path if key == "<<" else (*path, str(key)))
            total += size
            if key == "<<":
                merged = _merged(value, value_node, path)
            else:
                own[key] = value
        return merged | own, total

    def _key(self, node: Node, path: tuple[str, ...]) -> Any:
        if not isinstance(node, ScalarNode):
            raise YamlError(
                f"{_place(node, path)} has a key that is itself a list or a mapping; a key is one word"
            )
        key = _scalar(node, path)
        if key is None or (isinstance(key, float) and not key.is_integer()):
            raise YamlError(
                f"{_place(node, path)} has the key {shown(node.value or 'null')}; a key is a word "
                "or an integer"
            )
        return key


def _comparable(key: Any) -> Any:
    """A value that is equal for equivalent keys, such as 64 and '64'."""
    text = str(key)
    return int(text) if _INTEGER.fullmatch(text) and len(text) < _MOST_DIGITS else key


def _merged(value: Any, node: Node, path: tuple[str, ...]) -> dict[Any, Any]:
    """Entries of a merge key ``<<``; earlier mappings take precedence."""
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, dict) for part in parts):
        raise YamlError(
            f"{_place(node, path)} merges (<<) a value that is not a mapping; use the alias of a mapping"
        )
    return {key: entry for part in reversed(parts) for key, entry in part.items()}


def _scalar(node: ScalarNode, path: tuple[str, ...]) -> Any:
    text: str = node.value
    if node.style is not None:  # quoted, or block text
        return text
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    meant = _disputed(text)
    if meant is not None:
        raise YamlError(
            f"{_place(node, path)} = {_shown(text)} is interpreted differently by different YAML readers; "
            f"write {meant}, or '{_shown(text)}' in quotes if it is text"
        )
    if _INTEGER.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            raise YamlError(
                f"{_place(node, path)} = {_shown(text)} has {len(text)} digits; write a smaller number"
            )
        return int(text)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return _finite(text, node, path)
    if _INFINITE.fullmatch(text):
        return -math.inf if text[0] == "-" else math.inf
    return math.nan if text in _NOT_A_NUMBER else text


def _finite(text: str, node: ScalarNode, path: tuple[str, ...]) -> float:
    value = float(text)
    vanished = value == 0 and bool(re.search("[1-9]", re.split("[eE]", text)[0]))
    if math.isinf(value) or vanished:
        raise YamlError(
            f"{_place(node, path)} = {_shown(text)} is outside the range of double precision; "
            "write a number between 1e-300 and 1e300"
        )
    return value


def _disputed(text: str) -> str | None:
    """Replacement for a value that YAML 1.1 and 1.2 interpret differently, or None."""
    if _OLD_TRUTH.fullmatch(text):
        return "true" if text.lower() in ("yes", "on") else "false"
    if len(text) > _MOST_DIGITS:  # the expressions below take a time that grows with its square
        return None
    plain = text.replace("_", "")
    if _LEADING_ZERO.fullmatch(text):
        return str(int(text))
    if _OCTAL.fullmatch(text) or _BINARY.fullmatch(text):
        try:
            return str(int(plain, 0))
        except ValueError:  # no digits
            return "a number"
    if _UNDERSCORES.fullmatch(text):
        return plain
    if _BASE_60.fullmatch(text):
        total = 0.0
        for part in plain.lstrip("+-").split(":"):
            total = 60 * total + float(part)
        return f"{-total if text[0] == '-' else total:.15g}"
    return None


def _place(node: Node, path: tuple[str, ...]) -> str:
    return f"line {node.start_mark.line + 1}: {'.'.join(path) or 'the document'}"


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
