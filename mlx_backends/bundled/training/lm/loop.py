"""The training loop of the chat model.

`python -m mlx_backends.bundled.train lm` calls `train`. One process feeds the device; the others
generate text. Progress is a share of the wall-clock budget, so that the same command runs longer.
"""

import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from mlx_backends.bundled.training import common
from mlx_backends.bundled.training.generator import Corpus
from mlx_backends.bundled.training.lm.batches import Encoded, batches
from mlx_backends.bundled.training.lm.evaluation import evaluation_sets, exact_match
from mlx_backends.bundled.training.lm.model import LanguageModel, after_attention, before_attention
from mlx_backends.bundled.training.run import Run
from mlx_backends.bundled.training.shapes import LmConfig


def train(run: Run, config: LmConfig = LmConfig()) -> None:  # noqa: B008
    """Train and write `lm-0.safetensors`, `lm-1.safetensors` and `lm.log.jsonl` to `run.out`."""
    torch.manual_seed(run.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer.from_file(str(run.folder / "tokenizer.json"))
    corpus = Corpus.load(run.folder / "prose.json.gz", held_out=False)
    feed = common.Feed(
        lambda seed, progress: batches(
            seed, progress, tokenizer=tokenizer, corpus=corpus, tokens=run.tokens
        ),
        workers=run.workers,
        device=run.device,
        seed=run.seed,
    )
    if run.resume:
        feed.progress.value = 1.0
    sets = evaluation_sets(run.folder, run.eval_items)
    model = LanguageModel(config)
    if run.resume:
        _load(model, run.resume)
    model = model.to(run.device)
    if run.device != "cpu":
        model.compile_parts()
    optimizer = common.Optimizer(model, muon_rate=run.muon_rate, adam_rate=run.adam_rate)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    run.log(
        "lm",
        {"parameters": sum(p.numel() for p in model.parameters()), "tokens_per_step": run.tokens},
    )
    encode = Encoded(tokenizer)
    step, started, evaluated, average = 0, None, 0.0, 0.0
    while True:
        progress = 0.0 if started is None else (time.time() - started) / run.seconds
        if progress >= 1:
            break
        feed.progress.value = 1.0 if run.resume else progress
        ids, kinds = feed.next()
        quantized = progress >= run.quantize_from
        saved = common.fake_quantize(matrices) if quantized else []
        context_weight = torch.tensor(max(0.03, 0.12 * (1 - 2 * progress)), device=run.device)
        with torch.autocast(run.device, torch.bfloat16, enabled=run.device != "cpu"):
            loss, answer_loss = model.loss(ids.long(), kinds.clone(), context_weight)
        loss.backward()
        if quantized:
            common.restore(matrices, saved)
        optimizer.step(common.schedule(step, progress))
        step += 1
        if step % 10 == 0:
            average = (
                answer_loss.item() if not average else 0.8 * average + 0.2 * answer_loss.item()
            )
        if started is None and step == 5:
            started = time.time()
        elapsed = time.time() - (started or time.time())
        if elapsed - evaluated > run.eval_every_s:
            evaluated = elapsed
            _report(run, model, encode, sets, feed, step, elapsed, average)
    _save(model, run.out)
    feed.stop()
    saved = common.fake_quantize(matrices)
    _report(run, model, encode, sets, feed, step, time.time() - (started or 0), average)


def _report(
    run: Run,
    model: LanguageModel,
    encode: Encoded,
    sets: dict,
    feed: common.Feed,
    step: int,
    elapsed: float,
    loss: float,
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
        "Mtok": round(step * run.tokens / 1e6, 1),
        "loss": round(loss, 4),
    }
    run.log("lm", row | scores | {"fresh": feed.fresh, "reused": feed.reused})


def _save(model: LanguageModel, out: Path) -> None:
    """Write the weights in two files, each small enough to travel."""
    from safetensors.torch import save_file

    state = model.state_hf()
    names = sorted(state)
    for part in range(2):
        save_file({name: state[name] for name in names[part::2]}, out / f"lm-{part}.safetensors")


def _load(model: LanguageModel, folder: Path) -> None:
    from safetensors.torch import load_file

    state: dict[str, Tensor] = {}
    for path in sorted(folder.glob("lm-*.safetensors")):
        state |= load_file(path)
    model.load_state_dict(
        {name.removeprefix("model."): tensor.float() for name, tensor in state.items()}
    )
