"""What both training loops share: optimizer, schedule, workers and fake quantization (torch)."""

import contextlib
import gc
import math
import multiprocessing
import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


class Muon:
    """Momentum with orthogonalised updates for matrices; equal shapes are stacked into one batch.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks". The scale
    ``0.2 * sqrt(max(rows, columns))`` matches the update size of AdamW (Liu et al. 2025,
    arXiv:2502.16982).
    """

    def __init__(
        self, parameters: list[nn.Parameter], *, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        groups: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in parameters:
            groups.setdefault(parameter.shape, []).append(parameter)
        self.groups = list(groups.values())
        self.buffers = [torch.zeros_like(torch.stack(list(group))) for group in self.groups]
        self.momentum, self.decay = momentum, decay

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for group, buffer in zip(self.groups, self.buffers, strict=True):
            gradient = torch.stack([p.grad for p in group])
            buffer.lerp_(gradient, 1 - self.momentum)
            update = orthogonalize(gradient.lerp(buffer, self.momentum))
            scale = 0.2 * math.sqrt(max(update.shape[-2:]))
            torch._foreach_mul_(group, 1 - rate * self.decay)
            torch._foreach_add_(
                group, list(update.to(group[0].dtype).unbind()), alpha=-rate * scale
            )


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """Push the singular values of a batch of matrices towards 1 (Newton-Schulz).

    In bfloat16 on CUDA, which multiplies it fastest; elsewhere it is the slower type, so the given
    one stays.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    transposed = x.shape[-2] > x.shape[-1]
    if transposed:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if transposed else x


class Optimizer:
    """Muon for hidden matrices, AdamW for everything else."""

    def __init__(self, model: nn.Module, *, muon_rate: float, adam_rate: float) -> None:
        named = list(model.named_parameters())
        hidden = [p for name, p in named if p.dim() == 2 and "embed" not in name]
        other = [p for name, p in named if not (p.dim() == 2 and "embed" not in name)]
        self.muon = Muon(hidden)
        fused = other[0].is_cuda
        self.adam = torch.optim.AdamW(
            other, lr=adam_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=fused
        )
        self.muon_rate, self.adam_rate = muon_rate, adam_rate
        self.parameters = [p for _, p in named]
        self.skipped = 0

    def step(self, scale: float) -> None:
        """Clip, step and clear the gradients, or skip a step that is not finite; `scale` comes from `schedule`."""
        norm = nn.utils.clip_grad_norm_(self.parameters, 1.0)
        if not torch.isfinite(norm):
            for parameter in self.parameters:
                parameter.grad = None
            self.skipped += 1
            return
        self.muon.step(self.muon_rate * scale)
        for group in self.adam.param_groups:
            group["lr"] = self.adam_rate * scale
        self.adam.step()
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        """What goes on in a later run; momentum in bfloat16."""
        return {"muon": [b.bfloat16() for b in self.muon.buffers], "adam": self.adam.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for buffer, saved in zip(self.muon.buffers, state["muon"], strict=True):
            buffer.copy_(saved)
        self.adam.load_state_dict(state["adam"])


def schedule(step: int, progress: float, *, warmup: int = 150, decay: float = 0.4) -> float:
    """Rate factor: linear warm-up, flat, linear decay over the last part."""
    return min(1.0, (step + 1) / warmup) * min(1.0, max(0.01, (1 - progress) / decay))


def fake_quantize(
    parameters: list[nn.Parameter], bits: int = 4, group_size: int = 64
) -> list[Tensor]:
    """Round weights as MLX's affine quantization does; return what they were.

    Source: the formula of `mlx.core.quantize`, mode "affine".
    """
    saved = [p.detach().clone() for p in parameters]
    flat = torch.cat([p.detach().reshape(-1, group_size) for p in parameters]).bfloat16().float()
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    levels = 2**bits - 1
    scale = ((high - low) / levels).clamp_min(1e-7)
    from_low = low.abs() > high.abs()
    scale = torch.where(from_low, scale, -scale)
    edge = torch.where(from_low, low, high)
    zero = torch.round(edge / scale)
    scale = torch.where(zero != 0, edge / zero, scale)
    bias = torch.where(zero != 0, edge, torch.zeros_like(edge))  # a bfloat16 already
    # MLX chooses the level by the exact scale and stores the scale in the type of the weights.
    levels_of = torch.round((flat - bias) / scale).clamp(0, levels)
    rounded = levels_of * scale.bfloat16().float() + bias
    start = 0
    with torch.no_grad():
        for parameter in parameters:
            count = parameter.numel() // group_size
            parameter.copy_(rounded[start : start + count].view_as(parameter))
            start += count
    return saved


def restore(parameters: list[nn.Parameter], saved: list[Tensor]) -> None:
    """Undo `fake_quantize`, so that the step updates the exact weights."""
    with torch.no_grad():
        torch._foreach_copy_(parameters, saved)


class Feed:
    """Batches from worker processes, copied to the device ahead of use.

    Args:
        make: Called in each worker with its seed and a shared progress value; yields tuples of arrays.
        workers: Number of processes.
        device: Where the tensors go.
        max_uses: How often a batch may be used when the workers are behind.
        seed: Of the first worker; the others count on from it.
        progress: What the shared progress value starts with.
    """

    def __init__(
        self,
        make: Callable[[int, Any], Iterator[tuple]],
        *,
        workers: int,
        device: str,
        max_uses: int = 3,
        seed: int = 0,
        progress: float = 0.0,
    ) -> None:
        context = multiprocessing.get_context("fork")
        gc.freeze()  # the workers share what is there, and their collections pass over it
        self.progress = context.Value("d", progress)
        self._queue = context.Queue(96)
        self._processes = [
            context.Process(
                target=_work, args=(make, seed + 1000 + i, self.progress, self._queue), daemon=True
            )
            for i in range(workers)
        ]
        for process in self._processes:
            process.start()
        self.device = device
        self.fresh = self.reused = 0
        self._ready: queue.Queue = queue.Queue(12)
        self._old: deque[list] = deque(maxlen=256)
        self._max_uses = max_uses
        threading.Thread(target=self._pump, daemon=True).start()

    def next(self) -> tuple[Tensor, ...]:
        """Return a batch: a new one, or an old one again while the workers are behind.

        Raises:
            RuntimeError: A new one is needed and every worker has failed.
        """
        try:
            batch = self._ready.get_nowait()
        except queue.Empty:
            if len(self._old) >= 64:
                entry = random.choice(self._old)
                if entry[1] < self._max_uses:
                    entry[1] += 1
                    self.reused += 1
                    return entry[0]
            batch = self._wait()
        self.fresh += 1
        self._old.append([batch, 1])
        return batch

    def stop(self) -> None:
        for process in self._processes:
            process.kill()

    def _wait(self) -> tuple[Tensor, ...]:
        while any(process.is_alive() for process in self._processes):
            with contextlib.suppress(queue.Empty):
                return self._ready.get(timeout=1)
        raise RuntimeError("Every data worker has failed; their errors stand above.")

    def _pump(self) -> None:
        while True:
            arrays = self._queue.get()
            tensors = [torch.from_numpy(array) for array in arrays]
            if self.device != "cpu":
                tensors = [t.pin_memory().to(self.device, non_blocking=True) for t in tensors]
            self._ready.put(tuple(tensors))


def _work(make: Callable, seed: int, progress: Any, target: Any) -> None:
    torch.set_num_threads(1)
    for batch in make(seed, progress):
        target.put(batch)
