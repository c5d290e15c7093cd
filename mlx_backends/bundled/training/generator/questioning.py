"""Asks the questions of a context in a conversation, in one of many wrappers."""

import random

from mlx_backends.bundled.training.generator.items import (
    Context,
    Conversation,
    Item,
    Message,
    answer_text,
)
from mlx_backends.bundled.training.generator.small_talk import PLAIN_SYSTEMS
from mlx_backends.bundled.training.grammar import uncapitalize
from mlx_backends.bundled.training.thesaurus import Thesaurus
from mlx_backends.text.grounding import GROUNDED_SYSTEM_PROMPT, REFUSAL, number_passages


class Questioning:
    """Turns contexts into conversations."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._thesaurus = Thesaurus(rng)

    def conversation(self, context: Context, *, turns: int | None, in_order: bool) -> Conversation:
        """Ask several questions of a context in a random wrapper."""
        rng = self.rng
        items = context.items if in_order else self._order(context.items)
        items = items[: turns or (6 if in_order else rng.choice((1, 2, 3, 4, 5, 6, 8, 10)))]
        draw = rng.random()
        if draw < 0.12:
            return self._unnumbered(context, items)
        system, first = self._wrapper(context)
        as_json = rng.random() < 0.1
        messages: list[Message] = [{"role": "system", "content": system}] if system else []
        for index, item in enumerate(items):
            json_turn = as_json or rng.random() < 0.02
            question = self._question(item.question) + (rng.choice(_JSON_ASKS) if json_turn else "")
            content = first.format(question=question) if index == 0 else f"Question: {question}"
            if index and rng.random() < 0.15:
                content = question
            messages.append({"role": "user", "content": content})
            messages.append({"role": "assistant", "content": answer_text(item, as_json=json_turn)})
        return Conversation(messages)

    def _order(self, items: list[Item]) -> list[Item]:
        """Mix in refusals so that about a third of the questions have no answer."""
        rng = self.rng
        answered = [item for item in items if item.answer is not None]
        missing = [item for item in items if item.answer is None]
        ordered: list[Item] = []
        while answered or missing:
            pool = missing if missing and (not answered or rng.random() < 0.4) else answered
            if pool is missing and not answered and ordered:
                break
            ordered.append(pool.pop())
        return ordered

    def _question(self, question: str) -> str:
        rng = self.rng
        if rng.random() < 0.5:
            question = self._thesaurus.reword(question)
        if rng.random() < 0.5:  # few people mark code in a question
            question = question.replace("`", "")
        draw = rng.random()
        if draw < 0.80:
            return question
        if draw < 0.85:
            return (
                question.rstrip("?.").lower()
                if "`" not in question and rng.random() < 0.3
                else uncapitalize(question).rstrip("?")
            )
        if draw < 0.95:
            return rng.choice(_QUESTION_HEADS) + uncapitalize(question)
        return question + rng.choice(_QUESTION_TAILS)

    def _wrapper(self, context: Context) -> tuple[str, str]:
        """Choose a system prompt and the first user turn, with ``{question}`` left open."""
        rng = self.rng
        numbered = number_passages(context.passages)
        draw = rng.random()
        system = GROUNDED_SYSTEM_PROMPT
        if draw > 0.76:
            system = rng.choice(_SYSTEM_PARAPHRASES)
        draw = rng.random()
        if draw > 0.90:
            body = "\n\n".join(f"Source {i}:\n{text}" for i, text in enumerate(context.passages, 1))
        elif draw > 0.83:
            body = "Context:" + numbered.removeprefix("Passages:")
        elif draw > 0.79:
            body = numbered.removeprefix("Passages:\n")
        else:
            body = numbered
        body = body.replace("{", "{{").replace("}", "}}")
        tail = "\n\nQuestion: {question}" if rng.random() < 0.93 else "\n\n{question}"
        return system, body + tail

    def _unnumbered(self, context: Context, items: list[Item]) -> Conversation:
        rng = self.rng
        joined = "\n\n".join(context.passages)
        template = rng.choice(_UNNUMBERED)
        messages: list[Message] = []
        if rng.random() < 0.3:
            messages.append({"role": "system", "content": rng.choice(PLAIN_SYSTEMS)})
        for index, item in enumerate(items):
            question = self._question(item.question)
            content = (
                template.replace("{q}", question).replace("{c}", joined) if index == 0 else question
            )
            messages.append({"role": "user", "content": content})
            messages.append({"role": "assistant", "content": item.answer or REFUSAL})
        return Conversation(messages)


_QUESTION_HEADS = (
    "Please tell me: ", "Quick question: ", "According to the passages, ", "According to the docs, ",
    "I would like to know: ", "Tell me: ", "From the text, ", "In the passages, ", "Hi, ", "Can you tell me: ",
    "Do you know: ", "Short answer please: ",
)  # fmt: skip


_QUESTION_TAILS = (
    " Answer briefly.", " Please cite the passage.", " Be short.", " Thanks.", " Use the passages.",
    " Only the answer, please.",
)  # fmt: skip


_JSON_ASKS = (
    " Answer as JSON.", ' Answer as JSON with the keys "answer" and "source".', " Reply in JSON.",
    " Give a JSON object with answer and source.", " Return JSON.",
)  # fmt: skip


_SYSTEM_PARAPHRASES = (
    "", "", "",
    "Use the numbered passages to answer and name the one that you used, like [1].",
    "Answer from the passages and cite them.",
    "You answer questions about documents. Cite the passage, like [1]. If the answer is not there, say: The context does not say.",
    "Answer with a citation such as [2]. Use nothing but the passages.",
    "You are a helpful assistant. Answer from the context and cite your source in brackets.",
    "Read the passages and answer the question briefly, citing the passage number.",
    "Reply with the number of the passage in brackets and a short answer.",
    "Answer questions using only the given sources. Cite as [n].",
)  # fmt: skip


_UNNUMBERED = (
    "Context information is below.\n---------------------\n{c}\n---------------------\nGiven the context information and not prior knowledge, answer the query.\nQuery: {q}\nAnswer: ",
    "Context information is below.\n---------------------\n{c}\n---------------------\nGiven the context information and not prior knowledge, answer the query.\nQuery: {q}\nAnswer: ",
    "Use the following pieces of context to answer the question at the end. If you don't know the answer, say so and do not make one up.\n\n{c}\n\nQuestion: {q}\nHelpful answer:",
    "You help with question answering. Use these retrieved pieces of context for your answer. If the answer is not there, say that you do not know. Keep it short.\nQuestion: {q}\nContext: {c}\nAnswer:",
    "Answer the question based only on the following context:\n{c}\n\nQuestion: {q}",
    "Context:\n{c}\n\nQuestion: {q}",
    "{c}\n\nQuestion: {q}\nAnswer:",
    "{c}\n\n{q}",
)  # fmt: skip
