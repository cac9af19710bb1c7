"""Models as files: one safetensors file whose header carries definition and schema as JSON. Nothing in it can run.

The file is written whole or not at all, so a reader never meets half a model.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
import torch
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fourfold.definition.models import DCNv2, FeedSR, TwoTower
from fourfold.durable.files import write_file
from fourfold.features.inputs import Schema
from fourfold.models.dcnv2 import DCNv2Ranker
from fourfold.models.feed_sr import FeedSRRanker
from fourfold.models.ranker import Ranker
from fourfold.models.two_tower import TwoTowerModel

FORMAT = "fourfold-model-1"
HEADER = "fourfold"
"""The entry of a safetensors file's metadata that holds ours."""

RANKER_FILE, RETRIEVAL_FILE = "ranker.safetensors", "retrieval.safetensors"
"""What a version's models are called in its folder."""

Config: TypeAlias = FeedSR | DCNv2 | TwoTower
Model: TypeAlias = Ranker | TwoTowerModel

_CONFIG: TypeAdapter[Config] = TypeAdapter(Annotated[Config, Field(discriminator="kind")])
_SCHEMA = TypeAdapter(Schema)


class ModelFileError(ValueError):
    """A file that is not a model, or not one that this version can read."""


def build_ranker(config: FeedSR | DCNv2, schema: Schema, seed: int = 0) -> Ranker:
    """A new ranker; its first weights depend on config, schema and seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FeedSRRanker(config, schema) if isinstance(config, FeedSR) else DCNv2Ranker(config, schema)


def build_two_tower(config: TwoTower, schema: Schema, seed: int = 0) -> TwoTowerModel:
    """A new retrieval model; its first weights depend on config, schema and seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TwoTowerModel(config, schema)


def describe(model: Model) -> dict[str, str]:
    """The definition and schema of a model as JSON texts, as they stand in the file's header."""
    return {
        "format": FORMAT,
        "config": _CONFIG.dump_json(model.config).decode(),
        "schema": _SCHEMA.dump_json(model.schema).decode(),
    }


def save_model(model: Model, path: Path) -> None:
    """Write a model to one file, replacing what is there."""
    write_tensors(path, model.state_dict(), describe(model))


def load_model(path: Path) -> Model:
    """Read a model, ready to score (in evaluation mode, on the CPU).

    Raises
    ------
    ModelFileError
        If the file is not a model.
    FileNotFoundError
        If there is none.
    """
    tensors, header = read_tensors(path)
    if header.get("format") != FORMAT:
        raise ModelFileError(f"{path} is not a model of format {FORMAT}; write one with save_model")
    try:
        config, schema = _CONFIG.validate_json(header["config"]), _SCHEMA.validate_json(header["schema"])
        model = build_two_tower(config, schema) if isinstance(config, TwoTower) else build_ranker(config, schema)
        # Assigned and not copied: the weights stay pages of the file, which all processes that serve it share.
        model.load_state_dict(_uncalibrated(model) | tensors, strict=True, assign=True)
    except (KeyError, ValidationError, RuntimeError) as error:
        raise ModelFileError(f"{path} holds weights that do not fit its own definition: {error}") from error
    return model.eval()


def _uncalibrated(model: Model) -> dict[str, Tensor]:
    """What a file from before there was calibration lacks."""
    return {name: value for name, value in model.state_dict().items() if name.startswith("calibration.")}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write named tensors and a header of texts as safetensors: whole, synced, then renamed into place."""
    # One entry: several would be written in an order that differs from run to run, and equal models in unequal files.
    metadata = {HEADER: json.dumps(dict(header), sort_keys=True)}
    write_file(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the header of a safetensors file; raises `ModelFileError` if it is not one."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; train a model and save it there first")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        return tensors, msgspec.json.decode(metadata.get(HEADER, "{}"), type=dict[str, str])
    except (SafetensorError, msgspec.DecodeError) as error:
        raise ModelFileError(f"{path} is not a safetensors file with a header of ours: {error}") from error
