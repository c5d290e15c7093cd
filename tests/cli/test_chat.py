import pytest

from mlx_backends import MockEngine, SamplingParams
from mlx_backends.cli.chat import Conversation
from mlx_backends.errors import ContextLengthError


def test_each_line_of_a_pipe_is_a_turn(run, engine):
    result = run("chat", stdin="hello\n\nmore\n")
    assert result.exit_code == 0
    assert result.stdout == "[1] 71 bytes\n[1] 71 bytes\n"
    assert engine.calls[1].prompt == (
        "user: hello\nassistant: [1] 71 bytes\nuser: more\nassistant: "
    )


def test_reset_begins_anew(run, engine):
    run("chat", stdin="hello\n/reset\nmore\n")
    assert engine.calls[1].prompt == "user: more\nassistant: "


def test_options_reach_the_engine(run, engine):
    run("chat", "--temperature", "0.5", "--max-tokens", "3", stdin="hello\n")
    assert engine.calls[0].sampling_params == SamplingParams(temperature=0.5, max_tokens=3)


def test_an_answer_that_is_stopped_stays_as_far_as_it_came():
    engine = MockEngine(["one two three", "four"])
    conversation = Conversation(engine, SamplingParams())
    pieces = conversation.answer("count")
    assert next(pieces) == "one "
    pieces.close()
    assert "".join(conversation.answer("go on")) == "four"
    assert engine.calls[1].prompt == "user: count\nassistant: one \nuser: go on\nassistant: "


def test_a_turn_that_does_not_fit_leaves_the_conversation_as_it_was():
    conversation = Conversation(MockEngine(["one"], context_window=60), SamplingParams())
    list(conversation.answer("count"))
    with pytest.raises(ContextLengthError):
        list(conversation.answer("x" * 60))
    list(conversation.answer("go on"))


def test_a_turn_that_does_not_fit_ends_a_pipe(run, engine):
    engine.context_window = 10
    result = run("chat", stdin="hello\n")
    assert (result.exit_code, result.stderr[:6]) == (1, "error:")
