"""Read and validate the configuration file, and generate its JSON schema.

The workflow and all commands use :func:`load_configuration`, so that ``phasepipe check`` validates exactly
what will run. Every mistake in the file is reported as one sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from phasepipe.errors import SweepError, reason_of, shown
from phasepipe.files import open_regular
from phasepipe.specification.messages import sentence
from phasepipe.specification.paths import ExpandedPath
from phasepipe.specification.sweep import Sweep
from phasepipe.specification.yaml_reader import YamlError, parse_yaml

SCHEMA_ID = "https://json.schemastore.org/phasepipe.json"
_PACKED = "packed"  # key of packed overrides
_LARGEST_FILE = 500_000  # bytes; about ten thousand entries of refine, read in three seconds


class Configuration(BaseModel):
    """The configuration file: named sweeps, and the name of the sweep to run."""

    model_config = ConfigDict(extra="forbid")

    sweep: str = Field(description="Name of the sweep to run", examples=["demo"])
    results: ExpandedPath = Field(
        default="results",
        description="Folder that holds one results folder per sweep",
        examples=["results"],
    )
    sweeps: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] = Field(
        description="Sweeps by name; a name is also that of a folder",
        examples=[
            {
                "demo": {
                    "loss": {"kind": "normalised_quartic", "a": 0.01},
                    "N": [64, 128, 256],
                    "alpha": {"start": 1.5, "stop": 4.5, "step": 0.25},
                    "instances": 64,
                    "starts": [{"kind": "random", "count": 16}],
                }
            }
        ],
    )

    @field_validator("results")
    @classmethod
    def _no_wildcard(cls, results: str) -> str:
        if "{" in results or "}" in results:
            raise ValueError(
                f"{shown(results)} contains braces, which Snakemake interprets as wildcards; choose another "
                "folder"
            )
        return results


@dataclass(frozen=True)
class LoadedConfiguration:
    """A checked sweep, the folder that holds its results, and the content with its files."""

    sweep: Sweep
    results: Path
    content: dict[str, Any]
    files: tuple[Path, ...]

    def trusted(self) -> LoadedConfiguration:
        """The same, with a custom loss imported and checked: whoever runs a sweep trusts it.

        Raises
        ------
        SweepError
            If the loss cannot be imported, or is not one.
        """
        return replace(self, sweep=_trusted(self.sweep))


def load_configuration(
    files: Sequence[str | Path], overrides: Mapping[str, Any] | None = None, trust: bool = False
) -> LoadedConfiguration:
    """Read a configuration and validate the sweep to run.

    Parameters
    ----------
    files
        The configuration file; no other file provides defaults. Further files may only hold entries of
        ``refine``, as written by ``phasepipe refine``, which replace those of the same sweep.
    overrides
        Values of the keys ``sweep`` and ``results`` from the command line.
    trust
        As in :func:`load_sweep`.

    Raises
    ------
    SweepError
        With one sentence that names the key, the value and a remedy.
    """
    first, *others = map(Path, files)
    content = read_configuration(first)
    for other in others:
        content = _with_refinement(content, read_configuration(other), other)
    loaded = check_content(content | _checked_overrides(overrides or {}, content), (first, *others))
    return loaded.trusted() if trust else loaded


def check_content(content: Mapping[str, Any], files: tuple[Path, ...] = ()) -> LoadedConfiguration:
    """Validate the sweep to run of a configuration that has been read; errors are as above."""
    sweep = load_sweep(content)
    results = Configuration.model_validate(dict(content)).results
    return LoadedConfiguration(sweep, Path(results), {**content, "results": results}, files)


def load_sweep(config: Mapping[str, Any], name: str | None = None, trust: bool = False) -> Sweep:
    """Validate one sweep of a configuration.

    Parameters
    ----------
    config
        Content of the configuration file.
    name
        Sweep to load; default: the value of the key ``sweep``.
    trust
        Whether the module of a custom loss may be imported; the loss is then checked too. What runs a sweep
        trusts its configuration; what only looks at one does not unless it is told to.

    Raises
    ------
    SweepError
        With one sentence that names the key, the value and a remedy.
    """
    try:
        configuration = Configuration.model_validate(dict(config))
    except ValidationError as error:
        raise SweepError(sentence("configuration", error, Configuration)) from error
    name = configuration.sweep if name is None else name
    if name not in configuration.sweeps:
        known = ", ".join(each or "one without a name" for each in configuration.sweeps)
        raise SweepError(f"configuration: there is no sweep {shown(name)}; the sweeps are {known}")
    settings = configuration.sweeps[name]
    loss = settings.get("loss")
    if isinstance(loss, dict) and "kind" not in loss and "a" in loss:
        settings = settings | {"loss": {"kind": "normalised_quartic", **loss}}
    if "name" in settings:
        raise SweepError(
            f"sweep {name!r}: unknown key 'name'; the name of a sweep is its key in the mapping sweeps"
        )
    try:
        sweep = Sweep.model_validate({"name": name, **settings})
    except ValidationError as error:
        raise SweepError(sentence(f"sweep {name!r}", error, Sweep)) from error
    return _trusted(sweep) if trust else sweep


def _trusted(sweep: Sweep) -> Sweep:
    """The sweep with its own loss, if it has one, imported and checked."""
    trusted = sweep.trusted()
    try:
        trusted.loss.build()
    except SweepError as error:
        raise SweepError(f"sweep {sweep.name!r}: {error}") from error
    return trusted


def read_configuration(path: Path) -> dict[str, Any]:
    """Content of a YAML configuration file.

    Raises
    ------
    SweepError
        If the file is missing or is not a YAML mapping.
    """
    try:
        with open_regular(path) as file:
            stored = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        raise SweepError(
            f"configuration {path} cannot be read ({reason_of(error)}); name another file, or write one with "
            "phasepipe init"
        ) from error
    if len(stored) > _LARGEST_FILE:
        raise SweepError(
            f"configuration {path} is larger than {_LARGEST_FILE} bytes; split it into several files"
        )
    try:
        content = parse_yaml(stored.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SweepError(
            f"configuration {path} is not valid YAML: byte {error.start} is not UTF-8; save it as UTF-8"
        ) from error
    except YamlError as error:
        raise SweepError(f"configuration {path} {error}") from error
    if not isinstance(content, dict):
        what = "is empty and" if content is None else "is"
        raise SweepError(f"configuration {path} {what} not a mapping with the keys sweep and sweeps")
    return content


def _with_refinement(content: dict[str, Any], overlay: dict[str, Any], path: Path) -> dict[str, Any]:
    """Content with the entries of ``refine`` of another file, which may contain nothing else."""
    sweeps, changes = content.get("sweeps"), overlay.get("sweeps")
    alone = overlay.keys() == {"sweeps"}
    if not isinstance(changes, dict) or not alone or not all(map(_refines, changes.values())):
        raise SweepError(
            f"configuration {path} follows another file and may only contain sweeps.NAME.refine, as written "
            "by phasepipe refine; put all other keys of a sweep into the first file"
        )
    known = sweeps.keys() if isinstance(sweeps, dict) else set()
    if not isinstance(sweeps, dict) or not changes.keys() <= known:
        unknown = ", ".join(map(str, changes.keys() - known))
        raise SweepError(f"configuration {path} refines {unknown}, which the first file does not contain")
    merged = {
        name: {**settings, **changes.get(name, {})} if isinstance(settings, dict) else settings
        for name, settings in sweeps.items()
    }
    return content | {"sweeps": merged}


def _refines(settings: Any) -> bool:
    return isinstance(settings, dict) and settings.keys() == {"refine"}


def packed(overrides: Mapping[str, str]) -> str:
    """Overrides as one word for ``snakemake --config``, which would strip quotes and read text as YAML."""
    return f"{_PACKED}={quote(json.dumps(dict(overrides)))}"


def _checked_overrides(overrides: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Validated overrides from the command line; Snakemake converts text that looks like a number."""
    checked = dict(overrides)
    if _PACKED in checked:
        try:
            checked |= json.loads(unquote(str(checked.pop(_PACKED))))
        except (TypeError, ValueError) as error:
            raise SweepError(f"--config {_PACKED}: it is for phasepipe run; set sweep and results") from error
    for key, value in checked.items():
        if key not in ("sweep", "results"):
            raise SweepError(
                f"--config {key}={value}: only sweep and results can be set on the command line; "
                f"set {key} in the configuration file"
            )
        if isinstance(value, int | float) and key == "results":
            raise SweepError(
                f"--config results={value}: the value is read as a number; write results=./{value}"
            )
    if not isinstance(checked.get("sweep", ""), str):
        checked["sweep"] = _original_name(checked["sweep"], content.get("sweeps"))
    return checked


def _original_name(asked: Any, sweeps: Any) -> Any:
    """The sweep whose name Snakemake converted to a number or a truth value, for example ``2024``."""

    def reads_as_asked(name: str) -> bool:
        for convert in (int, float, lambda text: {"True": True, "False": False}[text]):
            try:
                return bool(convert(name) == asked)
            except (ValueError, KeyError):
                continue
        return False

    names = [name for name in sweeps if isinstance(name, str)] if isinstance(sweeps, dict) else []
    if str(asked) in names:
        return str(asked)
    found = [name for name in names if reads_as_asked(name)]
    return found[0] if len(found) == 1 else str(asked)


def schema() -> dict[str, Any]:
    """JSON schema of the configuration file, made from the models, in draft 7, which all editors know."""
    reference = "#/definitions/{model}"
    sweep = Sweep.model_json_schema(ref_template=reference)
    definitions = sweep.pop("$defs")
    sweep["properties"].pop("name")
    sweep["required"].remove("name")
    sweep["properties"]["dynamics_theory"]["anyOf"].insert(0, {"type": "boolean"})
    whole = Configuration.model_json_schema()
    whole["properties"]["sweeps"]["additionalProperties"] = {"$ref": reference.format(model="Sweep")}
    found: dict[str, Any] = _for_draft_7({**whole, "definitions": {**definitions, "Sweep": sweep}})
    return {"$schema": "http://json-schema.org/draft-07/schema#", "$id": SCHEMA_ID, **found}


def _for_draft_7(schema: Any) -> Any:
    """The schema with ``allOf`` around references beside other keys, and without OpenAPI's discriminators."""
    if isinstance(schema, list):
        return [_for_draft_7(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: _for_draft_7(part) for key, part in schema.items() if key != "discriminator"}
    if isinstance(parts.get("$ref"), str) and len(parts) > 1:
        return {"allOf": [{"$ref": parts.pop("$ref")}], **parts}
    return parts
