"""How a launch is laid out over the GPU: shapes of threadgroups and the number of splits."""

from dataclasses import dataclass

from mlx_backends.errors import ConfigError
from mlx_backends.kernels.device import num_multiprocessors
from mlx_backends.kernels.pool import CHUNK

DEFAULT_SIMDGROUPS = 4
_SIMD_WIDTH = 32
_MAX_ROWS = 8
# Rows of several tokens find the context in a cache: half a tile leaves registers for two tokens at
# once. 16 new tokens at 4,096 on an H100: 75 us instead of 81 (head dim 128), 78 for 91 (64).
_MAX_ROWS_OF_QUERIES = 4
_SHARED_FLOATS = 7 * 1024  # of the 32 KiB that Metal grants a threadgroup
_ONE_PASS_TOKENS = 512  # below this a second launch costs more than it saves
_GROUPS_PER_MULTIPROCESSOR = 4
_MIN_SPLIT_TOKENS = 64
_MAX_SPLITS = 128


@dataclass(frozen=True, slots=True)
class Tuning:
    """Layout of the attention kernel; any choice gives the same result.

    Attributes:
        lanes: Neighbouring lanes that share a token's row, a power of two.
        tokens: Tokens a lane reads before it computes: more loads in flight, more registers.
        simdgroups: Simdgroups a threadgroup.
        splits: Parts of the context that run side by side; None chooses by size and device.
    """

    lanes: int
    tokens: int
    simdgroups: int
    splits: int | None = None

    def __post_init__(self) -> None:
        if self.lanes not in (1, 2, 4, 8, 16, 32) or min(self.tokens, self.simdgroups) < 1:
            raise ConfigError(f"{self} is not possible: lanes is a power of two up to 32.")

    @property
    def step(self) -> int:
        """Tokens that a threadgroup reads in one step."""
        return self.simdgroups * (_SIMD_WIDTH // self.lanes) * self.tokens


def default_tuning(head_dim: int, rows: int, *, is_quantized: bool = False) -> Tuning:
    """The layout for a row length and a number of query rows a tile."""
    # One chunk a lane: a lane keeps that many chunks of each row's query and sums in registers.
    # Codes are half as wide or less: twice as many a lane keep as many bytes in flight.
    chunk = 2 * CHUNK if is_quantized and head_dim % (2 * CHUNK) == 0 else CHUNK
    lanes = power_of_two(head_dim // chunk)
    return Tuning(lanes=lanes, tokens=2 if rows <= 4 else 1, simdgroups=DEFAULT_SIMDGROUPS)


def chunk_of_codes(head_dim: int, lanes: int) -> int:
    """Elements that a lane reads at once of codes, whose rows need all their lanes at once.

    Raises:
        ConfigError: The lanes cannot hold a row.
    """
    chunk = CHUNK if lanes * CHUNK >= head_dim else 2 * CHUNK
    if lanes * chunk < head_dim or head_dim % chunk:
        raise ConfigError(f"{lanes} lanes cannot hold a quantized row of {head_dim}; take more.")
    return chunk


def rows_per_tile(
    num_rows: int, head_dim: int, simdgroups: int = DEFAULT_SIMDGROUPS, *, queries: int = 1
) -> int:
    """Query rows that share one reading of the context: all of them, or equal parts."""
    most = _MAX_ROWS if queries == 1 else _MAX_ROWS_OF_QUERIES
    limit = min(most, _SHARED_FLOATS // (simdgroups * head_dim))
    tiles = -(-num_rows // limit)
    return -(-num_rows // tiles)


def num_splits(max_context: int, groups: int) -> int:
    """Parts to cut the longest possible context into, so that the device is full.

    Args:
        max_context: Tokens that a block table has room for.
        groups: Threadgroups of one split: batch times KV heads times tiles.
    """
    if max_context <= _ONE_PASS_TOKENS:
        return 1
    # Rounded down: a few threadgroups that do not fit at once would run alone at the end.
    wanted = _GROUPS_PER_MULTIPROCESSOR * num_multiprocessors() // groups
    return max(1, min(wanted, max_context // _MIN_SPLIT_TOKENS, _MAX_SPLITS))


def power_of_two(count: int) -> int:
    """The least power of two that is not under ``count``."""
    return 1 << (max(count, 1) - 1).bit_length()
