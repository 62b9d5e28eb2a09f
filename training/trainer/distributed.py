"""Distributed training: the processes that train one model together, under `accelerate launch`.

Without `accelerate launch` there is one process, and every method does nothing. Knows processes and where tensors are,
not what is trained. Each process takes its part of every step's lists, and gradients are averaged: by DDP, where each
process holds the whole model, or by FSDP2, where each holds a slice of every weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from training.data.lists import CandidateList

Objective = Callable[[Sequence[CandidateList]], Tensor]
"""Lists to a scalar loss of the model that the objective was made for."""

TIMEOUT = timedelta(days=2)
"""How long processes wait for one that works alone before they count it as dead."""


@dataclass(frozen=True)
class ProcessGroup:
    """All processes of a launch, as one of them sees them; a single process without an accelerator."""

    accelerator: Accelerator | None = None

    @property
    def size(self) -> int:
        return int(self.accelerator.num_processes) if self.accelerator else 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.accelerator is None or bool(self.accelerator.is_main_process)

    @property
    def is_sharded(self) -> bool:
        """Whether each process holds a slice of the weights."""
        return self.accelerator is not None and bool(self.accelerator.is_fsdp2)

    def wait(self) -> None:
        """Block until every process has called this."""
        if self.accelerator:
            self.accelerator.wait_for_everyone()

    def part(self, lists: Sequence[CandidateList]) -> Sequence[CandidateList]:
        """The part of this process. Neighbouring lists have similar lengths and go to different processes."""
        return lists[self.accelerator.process_index :: self.size] if self.accelerator else lists

    def mean(self, value: Tensor) -> float:
        """The mean of a scalar over the processes."""
        return float((self.accelerator.reduce(value, "mean") if self.accelerator else value).item())

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor over the processes."""
        summed: Tensor = self.accelerator.reduce(values, "sum") if self.accelerator else values
        return summed

    def prepare(self, model: nn.Module, objective: Objective, optimizer: Optimizer) -> Objective:
        """`objective` with gradients of `model` averaged over the processes in the backward pass.

        Sharding changes the model itself, and the parameters that `optimizer` updates.
        """
        if not self.accelerator:
            return objective
        prepared: Objective = self.accelerator.prepare(_ObjectiveModule(model, objective), optimizer)[0]
        return prepared


SINGLE_PROCESS = ProcessGroup()


def launched() -> ProcessGroup:
    """The group that this process was launched in; SINGLE_PROCESS without `accelerate launch`."""
    timeout = InitProcessGroupKwargs(timeout=TIMEOUT)
    # An objective may leave parameters unused in one step and use them in the next.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    # Objectives choose the precision of their products: see `training.trainer.precision`.
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[timeout, unused])
    return ProcessGroup(accelerator) if accelerator.num_processes > 1 else SINGLE_PROCESS


class _ObjectiveModule(nn.Module):
    """The objective as the forward pass of a module, because DDP and FSDP2 wrap modules only."""

    def __init__(self, model: nn.Module, objective: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        # Each of these gets its own shard group; the model too, so that it can be called by itself.
        self._no_split_modules = [type(model).__name__, *getattr(model, "layer_classes", ())]

    def forward(self, *arguments: object) -> Tensor:
        return self.objective(*arguments)


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of a model without its frozen parameters, which stay where they were loaded from."""
    parameters = model.named_parameters(remove_duplicate=False)  # a tied parameter has two names
    frozen = {name for name, parameter in parameters if not parameter.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def full_state(state: dict[Any, Any]) -> dict[Any, Any]:
    """A tree of dicts with full tensors in place of this process's slices. Every process must call it."""
    return {key: full_state(value) if isinstance(value, dict) else _full(value) for key, value in state.items()}


def _full(value: object) -> object:
    return value.full_tensor() if isinstance(value, DTensor) else value


@torch.no_grad()
def load_full_state(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy full tensors into a model, of which each process keeps its slices. Every process must call it."""
    own = model.state_dict()
    for name, tensor in state.items():
        own[name].copy_(_sliced({"": tensor}, own[name])[""])


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load a full state, of which each process keeps its slices. Every process must call it."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    slices = {index: _sliced(value, parameters[index]) for index, value in state["state"].items()}
    optimizer.load_state_dict({**state, "state": slices})


def _sliced(moments: dict[str, Tensor], parameter: Tensor) -> dict[str, Tensor]:
    if not isinstance(parameter, DTensor):
        return moments
    mesh, placements = parameter.device_mesh, parameter.placements
    return {
        name: distribute_tensor(value.to(parameter.device), mesh, placements)
        if value.shape == parameter.shape
        else value
        for name, value in moments.items()
    }
