"""Trains the chat model (torch). Weight names and arithmetic are those of Hugging Face's Qwen3.

`python -m mlx_backends.bundled.train lm` calls `main`. One process feeds the device; the others
generate text. Progress is a share of the wall-clock budget, so that the same command runs longer.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from mlx_backends.bundled.training import chatml, common
from mlx_backends.bundled.training.families import HELD_OUT, HELD_OUT_REWORDED
from mlx_backends.bundled.training.generator import (
    Conversation,
    Corpus,
    Generator,
    Item,
    answer_text,
)
from mlx_backends.bundled.training.shapes import LmConfig
from mlx_backends.text.grounding import grounded_messages

BUCKETS = (256, 384, 512, 768, 1024, 1536, 2048, 3072)
PAD, CONTEXT, ANSWER = 0, 1, 2
_EPS = 1e-6


class Attention(nn.Module):
    """Projections and norms of grouped-query attention."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        width, kv_width = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=False)
        self.q_norm = nn.RMSNorm(config.head_dim, eps=_EPS)
        self.k_norm = nn.RMSNorm(config.head_dim, eps=_EPS)


class Mlp(nn.Module):
    """Weights of the gated feed-forward part."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.ffn_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.ffn_size, bias=False)
        self.down_proj = nn.Linear(config.ffn_size, config.hidden_size, bias=False)


class Block(nn.Module):
    """Weights of one layer."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=_EPS)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=_EPS)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def before_attention(
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    norm: Tensor,
    wq: Tensor,
    wk: Tensor,
    wv: Tensor,
    q_norm: Tensor,
    k_norm: Tensor,
) -> tuple[Tensor, ...]:
    """Return queries, keys and values of flat tokens: (tokens, heads, head_dim)."""
    size = q_norm.shape[0]
    h = F.rms_norm(x, norm.shape, norm, _EPS)
    q = F.rms_norm(F.linear(h, wq).view(len(x), -1, size), q_norm.shape, q_norm, _EPS)
    k = F.rms_norm(F.linear(h, wk).view(len(x), -1, size), k_norm.shape, k_norm, _EPS)
    v = F.linear(h, wv).view(len(x), -1, size)
    return _rotate(q, cos, sin).to(v.dtype), _rotate(k, cos, sin).to(v.dtype), v


def after_attention(
    x: Tensor, attended: Tensor, wo: Tensor, norm: Tensor, gate: Tensor, up: Tensor, down: Tensor
) -> Tensor:
    """Add the attention output and the feed-forward part to the residual stream."""
    x = x + F.linear(attended, wo)
    h = F.rms_norm(x, norm.shape, norm, _EPS)
    return x + F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)


def token_loss(
    x: Tensor, weight: Tensor, targets: Tensor, kinds: Tensor, context_weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted loss and the plain loss on answer tokens."""
    logits = F.linear(x, weight)
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    answers = (kinds == ANSWER).float()
    weights = answers + context_weight * (kinds == CONTEXT).float()
    loss = (losses * weights).sum() / weights.sum().clamp_min(1.0)
    return loss, (losses * answers).sum().detach() / answers.sum().clamp_min(1.0)


class LanguageModel(nn.Module):
    """Qwen3 in flat-token form; compiled parts see one shape whatever the batch."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=_EPS)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
        nn.init.normal_(self.embed_tokens.weight, std=0.03)
        half = config.head_dim // 2
        angles = torch.outer(
            torch.arange(config.max_positions).float(),
            config.rope_theta ** (-torch.arange(half).float() / half),
        )
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self.before, self.after, self.loss_of = before_attention, after_attention, token_loss

    def compile_parts(self) -> None:
        """Compile everything but the attention product."""
        self.before = torch.compile(before_attention, dynamic=False)
        self.after = torch.compile(after_attention, dynamic=False)
        self.loss_of = torch.compile(token_loss, dynamic=False)

    def hidden(self, ids: Tensor) -> Tensor:
        """Return the final hidden states, flat: (rows * length, hidden)."""
        rows, length = ids.shape
        config = self.config
        repeats = config.num_heads // config.num_kv_heads
        cos = self.cos[:length].repeat(rows, 1).unsqueeze(1)
        sin = self.sin[:length].repeat(rows, 1).unsqueeze(1)
        x = self.embed_tokens(ids.reshape(-1))
        for block in self.layers:
            heads, mlp = block.self_attn, block.mlp
            q, k, v = self.before(
                x, cos, sin, block.input_layernorm.weight, heads.q_proj.weight, heads.k_proj.weight,
                heads.v_proj.weight, heads.q_norm.weight, heads.k_norm.weight,
            )  # fmt: skip
            q, k, v = (t.view(rows, length, -1, config.head_dim).transpose(1, 2) for t in (q, k, v))
            k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            attended = attended.transpose(1, 2).reshape(rows * length, -1)
            x = self.after(
                x, attended, heads.o_proj.weight, block.post_attention_layernorm.weight,
                mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight,
            )  # fmt: skip
        return self.norm(x)

    def loss(self, ids: Tensor, kinds: Tensor, context_weight: Tensor) -> tuple[Tensor, Tensor]:
        targets = torch.roll(ids, -1, 1).reshape(-1)
        kinds = torch.roll(kinds, -1, 1)
        kinds[:, -1] = PAD
        return self.loss_of(
            self.hidden(ids), self.embed_tokens.weight, targets, kinds.reshape(-1), context_weight
        )

    def state_hf(self) -> dict[str, Tensor]:
        """Return the weights under their Hugging Face names, in bfloat16."""
        return {
            f"model.{name}": p.detach().bfloat16().cpu().contiguous()
            for name, p in self.named_parameters()
        }


# ---------------------------------------------------------------- data


class Encoded:
    """Turns conversations into ids and token kinds."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.start = tokenizer.token_to_id(chatml.IM_START)
        self.end = tokenizer.token_to_id(chatml.IM_END)
        self.role = tokenizer.encode("assistant", add_special_tokens=False).ids
        if len(self.role) != 1:
            raise ValueError("the tokenizer must know 'assistant' as one token")

    def __call__(self, texts: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False):
            ids = np.asarray(encoding.ids, dtype=np.uint16)
            yield ids, self._kinds(ids)

    def _kinds(self, ids: np.ndarray) -> np.ndarray:
        kinds = np.full(len(ids), CONTEXT, dtype=np.uint8)
        starts = np.flatnonzero((ids[:-2] == self.start) & (ids[1:-1] == self.role[0]))
        ends = np.flatnonzero(ids == self.end)
        for begin in starts:
            end = ends[np.searchsorted(ends, begin)]
            kinds[begin + 3 : end + 1] = ANSWER
        return kinds


def batches(
    seed: int, progress: Any, *, tokenizer: Tokenizer, corpus: Corpus, tokens: int
) -> Iterator[tuple]:
    """Yield (ids, kinds) with `tokens` tokens each, in rows of one bucket."""
    generator = Generator(seed, corpus)
    encode = Encoded(tokenizer)
    pools: dict[int, list] = {length: [] for length in BUCKETS}
    while True:
        generator.level = min(1.0, progress.value / 0.5)
        texts = [generator.conversation().text() for _ in range(64)]
        for ids, kinds in encode(texts):
            length = next((b for b in BUCKETS if b >= len(ids)), None)
            if length is None:
                continue
            pool = pools[length]
            pool.append((ids, kinds))
            if len(pool) == tokens // length:
                yield _pad(pool, length)
                pool.clear()


def _pad(pool: list, length: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.zeros((len(pool), length), dtype=np.int32)
    kinds = np.full((len(pool), length), PAD, dtype=np.uint8)
    for row, (row_ids, row_kinds) in enumerate(pool):
        ids[row, : len(row_ids)] = row_ids
        kinds[row, : len(row_ids)] = row_kinds
    return ids, kinds


# ---------------------------------------------------------------- evaluation while training


def _asked(
    generator: Generator, count: int, items: int, *, refuse: bool = False, as_json: bool = False
) -> list[Conversation]:
    result = []
    while len(result) < items:
        context = generator.context(count, real=0.0, filler=0.3)
        found = [item for item in context.items if (item.answer is None) == refuse]
        if found:
            result.append(_single(context.passages, found[0], as_json=as_json))
    return result


def _single(passages: list[str], item: Item, *, as_json: bool = False) -> Conversation:
    question = item.question + (" Answer as JSON." if as_json else "")
    answer = answer_text(item, as_json=as_json)
    return Conversation(
        [*grounded_messages(question, passages), {"role": "assistant", "content": answer}]
    )


def evaluation_sets(folder: Path, items: int) -> dict[str, list[str]]:
    """Make small sets on the evaluation side of every split."""
    corpus = Corpus.load(folder / "prose.json.gz", held_out=True)
    known = Generator(7, corpus, held_out=True)
    unseen = Generator(8, corpus, held_out=True, families=HELD_OUT)
    sets = {f"facts_{n}": _asked(known, n, items) for n in (1, 4, 8, 12)}
    sets["unseen_4"] = _asked(unseen, 4, items)
    reworded = Generator(8, corpus, held_out=True, families=HELD_OUT_REWORDED)
    sets["reworded_4"] = _asked(reworded, 4, items)
    sets["refuse_4"] = _asked(known, 4, items, refuse=True)
    sets["json_4"] = _asked(known, 4, items, as_json=True)
    prose = []
    while len(prose) < items:
        context = known.prose_context(3)
        found = [item for item in context.items if item.answer is not None]
        prose += [_single(context.passages, item) for item in found[:1]]
    sets["prose_3"] = prose
    sets["tool"] = [known.tool_conversation() for _ in range(items // 2)]
    return {name: [item.text() for item in conversations] for name, conversations in sets.items()}


@torch.no_grad()
def exact_match(model: LanguageModel, encode: Encoded, texts: list[str], device: str) -> float:
    """Share of assistant turns whose every token is the most likely one.

    Equal to greedy decoding, because each turn has one right text.
    """
    right = total = 0
    for start in range(0, len(texts), 32):
        pool = list(encode(texts[start : start + 32]))
        length = -(-max(len(ids) for ids, _ in pool) // 128) * 128
        ids, kinds = (torch.from_numpy(array) for array in _pad(pool, length))
        ids = ids.to(device).long()
        x = model.hidden(ids)
        best = F.linear(x, model.embed_tokens.weight.to(x.dtype)).argmax(-1).view(ids.shape)
        good = (best[:, :-1] == ids[:, 1:]).cpu().numpy()
        answers = kinds[:, 1:].numpy() == ANSWER
        for row_good, row_answers in zip(good, answers, strict=True):
            edges = np.flatnonzero(np.diff(np.concatenate(([0], row_answers, [0]))))
            for begin, end in edges.reshape(-1, 2):
                right += bool(row_good[begin:end].all())
                total += 1
    return right / max(1, total)


# ---------------------------------------------------------------- the loop


@dataclass(frozen=True, slots=True)
class Run:
    """Options of a training run.

    Attributes:
        folder: Holds `tokenizer.json` and `prose.json.gz`.
        out: Where the weights and the log go.
        seconds: Wall-clock budget of the loop.
        workers: Processes that generate text.
        tokens: Tokens of a batch, padding included.
        device: ``cuda`` or ``cpu``.
        eval_every_s: Seconds between evaluations.
        resume: Weights to start from (folder with `lm-*.safetensors`).
    """

    folder: Path
    out: Path
    seconds: float
    workers: int = 14
    tokens: int = 49_152
    device: str = "cuda"
    eval_every_s: float = 60.0
    eval_items: int = 160
    muon_rate: float = 4e-3
    adam_rate: float = 2e-3
    quantize_from: float = 0.75
    resume: Path | None = None
    seed: int = 0


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
    _log(
        run,
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
    _log(run, row | scores | {"fresh": feed.fresh, "reused": feed.reused})


def _log(run: Run, row: dict[str, Any]) -> None:
    run.out.mkdir(parents=True, exist_ok=True)
    line = json.dumps(row)
    print("lm", line, flush=True)
    with (run.out / "lm.log.jsonl").open("a", encoding="utf-8") as log:
        log.write(line + "\n")


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
