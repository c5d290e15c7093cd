import re
from datetime import datetime
from pathlib import Path

import pytest
from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from mlx_backends.errors import ChatTemplateError, ConfigError, RequestError
from mlx_backends.text.chat_template import ChatTemplate

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

SYSTEM = {"role": "system", "content": " You are helpful.\n"}
USER = {"role": "user", "content": '  Hi é 中 👍 <b>&</b> "quoted" \n'}
ASSISTANT = {"role": "assistant", "content": "\nHello!", "reasoning_content": "\nHm\n"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"function": {"name": "get", "arguments": {"city": "Zürich", "n": [1]}}}],
}
RESULT = {"role": "tool", "content": "21"}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "get", "parameters": {"type": "object", "properties": {"z": {}}}},
    }
]
CHATS = {
    "one": [USER],
    "system": [SYSTEM, USER],
    "turns": [USER, ASSISTANT, USER],
    "system turns": [SYSTEM, USER, ASSISTANT, USER, ASSISTANT, USER],
    "reasoning last": [USER, ASSISTANT],
    "thinking": [USER, {"role": "assistant", "content": "a", "thinking": "b"}],
    "tool": [USER, CALL, RESULT, RESULT],
}
FOLDER = Path(__file__).with_name("templates")
TEMPLATES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.jinja")}


@pytest.fixture(scope="module")
def templates():
    made = {name: ChatTemplate(source, TOKENS) for name, source in TEMPLATES.items()}
    yield made
    for template in made.values():
        template.close()


def transformers_rendering(source: str, chat: list[dict], **options) -> tuple[str, str | None]:
    """The rendering, or the message of the error."""
    chat = [{key: value for key, value in m.items() if value is not None} for m in chat]
    try:
        rendered, _ = render_jinja_template([chat], chat_template=source, **TOKENS, **options)
    except (TemplateError, TypeError, ValueError) as error:
        return "", str(error)
    return rendered[0], None


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["", "tools"])
@pytest.mark.parametrize("prompt", [True, False], ids=["prompt", ""])
def test_renders_as_transformers(templates, name, chat, tools, prompt):
    options = {"tools": tools, "add_generation_prompt": prompt}
    expected, refusal = transformers_rendering(TEMPLATES[name], CHATS[chat], **options)
    if refusal is None:
        assert templates[name].render(CHATS[chat], **options) == expected
    else:
        with pytest.raises(ChatTemplateError, match=re.escape(refusal)):
            templates[name].render(CHATS[chat], **options)


@pytest.mark.parametrize("name", ["chatml", "llama3", "loops"])
def test_continues_the_final_message_as_transformers(templates, name):
    for content in ("Hello, ", "Hello,\n", [{"type": "text", "text": "Hello"}]):
        chat = [USER, {"role": "assistant", "content": content}]
        source = TEMPLATES[name]
        expected, refusal = transformers_rendering(source, chat, continue_final_message=True)
        if refusal is None:
            assert templates[name].render(chat, continue_final_message=True) == expected
            assert chat[-1]["content"] == content
        else:
            with pytest.raises((ChatTemplateError, RequestError)):
                templates[name].render(chat, continue_final_message=True)


def test_final_message_without_text(templates):
    for content in (None, [], [{"type": "image"}], 3):
        chat = [USER, {"role": "assistant", "content": content}]
        with pytest.raises(RequestError, match="final message with text"):
            templates["chatml"].render(chat, continue_final_message=True)


def test_final_message_that_the_template_leaves_out():
    template = ChatTemplate("{{ messages[0].content }}")
    with pytest.raises(RequestError, match="no place to continue"):
        template.render([USER, ASSISTANT], continue_final_message=True)
    template.close()


def test_options(templates):
    chatml, llama3 = templates["chatml"], templates["llama3"]
    assert chatml.render([USER], options={"enable_thinking": False}).endswith("</think>\n\n")
    assert "26 Jul 2024" in llama3.render([USER], options={"date_string": "26 Jul 2024"})
    assert datetime.now().strftime("%b %Y") in llama3.render([USER])
    assert "enable_thinking" in chatml.variables
    with pytest.raises(ConfigError, match=r"no option enable_thinking\..*date_string"):
        llama3.render([USER], options={"enable_thinking": False})


@pytest.mark.parametrize(
    "name",
    ["messages", "tools", "tokenize", "add_generation_prompt", "raise_exception", "bos_token",
     "namespace", "range", "loop", "self", "_private", "__class__", "Upper", "a b", "", "a" * 65],
)  # fmt: skip
def test_options_that_shadow(templates, name):
    with pytest.raises(ConfigError, match="cannot be a chat template option"):
        templates["chatml"].render([USER], options={name: 1})


def test_malformed_chats(templates):
    for chat in ([], [3], ["text"], [{}], [{"role": 3}], [{"content": "x"}]):
        with pytest.raises(RequestError):
            templates["chatml"].render(chat)
    with pytest.raises(RequestError, match="JSON"):
        templates["chatml"].render([{"role": "user", "content": b"x"}])
