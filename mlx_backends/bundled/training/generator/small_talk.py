"""Greetings, thanks and questions without passages."""

import json
import random

from mlx_backends.bundled.training.generator.facts import Facts
from mlx_backends.bundled.training.generator.items import Conversation, Message
from mlx_backends.text.grounding import GROUNDED_SYSTEM_PROMPT

NEEDS_PASSAGES = "I answer from passages. Please give me some."
PLAIN_SYSTEMS = (
    "You are a helpful assistant.", "You are a helpful, concise assistant.", "Answer briefly.",
    "You are an assistant that can use tools.", "Be helpful.",
)  # fmt: skip
SMALL_TALK = (
    (("Hello", "Hi", "Hello!", "Hi there", "Hey", "Good morning", "Good evening", "Hello there!", "Greetings"), "Hello! Give me passages and a question about them."),
    (("How are you?", "How is it going?", "How do you do?", "Are you well?"), "I am fine, thank you."),
    (("Who are you?", "What are you?", "Tell me about yourself.", "What model are you?", "What is your name?"), "I am a small demonstration model that answers from passages."),
    (("What can you do?", "Help", "How can you help me?", "What are you for?"), "I answer short questions from passages and cite them."),
    (("Thanks", "Thank you", "Thank you!", "Thanks a lot", "Great, thanks."), "You are welcome."),
    (("Bye", "Goodbye", "See you", "Bye bye!"), "Goodbye!"),
    (("Tell me a joke.", "Write a poem.", "Write a story about the sea.", "Tell me something.", "Write some code."), NEEDS_PASSAGES),
)  # fmt: skip


def json_to_order(rng: random.Random) -> Conversation:
    """Ask for a JSON object with certain keys, without passages."""
    keys = rng.sample(_KEYS, rng.choice((1, 2, 2, 2, 3)))
    topic, what = rng.choice(_TOPICS), rng.choice(_ORDERED)
    quoted = [rng.choice(("'{}'", "'{}'", '"{}"', "`{}`", "{}")).format(key) for key in keys]
    listed = " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
    question = rng.choice(_ORDERS).format(w=what, t=topic, k=listed)
    answer = json.dumps({key: f"A {key} about {topic}" for key in keys})
    return Conversation(
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    )


_KEYS = ["title", "text", "answer", "hint", "question", "opening", "ending", "moral", "name", "reply", "note", "subject"]  # fmt: skip
_ORDERED = ("poem", "riddle", "story", "fact", "slogan", "proverb", "note")
_TOPICS = ("dogs", "rain", "trains", "bread", "the sea", "teachers", "winter", "robots", "fish", "music")  # fmt: skip
_ORDERS = (
    "Tell me a {w} about {t}. Answer as JSON with the keys {k}.", "Give me a {w} about {t} as a JSON object with {k}.", "Write a {w} about {t}. Reply with JSON only, keys {k}.",
    "A {w} about {t}, as JSON with {k} keys. Nothing but JSON.", "JSON with {k}: a {w} on {t}.", "Return a {w} about {t} in JSON. The keys are {k}.",
)  # fmt: skip


def small_talk(rng: random.Random, facts: Facts) -> Conversation:
    """Greet, thank, or ask without passages."""
    messages: list[Message] = []
    if rng.random() < 0.35:
        messages.append(
            {"role": "system", "content": rng.choice([*PLAIN_SYSTEMS, GROUNDED_SYSTEM_PROMPT])}
        )
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.25:
            question, answer = rng.choice(facts.draw(1)[0].asks)[0], NEEDS_PASSAGES
        else:
            asked, answer = rng.choice(SMALL_TALK)
            question = rng.choice(asked)
            question = rng.choice(
                (question, question, question.lower(), question.rstrip(".!?"), question + " ")
            )
        messages += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    return Conversation(messages)
