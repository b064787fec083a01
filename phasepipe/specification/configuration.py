"""The configuration file: reading it, its JSON schema, and its mistakes in one sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from phasepipe.errors import SweepError
from phasepipe.specification.messages import sentence
from phasepipe.specification.sweep import Sweep


class Configuration(BaseModel):
    """The whole configuration file: named sweeps, and the one to run."""

    model_config = ConfigDict(extra="forbid")

    sweep: str = Field(description="Name of the sweep to run")
    results: str = Field(default="results", description="Folder that holds one results folder per sweep")
    sweeps: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]


def load_sweep(config: Mapping[str, Any], name: str | None = None) -> Sweep:
    """Validate one sweep of a configuration.

    Parameters
    ----------
    config
        Content of the configuration file.
    name
        Sweep to load; default the one named by the key ``sweep``.

    Raises
    ------
    SweepError
        With one sentence that names the key, the value and what would do.
    """
    try:
        configuration = Configuration.model_validate(dict(config))
    except ValidationError as error:
        raise SweepError(sentence("configuration", error, Configuration)) from error
    name = configuration.sweep if name is None else name
    if name not in configuration.sweeps:
        known = ", ".join(configuration.sweeps)
        raise SweepError(f"configuration: there is no sweep {name!r}; the sweeps are {known}")
    settings = configuration.sweeps[name]
    loss = settings.get("loss")
    if isinstance(loss, dict) and "kind" not in loss and "a" in loss:
        settings = settings | {"loss": {"kind": "normalised_quartic", **loss}}
    if "name" in settings:
        raise SweepError(f"sweep {name!r}: unknown key 'name'; a sweep is named by its key under sweeps")
    try:
        sweep = Sweep.model_validate({"name": name, **settings})
    except ValidationError as error:
        raise SweepError(sentence(f"sweep {name!r}", error, Sweep)) from error
    try:
        sweep.loss.build()
    except SweepError as error:
        raise SweepError(f"sweep {name!r}: {error}") from error
    return sweep


def read_configuration(path: Path) -> dict[str, Any]:
    """Content of a YAML configuration file.

    Raises
    ------
    SweepError
        If the file is missing or is not a YAML mapping.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise SweepError(
            f"configuration {path} cannot be read ({error.strerror}); "
            "run in the folder of the project, or name one with --config"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SweepError(f"configuration {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise SweepError(f"configuration {path} is not a mapping with the keys sweep and sweeps")
    return content


def schema() -> dict[str, Any]:
    """JSON schema of the configuration file, generated from the models."""
    sweep = Sweep.model_json_schema(ref_template="#/$defs/{model}")
    definitions = sweep.pop("$defs")
    sweep["properties"].pop("name")
    sweep["required"].remove("name")
    whole = Configuration.model_json_schema()
    whole["properties"]["sweeps"]["additionalProperties"] = {"$ref": "#/$defs/Sweep"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **whole,
        "$defs": {**definitions, "Sweep": sweep},
    }
