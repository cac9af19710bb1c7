"""What a training run needs to go on after its process was killed: weights, optimiser state and step, in one file.

The file is replaced whole, and carries a fingerprint of everything that decides the result, so that a run never goes on
from the checkpoint of another.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fourfold.models.io import read_tensors, write_tensors

FORMAT = "fourfold-checkpoint-2"


class CheckpointError(ValueError):
    """A checkpoint that does not belong to this run."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come: steps done, and the losses that the next one is compared with, oldest first.

    `first` holds those of the run's first steps, `recent` those of its last.
    """

    step: int = 0
    first: tuple[float, ...] = ()
    recent: tuple[float, ...] = ()

    @property
    def loss(self) -> float:
        """Of the last step; NaN before the first."""
        return self.recent[-1] if self.recent else math.nan

    def after(self, loss: float, window: int) -> "Progress":
        """Progress after one more step, `window` losses kept of each kind."""
        first = self.first if len(self.first) == window else (*self.first, loss)
        return Progress(step=self.step + 1, first=first, recent=(*self.recent, loss)[-window:])


def fingerprint(texts: Iterable[str], arrays: Mapping[str, NDArray[np.generic]], weights: Mapping[str, Tensor]) -> str:
    """A hash of all that decides a run: settings, data and first weights."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode())
    for name, array in (*arrays.items(), *((name, tensor.cpu().numpy()) for name, tensor in weights.items())):
        digest.update(f"{name}{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, run: str) -> None:
    """Write the state after a step; `run` is the run's fingerprint."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        tensors |= {f"optimizer/{key}/{name}": value for key, value in optimizer.state[parameter].items()}
    header = {"format": FORMAT, "run": run, "progress": msgspec.json.encode(progress).decode()}
    write_tensors(path, tensors, header)


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, run: str) -> Progress:
    """Put model and optimiser into the state of a checkpoint.

    Raises
    ------
    CheckpointError
        If the checkpoint is of a run with other settings, data or first weights.
    """
    tensors, header = read_tensors(path)
    if header.get("format") != FORMAT or header.get("run") != run:
        raise CheckpointError(
            f"{path} is a checkpoint of another run (other settings, data or first weights);"
            " delete it to start anew, or give this run a path of its own"
        )
    prefix = "model/"
    model.load_state_dict({name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)})
    parameters = dict(model.named_parameters())
    for full_name, value in tensors.items():
        kind, _, rest = full_name.partition("/")
        if kind == "optimizer":
            key, _, name = rest.partition("/")
            parameter = parameters[name]
            optimizer.state[parameter][key] = value if key == "step" else value.to(parameter.device)
    return msgspec.json.decode(header["progress"], type=Progress)
