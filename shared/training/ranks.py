"""The processes that train one network together: who does what share of a step, and what they agree on.

A single process is the case of one rank, and then nothing here costs anything. Every rank runs the same program; where
a clock or a file could lead two of them on different ways, the word of rank 0 counts for all.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import LaunchError
from shared.training import norms
from shared.training.backbones import torch
from shared.tuning import Launch, Tuning


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: Its number.
        world: How many there are.
        local_world: How many of them are on this machine.
        device: Where its share of the network is.
        how: What is shared and what is repeated.
        agent: Number of the process that watches over this one; with it gone, so is the training.
    """

    rank: int = 0
    world: int = 1
    local_world: int = 1
    device: Any = field(default_factory=lambda: torch.device("cpu"))
    how: Launch = field(default_factory=Launch)
    agent: int = 0

    @property
    def sharded(self) -> bool:
        """Whether no rank has the whole network."""
        return self.world > 1 and self.how.sharding != "none"

    @property
    def bfloat16(self) -> bool:
        """Whether steps compute in it: where there is an accelerator; on a CPU it is slower than float32."""
        return self.device.type != "cpu" and self.how.precision == "float32"

    def now(self) -> float:
        """``time.monotonic()`` of rank 0, so that all see the time run out at the same place.

        Raises:
            LaunchError: The process that started this one is gone.
        """
        if self.agent and os.getppid() != self.agent:
            raise LaunchError("the process that started this one is gone; the training ends here")
        return float(self._from_first([time.monotonic()])[0]) if self.world > 1 else time.monotonic()

    def total(self, value: Any) -> float:
        """Sum of a number over the ranks."""
        if self.world == 1:
            return float(value)
        summed = torch.tensor([float(value)], dtype=torch.float64)
        torch.distributed.all_reduce(summed)
        return float(summed)

    def agreed(self, said: Any) -> Any:
        """What rank 0 says, on every rank; anything that JSON can hold."""
        if self.world == 1:
            return said
        text = json.dumps(said).encode()
        length = int(self._from_first([len(text)])[0])
        letters = torch.zeros(length, dtype=torch.uint8)
        if self.rank == 0:
            letters = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        torch.distributed.broadcast(letters, 0)
        return json.loads(bytes(letters.numpy()))

    def own(self, count: int, rank: int | None = None) -> range:
        """The share of one rank of ``count`` things in a row: shares differ by one thing at most."""
        rank = self.rank if rank is None else rank
        less, more = divmod(count, self.world)
        start = rank * less + min(rank, more)
        return range(start, start + less + (rank < more))

    def passes(self, count: int) -> list[range]:
        """This rank's share of a batch of ``count`` images, in as many passes as every other rank makes.

        A pass may be empty where there are fewer images than ranks.
        """
        own, most = self.own(count), len(self.own(count, 0))
        number = max(1, -(-most // (self.how.micro_batch or most or 1)))
        cuts = [own.start + len(own) * i // number for i in range(number + 1)]
        return [range(a, b) for a, b in pairwise(cuts)]

    def joined(self, rows: NDArray[np.float64], count: int, block: int) -> NDArray[np.float64]:
        """All rows in order, from those of each rank; ``count`` things were shared ``block`` by ``block``.

        Args:
            rows: ``(own, columns)`` of this rank, block after block.
            count: Number of all rows.
            block: Rows that were divided among the ranks at a time, the last block excepted.

        Returns:
            ``(count, columns)``.
        """
        if self.world == 1:
            return rows
        shares = [[*self._share_of_blocks(rank, count, block)] for rank in range(self.world)]
        padded = torch.zeros(max(map(len, shares)), rows.shape[1], dtype=torch.float64)
        padded[: len(rows)] = torch.from_numpy(rows)
        gathered = [torch.empty_like(padded) for _ in shares]
        torch.distributed.all_gather(gathered, padded)
        result = np.empty((count, rows.shape[1]))
        for share, part in zip(shares, gathered, strict=True):
            result[share] = part[: len(share)].numpy()
        return result

    def spread(self, learner: Any, average: Any, tuning: Tuning, size: int) -> Any:
        """Make a network that learns one of all ranks, and its moving average with it.

        Args:
            learner: A :class:`shared.training.tunable.Tunable`, the same on every rank; changed in place.
            average: Its moving average; changed in place.
            tuning: Says whether batch normalisation learns its statistics, which then are those of all ranks.
            size: Side of the images in pixels.

        Returns:
            What to call for scores in a training step.
        """
        learner.to(self.device)
        average.to(self.device)
        if self.how.checkpointing:
            # timm's are non-reentrant, which is what composes with the engines below.
            learner.net.model.set_grad_checkpointing(True)
        if self.world == 1:
            return learner
        _freeze_unused(learner, size)
        if not tuning.freeze_norm:
            norms.synchronise(learner.net, self.device)
        if not self.sharded:
            only = [self.device.index] if self.device.type == "cuda" else None
            return torch.nn.parallel.DistributedDataParallel(
                learner, device_ids=only, broadcast_buffers=False, gradient_as_bucket_view=True
            )
        for module in (learner, average):
            self._shard(module)
        return learner

    def passing(self, forward: Any, *, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward of one pass: gradients are summed over the ranks in a step's last pass only."""
        if hasattr(forward, "no_sync"):
            quiet: AbstractContextManager[Any] = nullcontext() if last else forward.no_sync()
            return quiet
        if hasattr(forward, "set_requires_gradient_sync"):
            forward.set_requires_gradient_sync(last)
        return nullcontext()

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Around a forward pass of a training step."""
        if not self.bfloat16:
            return nullcontext()
        cast: AbstractContextManager[Any] = torch.autocast(self.device.type, torch.bfloat16)
        return cast

    def settle(self) -> None:
        """Wait until the device has done what it was told, before a time is taken."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def check_same(self, what: str, value: Any) -> None:
        """Refuse to go on where a rank found something else than rank 0.

        Raises:
            LaunchError: It did; raised on every rank.
        """
        if self.total(self.agreed(value) != value):
            raise LaunchError(
                f"{what} is not the same for all processes; put the cache on a file system that all machines share"
            )

    def _from_first(self, numbers: Sequence[float]) -> Any:
        told = torch.tensor(numbers, dtype=torch.float64)
        torch.distributed.broadcast(told, 0)
        return told

    def _share_of_blocks(self, rank: int, count: int, block: int) -> Iterator[int]:
        for start in range(0, count, block):
            yield from (start + i for i in self.own(min(block, count - start), rank))

    def _shard(self, module: Any) -> None:
        """FSDP2 on each block of the backbone, then on what is left."""
        from torch.distributed.fsdp import fully_shard

        module.format = torch.contiguous_format  # weights in channels_last cannot be divided
        module.to(memory_format=module.format)
        mesh = self._mesh()
        for block in _blocks(module.net.model):
            fully_shard(block, mesh=mesh)
        fully_shard(module, mesh=mesh)

    def _mesh(self) -> Any:
        from torch.distributed.device_mesh import init_device_mesh

        if self.how.sharding == "full":
            return init_device_mesh(self.device.type, (self.world,))
        replicas = self.how.replicas or self.world // self.local_world
        if self.world % replicas:
            raise LaunchError(f"launch.replicas is {replicas}, which does not divide {self.world} processes")
        names = ("replicate", "shard")
        return init_device_mesh(self.device.type, (replicas, self.world // replicas), mesh_dim_names=names)


ALONE = Ranks()
"""One process, as if nothing of this existed."""


def whole(tensor: Any) -> Any:
    """A copy of a tensor on the CPU, put together where ranks share it; then every rank has to ask."""
    tensor = tensor.detach()
    tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return tensor.clone() if tensor.device.type == "cpu" else tensor.cpu()


def like(tensor: Any, value: Any) -> Any:
    """A whole tensor on the device of another one, and shared among the ranks as that one is."""
    if not hasattr(tensor, "full_tensor"):
        return value.to(tensor.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)


def put(module: Any, state: Any) -> None:
    """Load whole weights into a network, shared among ranks or not."""
    module.load_state_dict({name: like(tensor, state[name]) for name, tensor in module.state_dict().items()})


def moments(learner: Any, optimiser: Any) -> dict[str, Any]:
    """An optimiser's memory, whole, as ``parameter/quantity`` to tensor."""
    names = {parameter: name for name, parameter in learner.named_parameters()}
    return {
        f"{names[parameter]}/{key}": whole(value)
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
    }


def put_moments(learner: Any, optimiser: Any, known: Any) -> None:
    """Give an optimiser its memory back."""
    parameters = dict(learner.named_parameters())
    for name, value in known.items():
        parameter, key = name.rsplit("/", 1)
        target = parameters[parameter]
        # The number of steps is counted on the CPU.
        optimiser.state[target][key] = like(target, value) if value.shape == target.shape else value.clone()


def _blocks(model: Any) -> list[Any]:
    """Blocks of a timm network, in order; those of a row within a row, since checkpoints go around them."""
    rows = (torch.nn.Sequential, torch.nn.ModuleList)
    inner = [block for part in model.children() if isinstance(part, rows) for block in part]
    while any(isinstance(block, rows) for block in inner):
        inner = [deeper for block in inner for deeper in (block if isinstance(block, rows) else [block])]
    return [block for block in inner if any(True for _ in block.parameters())]


def _freeze_unused(learner: Any, size: int) -> None:
    """Parameters that no score depends on, such as a classifier's, get no gradient, and the engines wait for each."""
    learner.eval()
    blank = torch.zeros(2, 3, size, size, dtype=torch.uint8, device=learner.shift.device)
    learner(blank).sum().backward()
    for parameter in learner.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None
