"""The chat format of the bundled model: ChatML in Python, and the same as a Jinja template.

`render` writes training text; `CHAT_TEMPLATE` is what ships. A test holds them equal.
"""

import json
from typing import Any

IM_START, IM_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
TOOL_CALL_START, TOOL_CALL_END = "<tool_call>", "</tool_call>"

_TOOLS_HEAD = "Tools:"
_TOOLS_TAIL = (
    'To call one, answer:\n<tool_call>\n{"name": <name>, "arguments": <arguments>}\n</tool_call>'
)

CHAT_TEMPLATE = (
    # Line breaks stand in expressions: some renderers trim the one after a block tag.
    "{%- macro tool_list() -%}\n"
    "{{- 'Tools:' -}}\n"
    "{%- for tool in tools -%}{{- '\\n' -}}{{- tool | tojson -}}{%- endfor -%}\n"
    "{{- '\\nTo call one, answer:\\n<tool_call>\\n' -}}\n"
    '{{- \'{"name": <name>, "arguments": <arguments>}\\n</tool_call>\' -}}\n'
    "{%- endmacro -%}\n"
    "{%- if tools and (not messages or messages[0].role != 'system') -%}\n"
    "{{- '<|im_start|>system\\n' + tool_list() + '<|im_end|>\\n' -}}\n"
    "{%- endif -%}\n"
    "{%- for message in messages -%}\n"
    "{{- '<|im_start|>' + message.role + '\\n' -}}\n"
    "{{- message.content if message.content is string else '' -}}\n"
    "{%- if tools and loop.first and message.role == 'system' -%}\n"
    "{{- '\\n\\n' + tool_list() -}}\n"
    "{%- endif -%}\n"
    "{%- for call in message.tool_calls or [] -%}\n"
    "{%- set tool_call = call.function if call.function else call -%}\n"
    "{{- '\\n' if not loop.first or message.content -}}\n"
    '{{- \'<tool_call>\\n{"name": "\' + tool_call.name + \'", "arguments": \' -}}\n'
    "{%- if tool_call.arguments is string -%}{{- tool_call.arguments -}}\n"
    "{%- else -%}{{- tool_call.arguments | tojson -}}{%- endif -%}\n"
    "{{- '}\\n</tool_call>' -}}\n"
    "{%- endfor -%}\n"
    "{{- '<|im_end|>\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}\n"
)


def tool_call_text(name: str, arguments: dict[str, Any]) -> str:
    """Write one call as the assistant writes it."""
    call = {"name": name, "arguments": arguments}
    return f"{TOOL_CALL_START}\n{json.dumps(call, ensure_ascii=False)}\n{TOOL_CALL_END}"


def tool_list(tools: list[dict[str, Any]]) -> str:
    """Write what the system turn says of the tools."""
    lines = [json.dumps(tool, ensure_ascii=False) for tool in tools]
    return "\n".join([_TOOLS_HEAD, *lines, _TOOLS_TAIL])


def render(
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None = None,
    *,
    add_generation_prompt: bool = False,
) -> str:
    """Write a conversation as text."""
    if tools:
        if messages and messages[0]["role"] == "system":
            head = {"role": "system", "content": f"{messages[0]['content']}\n\n{tool_list(tools)}"}
            messages = [head, *messages[1:]]
        else:
            messages = [{"role": "system", "content": tool_list(tools)}, *messages]
    turns = [f"{IM_START}{m['role']}\n{m['content']}{IM_END}\n" for m in messages]
    if add_generation_prompt:
        turns.append(f"{IM_START}assistant\n")
    return "".join(turns)
