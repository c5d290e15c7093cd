"""The shipped folders load with the ordinary loaders and answer fixed held-out items."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mlx_backends import bundled
from mlx_backends.bundled.evaluation.chat import prompt_of
from mlx_backends.bundled.evaluation.chat_model import ChatModel
from mlx_backends.bundled.evaluation.rows import LM_ROWS
from mlx_backends.bundled.training import chatml
from mlx_backends.bundled.training.generator import Conversation
from mlx_backends.config import EmbedderConfig, RerankerConfig
from mlx_backends.errors import ModelNotFoundError
from mlx_backends.pooling.embedder import Embedder
from mlx_backends.pooling.reranker import Reranker
from mlx_backends.text.grounding import REFUSAL, grounded_messages

MAX_BYTES = 10_000_000
# Items that may be lost against what the shipped model answered when the items were made: numbers
# differ in their last bits between machines.
MAX_LOST = 2
FIXED = json.loads(Path(__file__).with_name("items.json").read_text(encoding="utf-8"))
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture(scope="module")
def evaluated():
    return ChatModel(bundled.path("lm"))


@pytest.fixture(scope="module")
def chat_model(evaluated):
    return evaluated.model, evaluated.tokenizer


def answer(chat_model, messages, tools=None):
    from mlx_lm import generate

    model, tokenizer = chat_model
    prompt = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True)
    return generate(model, tokenizer, prompt, max_tokens=96)


@pytest.mark.parametrize("kind", bundled.KINDS)
def test_a_folder_is_complete_and_small(kind):
    folder = bundled.path(kind)
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
    } <= names
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < MAX_BYTES


def test_an_unknown_kind_is_a_typed_error():
    with pytest.raises(ModelNotFoundError, match="lm, encoder, reranker"):
        bundled.path("poet")


def test_the_shape_fits_paged_attention():
    config = json.loads((bundled.path("lm") / "config.json").read_text(encoding="utf-8"))
    assert config["head_dim"] == 64
    assert config["num_attention_heads"] >= 2 * config["num_key_value_heads"]
    assert config["max_position_embeddings"] == 4096
    assert all(
        config[name] % 128 == 0 for name in ("hidden_size", "intermediate_size", "vocab_size")
    )
    assert config["tie_word_embeddings"]


@pytest.mark.parametrize(
    "text", ["", "a", "2,048 tokens", "`mlx_lm.load`\n\n\tindented", "naïve — 日本 🙂"]
)
@pytest.mark.parametrize("kind", bundled.KINDS)
def test_the_tokenizer_gives_the_text_back(kind, text):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundled.path(kind) / "tokenizer.json"))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    if kind != "reranker":  # it marks where the texts of a pair begin and end
        assert tokenizer.encode(text, add_special_tokens=True).ids == ids


def test_the_reranker_reads_start_question_end_passage_end():
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundled.path("reranker") / "tokenizer.json"))
    pair = tokenizer.encode("size", "16 tokens")
    start, end = (tokenizer.token_to_id(mark) for mark in (chatml.IM_START, chatml.IM_END))
    question, passage = (
        tokenizer.encode(text, add_special_tokens=False).ids for text in ("size", "16 tokens")
    )
    assert pair.ids == [start, *question, end, *passage, end]
    assert pair.type_ids == [0] * (len(question) + 2) + [1] * (len(passage) + 1)


def test_digits_stand_alone():
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundled.path("lm") / "tokenizer.json"))
    assert [len(token) for token in tokenizer.encode("1234567890").tokens] == [1] * 10


CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
CHATS = {
    "no system": [{"role": "user", "content": "Hi"}],
    "one system": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "two systems": [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
    ],
    "turns": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Bye"},
    ],
}


@pytest.mark.parametrize("tools", [None, TOOLS], ids=["no tools", "tools"])
@pytest.mark.parametrize("name", CHATS)
def test_the_template_equals_the_training_format(chat_model, name, tools):
    _, tokenizer = chat_model
    rendered = tokenizer.apply_chat_template(
        CHATS[name], tools=tools, add_generation_prompt=True, tokenize=False
    )
    assert rendered == chatml.render(CHATS[name], tools, add_generation_prompt=True)


@pytest.mark.parametrize(
    "arguments", [{"city": "Paris"}, '{"city": "Paris"}'], ids=["object", "text"]
)
def test_the_template_writes_tool_calls_and_results(chat_model, arguments):
    _, tokenizer = chat_model
    call = {"type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "rain"},
    ]
    rendered = tokenizer.apply_chat_template(
        messages, tools=TOOLS, add_generation_prompt=True, tokenize=False
    )
    written = [
        messages[0],
        {"role": "assistant", "content": chatml.tool_call_text("get_weather", {"city": "Paris"})},
    ]
    assert rendered == chatml.render([*written, messages[2]], TOOLS, add_generation_prompt=True)


def test_two_tool_calls_are_parted_by_a_line(chat_model):
    _, tokenizer = chat_model
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
    ]
    rendered = tokenizer.apply_chat_template(messages, tools=TOOLS, tokenize=False)
    assert "</tool_call>\n<tool_call>" in rendered


def test_mlx_lm_reads_the_tool_calls(chat_model):
    _, tokenizer = chat_model
    assert tokenizer.has_tool_calling
    text = chatml.tool_call_text("get_weather", {"city": "Paris"})
    inner = text.removeprefix(tokenizer.tool_call_start).removesuffix(tokenizer.tool_call_end)
    assert tokenizer.tool_parser(inner, TOOLS) == {
        "name": "get_weather",
        "arguments": {"city": "Paris"},
    }


def test_answers_on_held_out_items(evaluated):
    rows = {row.name: row for row in LM_ROWS}
    conversations = [
        Conversation(
            [*item["messages"], {"role": "assistant", "content": item["answer"]}], item["tools"]
        )
        for item in FIXED["items"]
    ]
    answers = evaluated.generate([prompt_of(item, evaluated.count) for item in conversations])
    wrong = [
        (got, item["answer"])
        for got, item in zip(answers, FIXED["items"], strict=True)
        if not rows[item["row"]].grade(got, item["answer"])
    ]
    assert len(answers) - len(wrong) >= FIXED["num_right"] - MAX_LOST, wrong


def test_it_refuses_what_the_passages_do_not_say(chat_model):
    passages = ["The capital of Velora is Trand.", "The Mirbo engine weighs 12 tons."]
    assert (
        answer(chat_model, grounded_messages("Who founded the Mirbo engine?", passages)) == REFUSAL
    )


def test_it_greets(chat_model):
    assert answer(chat_model, [{"role": "user", "content": "Hello"}]).startswith("Hello")


PASSAGES = [
    "The default block size is 16 tokens.",
    "Weights are loaded at first use, on the engine thread.",
    "`mlx-backends doctor` prints the platform and the BLAS.",
    "A prompt over the context window raises `ContextLengthError`.",
]
ASKED = [
    "How large is a block by default?",
    "When are the weights loaded?",
    "Which command prints the platform?",
    "What does a prompt over the context window raise?",
]


def test_the_encoder_ranks_the_right_statement_first():
    with closing(Embedder(EmbedderConfig(model=str(bundled.path("encoder"))))) as embedder:
        vectors, questions = embedder.embed(PASSAGES), embedder.embed(ASKED, kind="query")
    assert vectors.shape == (4, 256)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)
    assert (questions @ vectors.T).argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_the_reranker_ranks_the_right_statement_first_and_bounds_its_scores():
    with closing(Reranker(RerankerConfig(model=str(bundled.path("reranker"))))) as reranker:
        assert reranker.score_kind == "probability"
        ranked = [reranker.rerank(question, PASSAGES) for question in ASKED]
    assert [best[0].index for best in ranked] == [0, 1, 2, 3]
    assert all(0 <= found.score <= 1 for best in ranked for found in best)
