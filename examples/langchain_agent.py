"""LangChain: an agent that calls a tool and answers from its result."""

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from mlx_backends.langchain import ChatMLX

PORTS = {"Harlow": 8080, "Venmor": 9200}


@tool
def get_port(name: str) -> str:
    """Return the port of a server."""
    return str(PORTS.get(name, "unknown"))


def main(model: str = "bundled") -> str:
    agent = create_agent(ChatMLX(model=model, temperature=0, max_tokens=64), [get_port])
    state = agent.invoke({"messages": [HumanMessage("What is the port of Harlow?")]})
    for message in state["messages"]:
        message.pretty_print()
    return state["messages"][-1].text


if __name__ == "__main__":
    main()
