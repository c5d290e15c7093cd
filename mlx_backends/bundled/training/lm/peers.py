"""Training on several GPUs of one host: each has the whole model and its own batches."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

_PORT = "29517"


@dataclass(frozen=True, slots=True)
class Peers:
    """One of the processes that train together.

    Attributes:
        rank: Which one, from 0.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    def join(self) -> None:
        """Connect the processes; to be called after all forks."""
        if self.count > 1:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _PORT}
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend, rank=self.rank, world_size=self.count)

    def agree(self, value: float) -> float:
        """Return the value of rank 0."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, 0)
        return shared.item()

    def average(self, parameters: list[nn.Parameter]) -> None:
        """Replace each gradient by its mean over all processes."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients]) / self.count
        dist.all_reduce(flat)
        means = flat.split([gradient.numel() for gradient in gradients])
        shaped = [mean.view_as(gradient) for mean, gradient in zip(means, gradients, strict=True)]
        torch._foreach_copy_(gradients, shaped)


def launch(work: Callable[[Peers], None], count: int) -> None:
    """Run `work` in `count` processes, each of which sees one GPU."""
    if count == 1:
        work(Peers())
    else:
        torch.multiprocessing.start_processes(
            _run, args=(work, count), nprocs=count, start_method="spawn"
        )


def _run(rank: int, work: Callable[[Peers], None], count: int) -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = str(rank)
    work(Peers(rank, count))
    dist.destroy_process_group()
