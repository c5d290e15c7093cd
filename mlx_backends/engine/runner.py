"""What the loop asks of whatever runs the model. Used on the MLX thread only."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mlx_backends.cache.prefix_cache import BlockCopy
from mlx_backends.engine.launched import Launched
from mlx_backends.engine.sequence import Sequence
from mlx_backends.engine.step import PrefillChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerStats:
    """What a runner holds and did.

    Attributes:
        bytes_per_block: KV entries of one block, over all layers; 0 if it keeps no pool.
        pool_bytes: KV entries allocated, in use or not.
        traces: Decode steps that were compiled, one for each bucket of batch and context.
        compile_s: Seconds spent in the first run of each.
        operations: Operations of the decode step compiled last, views left out.
    """

    bytes_per_block: int = 0
    pool_bytes: int = 0
    traces: int = 0
    compile_s: float = 0.0
    operations: int = 0


class Runner(Protocol):
    """Computes what a step of the scheduler asks for."""

    @property
    def runs_ahead(self) -> bool:
        """Whether a step may be launched before the tokens of the one before were read."""
        ...

    @property
    def stats(self) -> RunnerStats: ...

    @property
    def peak_memory_bytes(self) -> int: ...

    def warm_up(self, max_num_seqs: int, context_window: int) -> None:
        """Compile what decode steps of up to so many sequences and tokens need, and prompts."""
        ...

    def copy_blocks(self, copies: Seq[BlockCopy]) -> None:
        """Copy blocks of KV entries, before the chunks and rows of the same step."""
        ...

    def prefill(self, chunk: PrefillChunk) -> Launched | None:
        """Compute the KV entries of a chunk, and draw a token after the last one of a prompt."""
        ...

    def decode(self, sequences: Seq[Sequence]) -> Launched:
        """Draw the next token of each sequence."""
        ...

    def free(self, sequence: Sequence) -> None:
        """Drop what is held for a sequence outside the KV pool."""
        ...


@runtime_checkable
class PackingRunner(Runner, Protocol):
    """A runner that computes a whole step in one pass: weights are read once for all its rows."""

    def run(self, prefill: Seq[PrefillChunk], decode: Seq[Sequence]) -> Launched | None:
        """Compute the chunks, and draw a token for each sequence that is due one."""
        ...


@runtime_checkable
class PrefillPackingRunner(Runner, Protocol):
    """A runner that computes all chunks of a step in one pass, and its decode rows in another."""

    def prefill_together(self, chunks: Seq[PrefillChunk]) -> Launched | None:
        """Compute the chunks, and draw a token after each that ends a prompt."""
        ...
