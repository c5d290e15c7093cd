"""The batch of a decode step as arrays, built once and kept while its sequences stay the same.

In a steady batch a step costs the host no array at all, but for a new block now and then.
"""

from collections.abc import Sequence as Seq
from dataclasses import replace

import mlx.core as mx
import numpy as np

from mlx_backends.core import SamplingParams
from mlx_backends.engine.decode_step import DecodeInputs, DecodeOutputs
from mlx_backends.engine.sampler import RowArrays, RowContext, Sampled, sample
from mlx_backends.engine.sequence import Sequence
from mlx_backends.kernels.tuning import power_of_two

MIN_WIDTH = 16
_PADDING = SamplingParams()


class DecodeBatch:
    """Some sequences that take a token each, padded to the size of a bucket.

    Args:
        sequences: As the scheduler counted them: this step's token included.
        scratch_block: Where padding rows write.
        size: Rows, padding included.
        tokens: (B,) int32, the last token of each row; None where the host has read them all.

    Attributes:
        sequences: Those of the rows, in order.
        inputs: Arrays of the next step.
    """

    def __init__(
        self,
        sequences: Seq[Sequence],
        scratch_block: int,
        size: int,
        tokens: mx.array | None = None,
    ) -> None:
        self.sequences = tuple(sequences)
        width = power_of_two(max(MIN_WIDTH, *(len(s.block_ids) for s in sequences)))
        self._tables = np.full((size, width), scratch_block, dtype=np.int32)
        self._num_blocks = [0] * len(sequences)
        self._expected_lens = [s.num_computed_tokens for s in sequences]
        self._num_preemptions = [s.num_preemptions for s in sequences]
        padding = size - len(sequences)
        self._fill_tables()
        last, context_lens, growth, prompt_lens, tables = _arrays(
            [*(s.last_token_id for s in sequences), *[0] * padding],
            [*self._expected_lens, *[1] * padding],
            [1] * len(sequences) + [0] * padding,
            [*(len(s.prompt_token_ids) for s in sequences), *[1] * padding],
            self._tables,
        )
        self.inputs = DecodeInputs(
            tokens=last if tokens is None else tokens,
            context_lens=context_lens,
            growth=growth,
            prompt_lens=prompt_lens,
            block_tables=tables,
            rows=RowArrays.of(
                [s.params for s in sequences] + [_PADDING] * padding,
                [s.seed for s in sequences] + [0] * padding,
            ),
        )

    def can_serve(self, sequences: Seq[Sequence]) -> bool:
        """Whether ``inputs`` are those of a step for these sequences, tables aside."""
        return (
            tuple(sequences) == self.sequences
            and [s.num_computed_tokens for s in sequences] == self._expected_lens
            # One that came back has other blocks, even where its length is the expected one.
            and [s.num_preemptions for s in sequences] == self._num_preemptions
        )

    def take_new_blocks(self) -> bool:
        """Write new blocks of the sequences into the tables; False if these are too narrow."""
        if all(map(_has_count, self.sequences, self._num_blocks)):
            return True
        if max(len(s.block_ids) for s in self.sequences) > self._tables.shape[1]:
            return False
        self._fill_tables()
        self.inputs = replace(self.inputs, block_tables=mx.array(self._tables))
        return True

    def advance(self, outputs: DecodeOutputs, tokens: mx.array) -> None:
        """Make ``inputs`` those of the step after one that was run on them."""
        self._expected_lens = [length + 1 for length in self._expected_lens]
        self.inputs = replace(self.inputs, tokens=tokens, context_lens=outputs.context_lens)

    def _fill_tables(self) -> None:
        for row, sequence in enumerate(self.sequences):
            known, ids = self._num_blocks[row], sequence.block_ids
            self._tables[row, known : len(ids)] = ids[known:]
            self._num_blocks[row] = len(ids)


def batch_bucket(num_sequences: int, smallest: int = 1) -> int:
    """Rows of a batch for so many sequences: one, or a power of two from ``smallest`` on."""
    return 1 if num_sequences == 1 else max(smallest, power_of_two(num_sequences))


def buckets(smallest: int, largest: int) -> list[int]:
    """The powers of two from one that holds ``smallest`` to one that holds ``largest``."""
    first, last = power_of_two(smallest), max(power_of_two(smallest), power_of_two(largest))
    return [1 << exponent for exponent in range(first.bit_length() - 1, last.bit_length())]


def scratch_inputs(size: int, width: int, scratch_block: int, temperature: float) -> DecodeInputs:
    """Inputs of a bucket that belong to no sequence, to compile its step with."""
    params = SamplingParams(temperature=temperature)
    return DecodeInputs(
        tokens=_int32([0] * size),
        context_lens=_int32([1] * size),
        growth=_int32([0] * size),
        prompt_lens=_int32([1] * size),
        block_tables=mx.full((size, width), scratch_block, dtype=mx.int32),
        rows=RowArrays.of([params] * size, [0] * size),
    )


def scratch_draw(logits: mx.array, temperature: float) -> Sampled:
    """A draw for no sequence, to compile what a first token needs. Shapes: logits (B, V)."""
    params = SamplingParams(temperature=temperature)
    contexts = [RowContext(params=params, seed=0)] * len(logits)
    return sample(logits, contexts)


def _has_count(sequence: Sequence, count: int) -> bool:
    return len(sequence.block_ids) == count


def _arrays(*parts: list[int] | np.ndarray) -> list[mx.array]:
    """Some int32 arrays, handed over as one: each costs a GPU some time."""
    flat = [np.asarray(part, np.int32) for part in parts]
    whole = mx.array(np.concatenate([part.reshape(-1) for part in flat]))
    stops = np.cumsum([part.size for part in flat]).tolist()
    return [
        whole[stop - part.size : stop].reshape(part.shape)
        for part, stop in zip(flat, stops, strict=True)
    ]


def _int32(values: list[int]) -> mx.array:
    return mx.array(values, dtype=mx.int32)
