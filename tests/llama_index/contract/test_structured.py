"""The structured rows of langchain-tests' integration suite, under their names, for ``MLXLLM``."""

import enum
import json
from datetime import date
from typing import Literal

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from pydantic import BaseModel, Field, ValidationError, field_validator

from mlx_backends.core import SamplingParams
from mlx_backends.engine.mock import MockEngine
from mlx_backends.errors import ConfigError, GrammarBudgetError, GrammarError
from mlx_backends.llama_index import MLXLLM

from .conftest import responses_of

METHODS = [
    "structured_predict",
    "astructured_predict",
    "stream_structured_predict",
    "astream_structured_predict",
]


class Port(BaseModel):
    """The default port of a server."""

    name: str = Field(description="Name of the server.")
    port: int = Field(description="The port.")


PROMPT = PromptTemplate("The server's name is {name} and the default port is {port}.")
ALDER = Port(name="Alder", port=8000)


@pytest.mark.parametrize("method", ["structured_predict", "stream_structured_predict"])
async def test_structured_output(llm, method):
    *_, last = await responses_of(llm, method, Port, PROMPT, name="Alder", port=8000)
    assert last == ALDER


@pytest.mark.parametrize("method", ["astructured_predict", "astream_structured_predict"])
async def test_structured_output_async(llm, method):
    *_, last = await responses_of(llm, method, Port, PROMPT, name="Alder", port=8000)
    assert last == ALDER


@pytest.mark.parametrize("method", ["stream_structured_predict", "astream_structured_predict"])
async def test_partial_objects_are_streamed(llm, method):
    """Each holds more than the one before, and what it holds stays."""
    *partials, whole = await responses_of(llm, method, Port, PROMPT, name="Alder", port=8000)
    names = [partial.name or "" for partial in partials]
    assert names == sorted(names, key=len)
    assert all("Alder".startswith(name) for name in names)
    assert any(0 < len(name) < 5 for name in names)
    assert partials[0].port is None
    assert type(whole) is Port


class Tree(BaseModel):
    """A tree of numbers."""

    value: int = Field(ge=0, le=99)
    children: list["Tree"] = Field(max_length=2)


@pytest.mark.parametrize("method", METHODS)
async def test_class_may_refer_to_itself(llm, tiny_lm, method):
    for model in (llm, MLXLLM(model=str(tiny_lm), max_tokens=48)):
        options = {"llm_kwargs": {"temperature": 1.5, "seed": 1}}
        *_, tree = await responses_of(model, method, Tree, PromptTemplate("A tree."), **options)
        assert type(tree) is Tree


@pytest.mark.parametrize("method", METHODS)
async def test_any_model_gives_a_valid_object(tiny_lm, method):
    """Random weights that were trained on nothing: the grammar alone makes the object."""

    class Colour(enum.Enum):
        RED = "red"
        BLUE = "blue"

    class Part(BaseModel):
        kind: Literal["wheel", "door"]
        weight: float = Field(ge=0, le=10)

    class Car(BaseModel):
        colour: Colour
        built: date
        parts: list[Part] = Field(min_length=1, max_length=2)
        note: str | None = Field(default=None, max_length=20)

    llm = MLXLLM(model=str(tiny_lm), max_tokens=160, temperature=1.0)
    assert not llm.metadata.is_function_calling_model
    for seed in range(3):
        llm.seed = seed
        *_, car = await responses_of(llm, method, Car, PromptTemplate("Make a car."))
        assert type(car) is Car


def test_structured_output_optional_param(llm):
    class Joke(BaseModel):
        """A joke."""

        setup: str = Field(max_length=40)
        rating: int | None = Field(default=None, description="From 1 to 10.", ge=1, le=10)

    joke = llm.structured_predict(Joke, PromptTemplate("Tell a joke."))
    assert joke.setup
    assert joke.rating is None or 1 <= joke.rating <= 10


def test_json_mode(llm):
    """JSON without a schema of one's own, as the answer itself."""
    text = llm.complete(
        "Answer as JSON: The sky is blue.", grammar={"json_schema": {"type": "object"}}
    )
    assert isinstance(json.loads(text.text), dict)


@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat"])
@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")  # LlamaIndex's .json()
async def test_as_structured_llm(llm, method):
    structured = llm.as_structured_llm(Port)
    message = ChatMessage("The server's name is Alder and the default port is 8000.")
    *_, last = await responses_of(structured, method, [message])
    assert last.raw == ALDER
    assert Port.model_validate_json(last.message.content) == ALDER


@pytest.mark.parametrize("method", ["complete", "acomplete"])
async def test_as_structured_llm_completes(llm, method):
    prompt = "The server's name is Alder and the default port is 8000."
    [response] = await responses_of(llm.as_structured_llm(Port), method, prompt)
    assert response.raw == ALDER


@pytest.mark.parametrize("method", METHODS)
async def test_events_of_a_prediction(llm, events, method):
    *rest, last = await responses_of(llm, method, Port, PROMPT, name="Alder", port=8000)
    names = [name for name in events.names if name.startswith("LLMStructured")]
    progress = ["LLMStructuredPredictInProgressEvent"] * (len(rest) + 1 if rest else 0)
    assert names == ["LLMStructuredPredictStartEvent", *progress, "LLMStructuredPredictEndEvent"]
    ends = [e for e in events.events if e.class_name() == "LLMStructuredPredictEndEvent"]
    assert ends[0].output == last


@pytest.mark.parametrize("method", METHODS)
async def test_callers_options_are_used_and_left_as_they_were(llm, method):
    """And the constructor's stop strings do not cut the object off."""
    llm.stop = ["A", "8"]
    options = {"max_tokens": 64, "top_k": 1}
    *_, last = await responses_of(llm, method, Port, PROMPT, options, name="Alder", port=8000)
    assert last == ALDER
    assert options == {"max_tokens": 64, "top_k": 1}


def test_system_prompt_and_chat_prompts_reach_the_model(engine_of_objects):
    llm = MLXLLM(engine=engine_of_objects, system_prompt="Be exact.")
    prompt = ChatPromptTemplate.from_messages([("user", "Read {what}.")])
    assert llm.structured_predict(Port, prompt, what="{this}") == ALDER
    assert engine_of_objects.calls[0].prompt.startswith("system: Be exact.\nuser: Read {this}.")


@pytest.fixture
def engine_of_objects() -> MockEngine:
    call = {"name": "Port", "arguments": ALDER.model_dump()}
    return MockEngine([f"<tool_call>\n{json.dumps(call)}\n</tool_call>"])


def test_mode_of_the_answer_itself(engine_of_objects):
    """``LLM`` is LlamaIndex's text program: the schema in the prompt, nothing constrained."""
    engine = MockEngine([ALDER.model_dump_json()])
    llm = MLXLLM(engine=engine, pydantic_program_mode="llm")
    assert llm.structured_predict(Port, PromptTemplate("Read.")) == ALDER
    assert "JSON schema" in engine.calls[0].prompt
    assert engine.calls[0].grammar is None
    MLXLLM(engine=engine_of_objects).structured_predict(Port, PromptTemplate("Read."))
    assert engine_of_objects.calls[0].grammar is not None
    assert engine_of_objects.calls[0].sampling_params.stop == SamplingParams().stop


def test_budget_too_small_is_an_error_that_says_so(llm):
    with pytest.raises(GrammarBudgetError, match="within 3 tokens") as caught:
        llm.structured_predict(Port, PROMPT, {"max_tokens": 3}, name="Alder", port=8000)
    assert caught.value.max_tokens == 3


@pytest.mark.parametrize("method", METHODS)
async def test_what_only_the_class_refuses_is_the_classes_error(llm, method):
    class Even(BaseModel):
        """A number."""

        number: Literal[1, 3]

        @field_validator("number")
        @classmethod
        def _check(cls, number: int) -> int:
            raise ValueError(f"{number} is odd")

    with pytest.raises(ValidationError, match="is odd"):
        await responses_of(llm, method, Even, PromptTemplate("Give a number."))


@pytest.mark.parametrize(
    ("grammar", "matches"),
    [
        ({"choice": ["yes", "no"]}, lambda text: text in ("yes", "no")),
        ({"regex": "[0-9]{3}-[a-f]{2}"}, lambda text: len(text) == 6 and text[3] == "-"),
        ({"lark": 'start: "(" /[a-z]{2,4}/ ")"'}, lambda text: text[0] + text[-1] == "()"),
        ({"gbnf": 'root ::= "a" "b"*'}, lambda text: set(text[1:]) <= {"b"}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("method", ["complete", "astream_complete", "chat", "astream_chat"])
async def test_raw_grammars(llm, method, grammar, matches):
    given = "Say something." if "complete" in method else [ChatMessage("Say something.")]
    *_, last = await responses_of(llm, method, given, grammar=grammar)
    assert matches(last.text if "complete" in method else last.message.content)
    assert last.raw["finish_reason"] == "stop"


def test_grammar_that_is_none_is_an_error(llm):
    with pytest.raises(ConfigError, match="one of json_schema"):
        llm.complete("Hi", grammar="[0-9]+")
    with pytest.raises(GrammarError):
        llm.complete("Hi", grammar={"regex": "("})
    function = {"name": "f", "description": "", "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": function}]
    with pytest.raises(ConfigError, match="Beside tools"):
        llm.chat([ChatMessage("Hi")], tools=tools, grammar={"regex": "a"})
