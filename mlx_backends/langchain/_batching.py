"""A batch of LangChain's, so that all of it reaches the engine at once."""

from collections.abc import Sequence

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list

# They only wait; the engine queues what it does not run yet.
_MAX_THREADS = 256


def all_at_once(
    config: RunnableConfig | Sequence[RunnableConfig] | None, num_inputs: int
) -> list[RunnableConfig]:
    """The configs of a batch, with a thread for each input unless they say how many.

    LangChain's own default follows the number of cores, which is right for work that a thread does
    itself. Here it would keep the engine from batching.
    """
    configs = get_config_list(config, num_inputs)
    if configs and configs[0].get("max_concurrency") is None:
        configs[0] = {**configs[0], "max_concurrency": min(num_inputs, _MAX_THREADS)}
    return configs
