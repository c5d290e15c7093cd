"""Trains the cross-encoder reranker (torch): `python -m mlx_backends.bundled.train reranker`.

A question stands against the passage that answers it and the passages that come nearest without
answering: by the bundled encoder's vectors and by shared words. The loss is the softmax over this
list (Cao et al. 2007, "Learning to rank: from pairwise approach to listwise approach") and a small
logistic one, which gives the logits a zero point.
"""

import math
from functools import partial

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from mlx_backends import bundled
from mlx_backends.bundled.training import common, question_pools
from mlx_backends.bundled.training.bert import Bert, group, presence
from mlx_backends.bundled.training.encoder import (
    RetrievalSet,
    SentenceEncoder,
    embed,
    evaluation_sets,
    mask_pairs,
)
from mlx_backends.bundled.training.generator import Corpus
from mlx_backends.bundled.training.loop import load_weights, run_loop, save_weights
from mlx_backends.bundled.training.run import Run
from mlx_backends.bundled.training.shapes import EncoderConfig

# Ids of the tokenizer's first special tokens, in the part of [CLS] and [SEP].
START, END = 1, 2
# Passage length -> length of a pair, longer passages cut.
PAIR_LENGTHS = {64: 96, 160: 192, 320: 352, 512: 512}
# Passages that a question is asked of: the right one, and so many nearest by each measure.
NUM_BY_MEANING, NUM_BY_WORDS, NUM_RANDOM = 7, 5, 3
NUM_CANDIDATES = 1 + NUM_BY_MEANING + NUM_BY_WORDS + NUM_RANDOM
PASSAGES_PER_QUESTION = 4
LOGISTIC_WEIGHT = 0.1
# Depth of the first stage's list that the evaluation reranks.
DEPTH = 50


class CrossEncoder(nn.Module):
    """BERT over question and passage, the first token's pooled state, one logit."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.bert = Bert(config)
        self.bert.pooler = group(dense=nn.Linear(config.hidden_size, config.hidden_size))
        self.classifier = nn.Linear(config.hidden_size, 1)

    def forward(self, ids: Tensor, lengths: Tensor, segments: Tensor) -> Tensor:
        """Score right-padded pairs. Shapes: ids and segments (B, L); lengths (B,). Returns (B,)."""
        hidden = self.bert(ids, presence(ids, lengths), segments)
        pooled = torch.tanh(self.bert.pooler.dense(hidden[:, 0]))
        return self.classifier(pooled)[:, 0].float()


def join_pairs(
    questions: tuple[Tensor, Tensor], passages: tuple[Tensor, Tensor], width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Write start, question, end, passage, end; what does not fit of the passage is cut.

    Shapes: questions and passages are ids (B, L) and lengths (B,). Returns ids (B, width), lengths
        (B,) and segments (B, width).
    """
    (q_ids, q_lengths), (p_ids, p_lengths) = questions, passages
    at = torch.arange(width, device=q_ids.device)[None]
    q_lengths = q_lengths[:, None]
    p_lengths = torch.minimum(p_lengths[:, None], width - 3 - q_lengths)
    in_question, in_passage = at - 1, at - 2 - q_lengths
    ids = torch.full((len(q_ids), width), END, device=q_ids.device)
    for positions, lengths, source in (
        (in_question, q_lengths, q_ids),
        (in_passage, p_lengths, p_ids),
    ):
        inside = (positions >= 0) & (positions < lengths)
        clamped = positions.clamp(0, source.shape[1] - 1).expand_as(ids)
        ids = torch.where(inside, source.gather(1, clamped), ids)
    ids[:, 0] = START
    return ids, (q_lengths + p_lengths + 3)[:, 0], (in_passage >= 0).long()


def choose_candidates(measures: list[tuple[Tensor, int]], positives: Tensor) -> Tensor:
    """Pick the right passage and the best wrong ones by each measure.

    Args:
        measures: Scores (Q, P), minus infinity where a passage is no negative, and how many to
            take by them.
        positives: Index of the right passage, shape (Q,).

    Returns:
        Passage indices (Q, NUM_CANDIDATES), the right one first.
    """
    taken = positives[:, None]
    for scores, count in measures:
        taken = torch.cat([taken, scores.scatter(1, taken, -torch.inf).topk(count).indices], 1)
    return taken


def shared_words(
    q_ids: Tensor, q_lengths: Tensor, p_ids: Tensor, p_lengths: Tensor, vocab_size: int
) -> Tensor:
    """Weight of the tokens that question and passage share, rare ones more. Returns (Q, P)."""
    question, passage = (
        _token_sets(ids, lengths, vocab_size)
        for ids, lengths in ((q_ids, q_lengths), (p_ids, p_lengths))
    )
    rarity = torch.log((len(passage) + 1) / (passage.sum(0) + 1))
    return (question * rarity) @ passage.T / passage.sum(1).sqrt()


def _token_sets(ids: Tensor, lengths: Tensor, vocab_size: int) -> Tensor:
    rows = torch.zeros(len(ids), vocab_size, device=ids.device)
    return rows.scatter_add_(1, ids.long(), presence(ids, lengths).float()).clamp_(max=1)


def ranking_loss(scores: Tensor) -> Tensor:
    """Listwise softmax and a logistic term. Shapes: scores (Q, candidates), the right one first."""
    listwise = F.cross_entropy(scores, torch.zeros_like(scores[:, 0], dtype=torch.long))
    logistic = F.softplus(-scores[:, 0]).mean() + F.softplus(scores[:, 1:]).mean()
    return listwise + LOGISTIC_WEIGHT * logistic


def train(run: Run, config: EncoderConfig = EncoderConfig()) -> None:  # noqa: B008
    """Train and write `reranker.safetensors` and `reranker.log.jsonl` to `run.out`.

    The trunk starts as the bundled encoder, or everything as `run.resume`'s reranker.
    """
    torch.manual_seed(run.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer.from_file(str(run.folder / "tokenizer.json"))
    corpus = Corpus.load(run.folder / "prose.json.gz", held_out=False)
    feed = common.Feed(
        partial(question_pools.batches, tokenizer=tokenizer, corpus=corpus, shapes=_shapes(run)),
        workers=run.workers,
        device=run.device,
        seed=60_000 + run.seed,
    )
    sets = evaluation_sets(run.folder, run.eval_items)
    encoder = SentenceEncoder(config)
    encoder.load_state_dict(load_weights(bundled.path("encoder"), "encoder"))
    model = CrossEncoder(config)
    if run.resume:
        model.load_state_dict(load_weights(run.resume, "reranker"))
    else:
        model.bert.load_state_dict(encoder.state_dict(), strict=False)
    encoder, model = encoder.to(run.device).eval(), model.to(run.device)
    forward = torch.compile(model) if run.device != "cpu" else model
    optimizer = common.Optimizer(model, muon_rate=run.muon_rate, adam_rate=run.adam_rate)

    def loss_of(batch: tuple[Tensor, ...]) -> Tensor:
        q_ids, q_lengths, p_ids, p_lengths, positives, twins = batch
        q_ids, p_ids = q_ids.long(), p_ids.long()
        with torch.autocast(run.device, torch.bfloat16, enabled=run.device != "cpu"):
            with torch.no_grad():
                by_meaning = encoder(q_ids, q_lengths) @ encoder(p_ids, p_lengths).T
                by_words = shared_words(q_ids, q_lengths, p_ids, p_lengths, config.vocab_size)
                measures = [
                    (mask_pairs(by_meaning, twins), NUM_BY_MEANING),
                    (mask_pairs(by_words, twins), NUM_BY_WORDS),
                    (mask_pairs(torch.rand_like(by_words), twins), NUM_RANDOM),
                ]
                chosen = choose_candidates(measures, positives).flatten()
                asked = torch.arange(len(q_ids), device=q_ids.device)
                asked = asked.repeat_interleave(NUM_CANDIDATES)
                pairs = join_pairs(
                    (q_ids[asked], q_lengths[asked]),
                    (p_ids[chosen], p_lengths[chosen]),
                    PAIR_LENGTHS[p_ids.shape[1]],
                )
            scores = forward(*pairs)
        return ranking_loss(scores.view(len(q_ids), NUM_CANDIDATES))

    def evaluate() -> dict[str, float]:
        figures = {}
        for name, texts in sets.items():
            before, after = ndcg(encoder, model, tokenizer, texts, run.device)
            figures |= {name: round(after, 3), f"{name}, encoder": round(before, 3)}
        return figures

    run_loop(run, "reranker", feed=feed, optimizer=optimizer, loss_of=loss_of, evaluate=evaluate)
    save_weights(model, run.out / "reranker.safetensors")


def _shapes(run: Run) -> dict[int, tuple[int, int]]:
    """Passages and questions of a batch for each passage length."""
    shapes = {}
    for length, width in PAIR_LENGTHS.items():
        questions = max(4, run.tokens // (NUM_CANDIDATES * width))
        shapes[length] = (PASSAGES_PER_QUESTION * questions, questions)
    return shapes


# ---------------------------------------------------------------- evaluation while training


@torch.no_grad()
def ndcg(
    encoder: SentenceEncoder,
    model: CrossEncoder,
    tokenizer: Tokenizer,
    texts: RetrievalSet,
    device: str,
) -> tuple[float, float]:
    """Mean nDCG@10 of the encoder and of the reranker over the encoder's top passages."""
    questions, passages = texts
    similar = (
        embed(encoder, tokenizer, questions, device) @ embed(encoder, tokenizer, passages, device).T
    )
    top = similar.topk(min(DEPTH, len(passages))).indices
    q_rows = _rows(tokenizer, questions, question_pools.QUESTION_LENGTH, device)
    p_rows = _rows(tokenizer, passages, max(PAIR_LENGTHS), device)
    before, after = [], []
    for row, found in enumerate(top):
        one = torch.full_like(found, row)
        passage_ids, passage_lengths = p_rows[0][found], p_rows[1][found]
        width = min(max(PAIR_LENGTHS.values()), int(passage_lengths.max()) + 51)
        pairs = join_pairs((q_rows[0][one], q_rows[1][one]), (passage_ids, passage_lengths), width)
        order = model(*pairs).argsort(descending=True)
        before.append(_gain(found, row))
        after.append(_gain(found[order], row))
    return sum(before) / len(before), sum(after) / len(after)


def _rows(tokenizer: Tokenizer, texts: list[str], length: int, device: str) -> tuple:
    ids, lengths = question_pools.encode_rows(tokenizer, texts, length)
    return torch.from_numpy(ids).to(device).long(), torch.from_numpy(lengths).to(device)


def _gain(ranking: Tensor, right: int) -> float:
    """nDCG@10 of a ranking with one right passage."""
    at = (ranking[:10] == right).nonzero()
    return 1 / math.log2(2 + int(at[0, 0])) if len(at) else 0.0
