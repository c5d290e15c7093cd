"""Trains the sentence encoder (torch): `python -m mlx_backends.bundled.train encoder`.

Questions are drawn to the passages that answer them and away from all others of the batch, among
them passages of the same context (InfoNCE; van den Oord et al. 2018, arXiv:1807.03748).
"""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from mlx_backends.bundled.training import common, question_pools, recall
from mlx_backends.bundled.training.bert import Bert, presence
from mlx_backends.bundled.training.families import (
    HELD_OUT,
    HELD_OUT_RELATIONS,
    HELD_OUT_REWORDED,
)
from mlx_backends.bundled.training.generator import Corpus, Generator
from mlx_backends.bundled.training.loop import load_weights, run_loop, save_weights
from mlx_backends.bundled.training.run import Run
from mlx_backends.bundled.training.shapes import EncoderConfig

# Passage length -> passages and questions of a batch.
SHAPES = {64: (2048, 1024), 160: (1280, 640), 320: (640, 320), 512: (384, 192)}

RetrievalSet = tuple[list[str], list[str]]


class SentenceEncoder(Bert):
    """BERT, mean of the token states, unit length."""

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        """Embed right-padded rows. Shapes: ids (B, L); lengths (B,). Returns (B, D)."""
        present = presence(ids, lengths)
        x = super().forward(ids, present)
        weights = present.unsqueeze(-1).to(x.dtype)
        pooled = (x * weights).sum(1) / weights.sum(1).clamp_min(1)
        return F.normalize(pooled.float(), dim=-1)


def contrastive_loss(
    questions: Tensor, passages: Tensor, positives: Tensor, twins: Tensor, scale: Tensor
) -> Tensor:
    """InfoNCE over the batch; row i of `questions` belongs to passage `positives[i]`."""
    return F.cross_entropy(mask_pairs(questions @ passages.T * scale, twins), positives)


def mask_pairs(scores: Tensor, pairs: Tensor) -> Tensor:
    """Minus infinity at given pairs of row and column. Shapes: scores (Q, P); pairs (n, 2)."""
    lowest = torch.tensor(-torch.inf, dtype=scores.dtype, device=scores.device)
    return scores.index_put((pairs[:, 0], pairs[:, 1]), lowest)


def train(run: Run, config: EncoderConfig = EncoderConfig()) -> None:  # noqa: B008
    """Train and write `encoder.safetensors` and `encoder.log.jsonl` to `run.out`."""
    torch.manual_seed(run.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer.from_file(str(run.folder / "tokenizer.json"))
    corpus = Corpus.load(run.folder / "prose.json.gz", held_out=False)
    feed = common.Feed(
        partial(question_pools.batches, tokenizer=tokenizer, corpus=corpus, shapes=SHAPES),
        workers=run.workers,
        device=run.device,
        seed=50_000 + run.seed,
    )
    sets = evaluation_sets(run.folder, 500)
    model = SentenceEncoder(config)
    if run.resume:
        model.load_state_dict(load_weights(run.resume, "encoder"))
    model = model.to(run.device)
    forward = torch.compile(model) if run.device != "cpu" else model
    log_scale = nn.Parameter(torch.tensor(3.0, device=run.device))
    optimizer = common.Optimizer(model, muon_rate=run.muon_rate, adam_rate=run.adam_rate)
    optimizer.adam.add_param_group({"params": [log_scale]})
    optimizer.parameters.append(log_scale)

    def loss_of(batch: tuple[Tensor, ...]) -> Tensor:
        q_ids, q_lengths, p_ids, p_lengths, positives, twins = batch
        with torch.autocast(run.device, torch.bfloat16, enabled=run.device != "cpu"):
            questions = forward(q_ids.long(), q_lengths)
            passages = forward(p_ids.long(), p_lengths)
        scale = log_scale.exp().clamp(max=100)
        return contrastive_loss(questions, passages, positives, twins, scale)

    def evaluate() -> dict[str, float]:
        return {
            name: round(recall_at_1(model, tokenizer, texts, run.device), 3)
            for name, texts in sets.items()
        }

    run_loop(run, "encoder", feed=feed, optimizer=optimizer, loss_of=loss_of, evaluate=evaluate)
    save_weights(model, run.out / "encoder.safetensors")


def evaluation_sets(folder: Path, count: int) -> dict[str, RetrievalSet]:
    """Questions and passages of the evaluation side, `count` of each kind."""
    corpus = Corpus.load(folder / "prose.json.gz", held_out=True)
    known = Generator(9, corpus, held_out=True)
    unseen = Generator(10, corpus, held_out=True, families=HELD_OUT)
    reworded = Generator(11, corpus, held_out=True, families=HELD_OUT_REWORDED)
    relations = Generator(12, corpus, held_out=True, families=HELD_OUT_RELATIONS)
    return {
        "known": recall.statements(known, count),
        "unseen": recall.statements(unseen, count),
        "reworded": recall.statements(reworded, count),
        "relations": recall.statements(relations, count),
        "pages": recall.pages(known, count),
        "pages, unseen": recall.pages(unseen, count),
        "prose": recall.prose(known, count),
    }


@torch.no_grad()
def recall_at_1(
    model: SentenceEncoder, tokenizer: Tokenizer, texts: RetrievalSet, device: str
) -> float:
    """Share of questions whose nearest passage is the right one."""
    questions, passages = (embed(model, tokenizer, some, device) for some in texts)
    best = (questions @ passages.T).argmax(1).cpu()
    return float((best == torch.arange(len(best))).float().mean())


@torch.no_grad()
def embed(model: SentenceEncoder, tokenizer: Tokenizer, texts: list[str], device: str) -> Tensor:
    """Embed texts of any length in one batch. Returns (len(texts), D)."""
    ids, lengths = question_pools.encode_rows(tokenizer, texts, max(SHAPES))
    width = -(-int(lengths.max()) // 64) * 64
    return model(
        torch.from_numpy(ids[:, :width]).to(device).long(), torch.from_numpy(lengths).to(device)
    )
