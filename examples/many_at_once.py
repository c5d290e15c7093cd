"""Many callers, one engine: threads and tasks share it, and each gets its own answer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from mlx_backends.langchain import ChatMLX
from mlx_backends.text.grounding import grounded_messages

PORTS = {name: 8000 + 7 * i for i, name in enumerate(["Alder", "Birch", "Cedar", "Elm"])}


def messages(name: str) -> list:
    passages = [f"The default port of {name} is {port}." for name, port in PORTS.items()]
    return grounded_messages(f"What is the default port of {name}?", passages)


def main(model: str = "bundled") -> tuple[list[str], list[str]]:
    chat = ChatMLX(model=model, temperature=0, max_tokens=24)

    with ThreadPoolExecutor() as pool:
        from_threads = [str(m.text) for m in pool.map(chat.invoke, map(messages, PORTS))]

    async def tasks() -> list[str]:
        return [str(m.text) for m in await chat.abatch([messages(name) for name in PORTS])]

    from_tasks = asyncio.run(tasks())
    for name, answer in zip(PORTS, from_tasks, strict=True):
        print(f"{name}: {answer}")
    return from_threads, from_tasks


if __name__ == "__main__":
    main()
