"""The processes that train one model together, under `accelerate launch`; without it there is one, and no more to it.

Knows processes and where tensors lie, not what is trained. Each process has its share of every step's lists, and
gradients are averaged: by DDP, where each holds the whole model, or by FSDP2, where each holds a slice of every weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from training.data.lists import CandidateList

Objective = Callable[[Sequence[CandidateList]], Tensor]
"""Lists to a scalar loss of the model that the objective was made for."""

PATIENCE = timedelta(days=2)
"""How long processes wait for one that works alone, before they take it for dead."""


@dataclass(frozen=True)
class ProcessGroup:
    """All processes of a launch, as one of them sees them; alone without an accelerator."""

    accelerator: Accelerator | None = None

    @property
    def size(self) -> int:
        """How many processes there are."""
        return int(self.accelerator.num_processes) if self.accelerator else 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.accelerator is None or bool(self.accelerator.is_main_process)

    @property
    def shards(self) -> bool:
        """Whether each process holds a slice of the weights."""
        return self.accelerator is not None and bool(self.accelerator.is_fsdp2)

    def wait(self) -> None:
        """Until every process has come here."""
        if self.accelerator:
            self.accelerator.wait_for_everyone()

    def share(self, lists: Sequence[CandidateList]) -> Sequence[CandidateList]:
        """The part of this process; lists that lie side by side are alike in length and go to different processes."""
        return lists[self.accelerator.process_index :: self.size] if self.accelerator else lists

    def mean(self, value: Tensor) -> float:
        """The mean of a scalar over the processes."""
        return float((self.accelerator.reduce(value, "mean") if self.accelerator else value).item())

    def join(self, model: nn.Module, objective: Objective, optimiser: Optimizer) -> Objective:
        """`objective`, of which a backward pass averages the gradients of `model` over the processes.

        The model itself is changed where it is sharded, and so are the parameters that `optimiser` moves.
        """
        if not self.accelerator:
            return objective
        joined: Objective = self.accelerator.prepare(_Joined(model, objective), optimiser)[0]
        return joined


SINGLE_PROCESS = ProcessGroup()


def launched() -> ProcessGroup:
    """The team that this process was launched in: ALONE without `accelerate launch`."""
    waits = InitProcessGroupKwargs(timeout=PATIENCE)
    # What an objective does not use in one step, it may use in the next.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    # In which precision products run, the objectives say: `training.trainer.precision`.
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[waits, unused])
    return ProcessGroup(accelerator) if accelerator.num_processes > 1 else SINGLE_PROCESS


class _Joined(nn.Module):
    """The objective as a module whose forward pass it is, for DDP and FSDP2 work on those alone."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        # Each gets a shard group of its own; the model as well, so that it can be called by itself.
        self._no_split_modules = [type(model).__name__, *getattr(model, "layer_classes", ())]

    def forward(self, lists: Sequence[CandidateList]) -> Tensor:
        return self.objective(lists)


def learnt_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of a model without what is frozen in it, which is where it came from."""
    parameters = model.named_parameters(remove_duplicate=False)  # a tied one has two names
    frozen = {name for name, parameter in parameters if not parameter.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def whole(state: dict[Any, Any]) -> dict[Any, Any]:
    """A tree of dicts with whole tensors in place of this process's slices. Every process must call it."""
    return {key: whole(value) if isinstance(value, dict) else _whole(value) for key, value in state.items()}


def _whole(value: object) -> object:
    return value.full_tensor() if isinstance(value, DTensor) else value


def load_optimiser(optimiser: Optimizer, state: dict[str, Any]) -> None:
    """Give an optimiser its whole state, of which it takes this process's slices. Every process must call it."""
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    slices = {index: _sliced(value, parameters[index]) for index, value in state["state"].items()}
    optimiser.load_state_dict({**state, "state": slices})


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
