"""The training loop of the chat model.

`python -m mlx_backends.bundled.train lm` calls `train`. One process feeds the device; the others
generate text. Progress is a share of the wall-clock budget, so that the same command runs longer.
Now and then, and at the end, it measures itself and writes a checkpoint that can be resumed.
"""

import time
from functools import partial

import torch
from tokenizers import Tokenizer
from torch import Tensor

from mlx_backends.bundled.training import common
from mlx_backends.bundled.training.generator import Corpus
from mlx_backends.bundled.training.lm import checkpoint
from mlx_backends.bundled.training.lm.batches import Encoded, batches
from mlx_backends.bundled.training.lm.evaluation import evaluation_sets, exact_match
from mlx_backends.bundled.training.lm.model import LanguageModel, after_attention, before_attention
from mlx_backends.bundled.training.lm.peers import Peers, launch
from mlx_backends.bundled.training.lm.rounding import Rounding
from mlx_backends.bundled.training.run import Run
from mlx_backends.bundled.training.shapes import LmConfig

_WARM_STEPS = 5  # compiled and not timed


def train(run: Run, config: LmConfig = LmConfig()) -> None:  # noqa: B008
    """Train and write a checkpoint and `lm.log.jsonl` to `run.out`."""
    launch(partial(_train, run=run, config=config), run.gpus)


def _train(peers: Peers, run: Run, config: LmConfig) -> None:
    began = time.time()
    torch.manual_seed(run.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer.from_file(str(run.folder / "tokenizer.json"))
    feed = _feed(run, peers, tokenizer)
    peers.join()
    sets = evaluation_sets(run.folder, run.eval_items) if peers.rank == 0 else {}
    model = _model(run, config)
    optimizer = common.Optimizer(model, muon_rate=run.muon_rate, adam_rate=run.adam_rate)
    if run.resume:
        checkpoint.load_optimizer(optimizer, run.resume)
    rounding = Rounding(model)
    encode = Encoded(tokenizer)
    if peers.rank == 0:
        size = sum(p.numel() for p in model.parameters())
        run.log("lm", {"parameters": size, "tokens_per_step": run.tokens * peers.count})
    step, started, evaluated, average = 0, 0.0, 0.0, 0.0
    while True:
        elapsed = time.time() - started if started else 0.0
        progress = peers.agree(
            elapsed / max(1.0, run.seconds - (started - began)) if started else 0.0
        )
        if progress >= 1:
            break
        feed.progress.value = 1.0 if run.resume else progress
        answer_loss = _step(run, peers, model, optimizer, rounding, feed.next(), step, progress)
        step += 1
        if step % 10 == 0:
            average = 0.8 * (average or answer_loss.item()) + 0.2 * answer_loss.item()
        if step == _WARM_STEPS:
            started = time.time()
        if peers.rank == 0 and elapsed - evaluated > run.eval_every_s:
            evaluated = elapsed
            checkpoint.save(model, optimizer, run.out)  # what is left if the machine goes away
            _report(run, model, encode, sets, feed, step, elapsed, average, optimizer.skipped)
    feed.stop()
    if peers.rank == 0:
        checkpoint.save(model, optimizer, run.out)
        rounding.apply()
        _report(run, model, encode, sets, feed, step, elapsed, average, optimizer.skipped)


def _feed(run: Run, peers: Peers, tokenizer: Tokenizer) -> common.Feed:
    """Start the processes that generate text."""
    corpus = Corpus.load(run.folder / "prose.json.gz", held_out=False)
    return common.Feed(
        lambda seed, progress: batches(
            seed, progress, tokenizer=tokenizer, corpus=corpus, tokens=run.tokens
        ),
        workers=max(1, run.workers // peers.count),
        device=run.device,
        seed=run.seed + 1_000_000 * peers.rank,
        progress=1.0 if run.resume else 0.0,
    )


def _model(run: Run, config: LmConfig) -> LanguageModel:
    model = LanguageModel(config)
    if run.resume:
        checkpoint.load_weights(model, run.resume)
    model = model.to(run.device)
    if run.device != "cpu":
        model.compile_parts()
    return model


def _step(
    run: Run,
    peers: Peers,
    model: LanguageModel,
    optimizer: common.Optimizer,
    rounding: Rounding,
    batch: tuple[Tensor, ...],
    step: int,
    progress: float,
) -> Tensor:
    """Train on one batch; return the loss on answer tokens."""
    ids, kinds = batch
    if progress >= run.quantize_from:
        rounding.apply()
    context_weight = torch.tensor(max(0.03, 0.12 * (1 - 2 * progress)), device=run.device)
    with torch.autocast(run.device, torch.bfloat16, enabled=run.device != "cpu"):
        loss, answer_loss = model.loss(ids.long(), kinds.clone(), context_weight)
    loss.backward()
    rounding.undo()
    peers.average(optimizer.parameters)
    optimizer.step(common.schedule(step, progress))
    return answer_loss


def _report(
    run: Run,
    model: LanguageModel,
    encode: Encoded,
    sets: dict,
    feed: common.Feed,
    step: int,
    elapsed: float,
    loss: float,
    skipped: int,
) -> None:
    with torch.autocast(run.device, torch.bfloat16, enabled=run.device != "cpu"):
        eager = model.before, model.after
        model.before, model.after = before_attention, after_attention
        scores = {
            name: round(exact_match(model, encode, texts, run.device), 3)
            for name, texts in sets.items()
        }
        model.before, model.after = eager
    row = {
        "s": round(elapsed),
        "step": step,
        "Mtok": round(step * run.tokens * run.gpus / 1e6, 1),
        "loss": round(loss, 4),
    }
    run.log("lm", row | scores | {"fresh": feed.fresh, "reused": feed.reused, "skipped": skipped})
