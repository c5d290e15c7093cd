"""The training loop of the encoder and the reranker (torch)."""

import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from mlx_backends.bundled.training import common
from mlx_backends.bundled.training.run import Run

# Steps before the clock starts: the first ones compile.
_UNTIMED_STEPS = 5


def run_loop(
    run: Run,
    what: str,
    *,
    feed: common.Feed,
    optimizer: common.Optimizer,
    loss_of: Callable[[tuple[Tensor, ...]], Tensor],
    evaluate: Callable[[], dict[str, float]],
) -> None:
    """Step until the time is up, with an evaluation now and then and at the end.

    Args:
        run: Budget, and where the log goes.
        what: Name of the log.
        feed: Source of batches; stopped at the end.
        optimizer: Steps on the gradients of the loss.
        loss_of: Loss of a batch.
        evaluate: Figures for the log.
    """
    step, started, evaluated, average = 0, None, 0.0, 0.0
    while True:
        elapsed = 0.0 if started is None else time.time() - started
        if elapsed >= run.seconds:
            break
        loss = loss_of(feed.next())
        loss.backward()
        optimizer.step(common.schedule(step, elapsed / run.seconds))
        step += 1
        if step % 10 == 0:
            average = 0.8 * average + 0.2 * loss.item() if average else loss.item()
        if started is None and step == _UNTIMED_STEPS:
            started = time.time()
        if elapsed - evaluated > run.eval_every_s:
            evaluated = elapsed
            run.log(what, _row(step, elapsed, average, feed) | evaluate())
    feed.stop()
    run.log(what, _row(step, elapsed, average, feed) | evaluate())


def _row(step: int, elapsed: float, loss: float, feed: common.Feed) -> dict[str, float]:
    return {
        "s": round(elapsed),
        "step": step,
        "loss": round(loss, 4),
        "fresh": feed.fresh,
        "reused": feed.reused,
    }


def load_weights(folder: Path, name: str) -> dict[str, Tensor]:
    """Read what `save_weights` wrote, or else a model folder that ships, as float32."""
    from safetensors.torch import load_file

    path = folder / f"{name}.safetensors"
    path = path if path.is_file() else folder / "model.safetensors"
    return {name: tensor.float() for name, tensor in load_file(path).items()}


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's parameters as float16."""
    from safetensors.torch import save_file

    state = {name: p.detach().half().cpu().contiguous() for name, p in model.named_parameters()}
    save_file(state, path)
