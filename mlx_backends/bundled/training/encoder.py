"""Trains the sentence encoder (torch). Weight names and arithmetic are those of Hugging Face's BERT.

Questions are drawn to the passages that answer them and away from all others of the batch, among
them passages of the same context (InfoNCE). `python -m mlx_backends.bundled.train encoder` calls
`train`.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from mlx_backends.bundled.training import common, recall
from mlx_backends.bundled.training.families import HELD_OUT
from mlx_backends.bundled.training.generator import Corpus, Generator
from mlx_backends.bundled.training.run import Run
from mlx_backends.bundled.training.shapes import EncoderConfig

QUESTION_LENGTH = 48
# Passage length -> passages of a batch; questions are half as many.
SHAPES = {64: 2048, 160: 1280, 320: 640, 512: 384}
SHAPE_WEIGHTS = (0.45, 0.35, 0.14, 0.06)


class Embeddings(nn.Module):
    """Words, positions and the first token type, normalised."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_positions, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(2, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.eps)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.word_embeddings(ids) + self.position_embeddings.weight[: ids.shape[1]]
        return self.LayerNorm(x + self.token_type_embeddings.weight[0])


def _child(**modules: nn.Module) -> nn.Module:
    """Group modules under given names, to get BERT's weight names."""
    parent = nn.Module()
    for name, module in modules.items():
        parent.add_module(name, module)
    return parent


class Layer(nn.Module):
    """One post-norm layer of BERT."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size, ffn = config.hidden_size, config.ffn_size
        self.num_heads = config.num_heads
        attention = _child(
            query=nn.Linear(size, size), key=nn.Linear(size, size), value=nn.Linear(size, size)
        )
        output = _child(dense=nn.Linear(size, size), LayerNorm=nn.LayerNorm(size, eps=config.eps))
        self.attention = _child(self=attention, output=output)
        self.intermediate = _child(dense=nn.Linear(size, ffn))
        self.output = _child(
            dense=nn.Linear(ffn, size), LayerNorm=nn.LayerNorm(size, eps=config.eps)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        rows, length, size = x.shape
        heads = self.attention.self
        q, k, v = (
            module(x).view(rows, length, self.num_heads, -1).transpose(1, 2)
            for module in (heads.query, heads.key, heads.value)
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        attended = attended.transpose(1, 2).reshape(rows, length, size)
        x = self.attention.output.LayerNorm(x + self.attention.output.dense(attended))
        return self.output.LayerNorm(x + self.output.dense(F.gelu(self.intermediate.dense(x))))


class SentenceEncoder(nn.Module):
    """BERT, mean of the token states, unit length."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = _child(layer=nn.ModuleList(Layer(config) for _ in range(config.num_layers)))
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.04)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        present = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        x = self.embeddings(ids)
        mask = present[:, None, None, :]
        for layer in self.encoder.layer:
            x = layer(x, mask)
        weights = present.unsqueeze(-1).to(x.dtype)
        pooled = (x * weights).sum(1) / weights.sum(1).clamp_min(1)
        return F.normalize(pooled.float(), dim=-1)


def contrastive_loss(
    questions: Tensor, passages: Tensor, positives: Tensor, scale: Tensor
) -> Tensor:
    """InfoNCE over the batch; row i of `questions` belongs to passage `positives[i]`."""
    return F.cross_entropy(questions @ passages.T * scale, positives)


# ---------------------------------------------------------------- data


def pairs(generator: Generator, wanted: int) -> Iterator[tuple[list[str], list[tuple[str, int]]]]:
    """Yield passages of a context and the questions that each answers, without end.

    Args:
        generator: Source of contexts.
        wanted: Passage length in tokens that the batch has room for.
    """
    rng = generator.rng
    while True:
        if wanted <= 64:
            context = generator.context(rng.randint(4, 10), real=0.7, filler=0.1)
        elif wanted <= 160:
            context = generator.context(rng.randint(4, 12), real=0.8, filler=0.9)
        elif rng.random() < 0.4:
            context = generator.prose_context(rng.randint(4, 8))
        else:
            context = generator.long_context()
        asked = [(item.question, item.passage) for item in context.items if item.answer is not None]
        if asked:
            yield context.passages, asked


def batches(seed: int, progress: Any, *, tokenizer: Tokenizer, corpus: Corpus) -> Iterator[tuple]:
    """Yield question ids and lengths, passage ids and lengths, and the positives."""
    generator = Generator(seed, corpus)
    sources = {length: pairs(generator, length) for length in SHAPES}
    while True:
        length = generator.rng.choices(list(SHAPES), SHAPE_WEIGHTS)[0]
        count = SHAPES[length]
        texts: list[str] = []
        asked: list[tuple[str, int]] = []
        seen: set[str] = set()
        while len(texts) < count or len(asked) < count // 2:
            passages, found = next(sources[length])
            found = [pair for pair in found if pair[0] not in seen and len(texts) + pair[1] < count]
            room = min(len(passages), count - len(texts))
            if len(asked) < count // 2:
                asked += [(question, len(texts) + index) for question, index in found]
            seen.update(question for question, _ in found)
            texts += passages[:room]
            if len(texts) >= count and len(asked) < count // 2:
                texts, asked, seen = [], [], set()
        asked = asked[: count // 2]
        q_ids, q_lengths = encode_rows(
            tokenizer, [question for question, _ in asked], QUESTION_LENGTH
        )
        p_ids, p_lengths = encode_rows(tokenizer, texts, length)
        yield (
            q_ids,
            q_lengths,
            p_ids,
            p_lengths,
            np.asarray([index for _, index in asked], dtype=np.int64),
        )


def encode_rows(
    tokenizer: Tokenizer, texts: list[str], length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tokenize to padded rows and their lengths."""
    ids = np.zeros((len(texts), length), dtype=np.int32)
    lengths = np.zeros(len(texts), dtype=np.int64)
    for row, encoding in enumerate(tokenizer.encode_batch_fast(texts, add_special_tokens=False)):
        found = encoding.ids[:length]
        ids[row, : len(found)] = found
        lengths[row] = max(1, len(found))
    return ids, lengths


# ---------------------------------------------------------------- evaluation while training


@torch.no_grad()
def recall_at_1(
    model: SentenceEncoder, tokenizer: Tokenizer, data: tuple[list[str], list[str]], device: str
) -> float:
    """Share of questions whose nearest passage is the right one."""
    vectors = []
    for texts in data:
        ids, lengths = encode_rows(tokenizer, texts, 512 if texts is data[1] else QUESTION_LENGTH)
        width = -(-int(lengths.max()) // 64) * 64
        ids = torch.from_numpy(ids[:, :width]).to(device).long()
        vectors.append(model(ids, torch.from_numpy(lengths).to(device)))
    best = (vectors[0] @ vectors[1].T).argmax(1).cpu()
    return float((best == torch.arange(len(best))).float().mean())


# ---------------------------------------------------------------- the loop


def train(run: Run, config: EncoderConfig = EncoderConfig()) -> None:  # noqa: B008
    """Train and write `encoder.safetensors` and `encoder.log.jsonl` to `run.out`."""
    torch.manual_seed(run.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer.from_file(str(run.folder / "tokenizer.json"))
    corpus = Corpus.load(run.folder / "prose.json.gz", held_out=False)
    feed = common.Feed(
        lambda seed, progress: batches(seed, progress, tokenizer=tokenizer, corpus=corpus),
        workers=run.workers,
        device=run.device,
        seed=50_000 + run.seed,
    )
    held_out = Corpus.load(run.folder / "prose.json.gz", held_out=True)
    known = Generator(9, held_out, held_out=True)
    unseen = Generator(10, held_out, held_out=True, families=HELD_OUT)
    sets = {
        "known": recall.statements(known, 500),
        "unseen": recall.statements(unseen, 500),
        "prose": recall.prose(known, 300),
    }
    model = SentenceEncoder(config)
    if run.resume:
        from safetensors.torch import load_file

        state = load_file(run.resume / "encoder.safetensors")
        model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    model = model.to(run.device)
    forward = torch.compile(model) if run.device != "cpu" else model
    log_scale = nn.Parameter(torch.tensor(3.0, device=run.device))
    optimizer = common.Optimizer(model, muon_rate=run.muon_rate, adam_rate=run.adam_rate)
    optimizer.adam.add_param_group({"params": [log_scale]})
    optimizer.parameters.append(log_scale)
    step, started, evaluated, average = 0, None, 0.0, 0.0
    while True:
        progress = 0.0 if started is None else (time.time() - started) / run.seconds
        if progress >= 1:
            break
        q_ids, q_lengths, p_ids, p_lengths, positives = feed.next()
        with torch.autocast(run.device, torch.bfloat16, enabled=run.device != "cpu"):
            questions = forward(q_ids.long(), q_lengths)
            passages = forward(p_ids.long(), p_lengths)
        loss = contrastive_loss(questions, passages, positives, log_scale.exp().clamp(max=100))
        loss.backward()
        optimizer.step(common.schedule(step, progress))
        step += 1
        if step % 10 == 0:
            average = loss.item() if not average else 0.8 * average + 0.2 * loss.item()
        if started is None and step == 5:
            started = time.time()
        elapsed = time.time() - (started or time.time())
        if elapsed - evaluated > run.eval_every_s:
            evaluated = elapsed
            _log(
                run,
                model,
                tokenizer,
                sets,
                {
                    "s": round(elapsed),
                    "step": step,
                    "loss": round(average, 4),
                    "fresh": feed.fresh,
                    "reused": feed.reused,
                },
            )
    _save(model, run.out)
    feed.stop()
    _log(
        run,
        model,
        tokenizer,
        sets,
        {
            "s": "end",
            "step": step,
            "loss": round(average, 4),
            "parameters": sum(p.numel() for p in model.parameters()),
        },
    )


def _log(
    run: Run, model: SentenceEncoder, tokenizer: Tokenizer, sets: dict, row: dict[str, Any]
) -> None:
    row |= {
        name: round(recall_at_1(model, tokenizer, data, run.device), 3)
        for name, data in sets.items()
    }
    run.log("encoder", row)


def _save(model: SentenceEncoder, out: Path) -> None:
    from safetensors.torch import save_file

    state = {name: p.detach().half().cpu().contiguous() for name, p in model.named_parameters()}
    save_file(state, out / "encoder.safetensors")
