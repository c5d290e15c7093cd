"""Measures the bundled models on the evaluation side of every split (MLX, CPU).

No evaluation family and no evaluation name occurs in training; `assert_held_out` checks it.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlx_backends import fast_blas
from mlx_backends.bundled.training import chatml, lexicon
from mlx_backends.bundled.training.families import ALL_TRAINED, HELD_OUT, HELD_OUT_REWORDED
from mlx_backends.bundled.training.generator import (
    NO_TOOL,
    Context,
    Conversation,
    Corpus,
    Generator,
    Item,
    answer_text,
)
from mlx_backends.text.grounding import grounded_messages

fast_blas.preload()

import mlx.core as mx  # noqa: E402
from mlx_lm import load  # noqa: E402
from mlx_lm.models.cache import make_prompt_cache  # noqa: E402
from mlx_lm.utils import dequantize_model  # noqa: E402

MAX_ANSWER_TOKENS = 96
Row = Callable[[Generator], Conversation | None]


def assert_held_out(corpus_folder: Path, samples: int = 200) -> None:
    """Check that evaluation families, names and prose never occur in training text."""
    trained = {family.name for family in ALL_TRAINED}
    for family in (*HELD_OUT, *HELD_OUT_REWORDED):
        if family.name in trained:
            raise AssertionError(f"family {family.name!r} is trained and held out")
    known = set(lexicon.invented_words(5_000, held_out=False))
    unseen = set(lexicon.invented_words(5_000, held_out=True, seed=1))
    if known & unseen:
        raise AssertionError("evaluation names occur in training")
    trained_prose = _sentences(corpus_folder, held_out=False)
    if trained_prose & _sentences(corpus_folder, held_out=True):
        raise AssertionError("evaluation prose occurs in training")
    generator = Generator(0, Corpus.load(corpus_folder / "prose.json.gz", held_out=False))
    for _ in range(samples):
        words = generator.conversation().text().split()
        if unseen & {word.strip("`.,?*:").lower() for word in words}:
            raise AssertionError("an evaluation name was generated for training")


def _sentences(folder: Path, *, held_out: bool) -> set[str]:
    corpus = Corpus.load(folder / "prose.json.gz", held_out=held_out)
    return {s for document in corpus.documents for paragraph in document for s in paragraph}


# ---------------------------------------------------------------- rows of the chat model


def _pick(context: Context, *, refuse: bool = False) -> Item | None:
    found = [item for item in context.items if (item.answer is None) == refuse]
    return found[0] if found else None


def _ask(context: Context, items: list[Item], *, as_json: bool = False) -> Conversation:
    messages: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        question = item.question + (" Answer as JSON." if as_json else "")
        if index == 0:
            messages += grounded_messages(question, context.passages)
        else:
            messages.append({"role": "user", "content": f"Question: {question}"})
        messages.append({"role": "assistant", "content": answer_text(item, as_json=as_json)})
    return Conversation(messages)


def _facts(count: int, *, refuse: bool = False, as_json: bool = False, filler: float = 0.3) -> Row:
    def row(generator: Generator) -> Conversation | None:
        context = generator.context(count, real=0.0, filler=filler)
        item = _pick(context, refuse=refuse)
        return _ask(context, [item], as_json=as_json) if item else None

    return row


def _follow_up(generator: Generator) -> Conversation | None:
    context = generator.context(4, real=0.0, filler=0.3)
    items = [item for item in context.items if item.answer is not None][:3]
    return _ask(context, items) if len(items) == 3 else None


def _prose(generator: Generator) -> Conversation | None:
    context = generator.prose_context(3)
    item = _pick(context)
    return _ask(context, [item]) if item else None


def _long(generator: Generator) -> Conversation | None:
    context = generator.long_context()
    item = _pick(context)
    return _ask(context, [item]) if item else None


def _tool(generator: Generator) -> Conversation | None:
    conversation = generator.tool_conversation()
    for index, message in enumerate(conversation.messages):
        if message["role"] == "assistant":
            is_call = message["content"].startswith(chatml.TOOL_CALL_START)
            wanted = is_call or message["content"] == NO_TOOL
            cut = Conversation(conversation.messages[: index + 1], conversation.tools)
            return cut if wanted else None
    return None


def lm_rows(folder: Path) -> dict[str, tuple[Generator, Row]]:
    """Name the rows of the report, each with its source of items."""
    corpus = Corpus.load(folder / "prose.json.gz", held_out=True)
    known = Generator(31, corpus, held_out=True)
    unseen = Generator(32, corpus, held_out=True, families=HELD_OUT)
    reworded = Generator(33, corpus, held_out=True, families=HELD_OUT_REWORDED)
    return {
        "1 fact": (known, _facts(1)),
        "4 facts": (known, _facts(4)),
        "8 facts": (known, _facts(8)),
        "12 facts": (known, _facts(12)),
        "4 facts, unseen families": (unseen, _facts(4)),
        "4 facts, unseen families, reworded questions": (reworded, _facts(4)),
        "unanswerable, refused": (known, _facts(4, refuse=True)),
        "third question of a conversation": (known, _follow_up),
        "JSON answer": (known, _facts(4, as_json=True)),
        "tool call, unseen schema": (known, _tool),
        "real prose, 3 passages": (known, _prose),
        "long context, 1,000 to 3,000 tokens": (known, _long),
    }


class ChatModel:
    """Greedy answers of a chat model."""

    def __init__(self, folder: Path) -> None:
        model, self.tokenizer, *_ = load(str(folder))
        # A quantized product is slow on a CPU for many rows; the weights keep their rounded values.
        self.model = dequantize_model(model)
        self.model.set_dtype(mx.float32)
        self.end = self.tokenizer.convert_tokens_to_ids(chatml.IM_END)

    def answer(self, conversation: Conversation) -> str:
        """Answer the last assistant turn of a conversation anew."""
        prompt = chatml.render(
            conversation.messages[:-1], conversation.tools, add_generation_prompt=True
        )
        ids = self.tokenizer.encode(prompt, add_special_tokens=False)
        cache = make_prompt_cache(self.model)
        logits = self.model(mx.array([ids]), cache=cache)
        found: list[int] = []
        while len(found) < MAX_ANSWER_TOKENS:
            token = int(mx.argmax(logits[0, -1]))
            if token == self.end:
                break
            found.append(token)
            logits = self.model(mx.array([[token]]), cache=cache)
        return self.tokenizer.decode(found)


def draw(generator: Generator, row: Row, count: int) -> Iterator[Conversation]:
    """Make items of a row."""
    made = 0
    while made < count:
        conversation = row(generator)
        if conversation is not None:
            made += 1
            yield conversation


def measure_lm(
    model_folder: Path, inputs: Path, items: int, *, show: bool = False
) -> dict[str, float]:
    """Return the share of exact answers for each row."""
    model = ChatModel(model_folder)
    report: dict[str, float] = {}
    for name, (generator, row) in lm_rows(inputs).items():
        right = 0
        for conversation in draw(generator, row, items):
            wanted, got = conversation.messages[-1]["content"], model.answer(conversation)
            right += got == wanted
            if show and got != wanted:
                print(f"  {conversation.messages[-2]['content'][-90:]!r}: {got!r}, not {wanted!r}")
        report[name] = right / items
        print(f"{name:48} {right / items:.3f}", flush=True)
    return report


def measure_unquantized(inputs: Path, weights: Path, items: int) -> dict[str, float]:
    """Measure the bfloat16 weights that `train lm` wrote."""
    from mlx_backends.bundled.training import export

    with tempfile.TemporaryDirectory() as scratch:
        export.write_lm_bf16(inputs, weights, Path(scratch))
        return measure_lm(Path(scratch), inputs, items)


# ---------------------------------------------------------------- the encoder


class EncoderModel:
    """The shipped BERT, in a few lines of MLX."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        loaded = mx.load(str(folder / "model.safetensors"))
        self.weights = {name: value.astype(mx.float32) for name, value in loaded.items()}  # type: ignore[union-attr]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def embed(self, texts: list[str]) -> mx.array:
        """Return unit vectors, one text at a time."""
        return mx.concatenate([self._embed(text) for text in texts])

    def _embed(self, text: str) -> mx.array:
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids[
            : self.config["max_position_embeddings"]
        ]
        w, prefix = self.weights, "embeddings."
        x = w[prefix + "word_embeddings.weight"][mx.array(ids)]
        x = x + w[prefix + "position_embeddings.weight"][: len(ids)]
        x = self._norm(x + w[prefix + "token_type_embeddings.weight"][0], prefix + "LayerNorm")
        for index in range(self.config["num_hidden_layers"]):
            x = self._layer(x, f"encoder.layer.{index}.")
        pooled = x.mean(0, keepdims=True)
        pooled = pooled / mx.linalg.norm(pooled, axis=-1, keepdims=True)
        mx.eval(pooled)
        return pooled

    def _linear(self, x: mx.array, name: str) -> mx.array:
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def _norm(self, x: mx.array, name: str) -> mx.array:
        return mx.fast.layer_norm(
            x,
            self.weights[name + ".weight"],
            self.weights[name + ".bias"],
            self.config["layer_norm_eps"],
        )

    def _layer(self, x: mx.array, prefix: str) -> mx.array:
        heads = self.config["num_attention_heads"]
        q, k, v = (
            self._linear(x, f"{prefix}attention.self.{name}")
            .reshape(1, len(x), heads, -1)
            .swapaxes(1, 2)
            for name in ("query", "key", "value")
        )
        scale = q.shape[-1] ** -0.5
        attended = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale)
        attended = attended.swapaxes(1, 2).reshape(len(x), -1)
        x = self._norm(
            x + self._linear(attended, prefix + "attention.output.dense"),
            prefix + "attention.output.LayerNorm",
        )
        h = self._linear(x, prefix + "intermediate.dense")
        h = h * 0.5 * (1 + mx.erf(h / 2**0.5))
        return self._norm(x + self._linear(h, prefix + "output.dense"), prefix + "output.LayerNorm")


def measure_encoder(folder: Path, inputs: Path, count: int = 500) -> dict[str, float]:
    """Return recall at 1 among `count` passages, for the encoder and for BM25."""
    from mlx_backends.bundled.training import recall

    corpus = Corpus.load(inputs / "prose.json.gz", held_out=True)
    known = Generator(41, corpus, held_out=True)
    unseen = Generator(42, corpus, held_out=True, families=HELD_OUT)
    model = EncoderModel(folder)
    report: dict[str, float] = {}
    rows = {
        "known families": recall.statements(known, count),
        "unseen families": recall.statements(unseen, count),
        "real prose": recall.prose(known, count),
    }
    for name, (asked, passages) in rows.items():
        best = mx.argmax(model.embed(asked) @ model.embed(passages).T, axis=1)
        report[name] = float(mx.mean(best == mx.arange(len(asked))))
        report[f"{name}, BM25"] = recall.bm25(asked, passages)
        print(f"{name:24} {report[name]:.3f}   BM25 {report[f'{name}, BM25']:.3f}", flush=True)
    return report


def timed(function: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Run a measurement and print how long it took."""
    started = time.perf_counter()
    report = function()
    print(f"{time.perf_counter() - started:.0f} s")
    return report
