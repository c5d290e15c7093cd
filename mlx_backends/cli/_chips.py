"""Apple's M-series: memory sizes, and the bandwidth that decode speed hangs on.

Sources: Apple's technical specifications of each machine and announcements of each chip; M1 as
llama.cpp's contributors list it (68 GB/s). Figures are the makers', not measured here.
"""

from dataclasses import dataclass

# What macOS lets a GPU use of all memory, by default: about two thirds of small machines and three
# quarters of large ones (recommendedMaxWorkingSetSize, as users of llama.cpp and MLX report it).
_SMALL_GIB = 36
_SMALL_SHARE, _LARGE_SHARE = 2 / 3, 3 / 4
# mlx-lm's own benchmark of Qwen3-4B in 4 bits on an M4 Max: 134.5 tokens/s at 2.26 GB a token is
# 56% of 546 GB/s. Smaller models reach less, larger ones more.
LIKELY_SHARE = 0.56
# Launches, not bytes, bound small models: the fastest published decode of one stream with MLX
# (vllm-mlx, Qwen3-0.6B, M4 Max: arXiv 2601.19139).
MOST_TOKENS_PER_S = 525


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip as it is sold.

    Attributes:
        name: Apple's.
        bandwidth: GB/s of its memory, in its fastest form.
        memory_gib: Sizes that it is sold with.
    """

    name: str
    bandwidth: int
    memory_gib: tuple[int, ...]


CHIPS = (
    Chip("M1", 68, (8, 16)),
    Chip("M1 Pro", 200, (16, 32)),
    Chip("M1 Max", 400, (32, 64)),
    Chip("M1 Ultra", 800, (64, 128)),
    Chip("M2", 100, (8, 16, 24)),
    Chip("M2 Pro", 200, (16, 32)),
    Chip("M2 Max", 400, (32, 64, 96)),
    Chip("M2 Ultra", 800, (64, 128, 192)),
    Chip("M3", 100, (8, 16, 24)),
    Chip("M3 Pro", 150, (18, 36)),
    Chip("M3 Max", 400, (36, 48, 64, 96, 128)),
    Chip("M3 Ultra", 819, (96, 256, 512)),
    Chip("M4", 120, (16, 24, 32)),
    Chip("M4 Pro", 273, (24, 48, 64)),
    Chip("M4 Max", 546, (36, 48, 64, 128)),
    Chip("M5", 153, (16, 24, 32)),
    Chip("M5 Pro", 307, (24, 48, 64)),
    Chip("M5 Max", 614, (36, 48, 64, 128)),
)


def likely_speed(ceiling: float) -> float:
    """Tokens/s to expect where bandwidth alone allows ``ceiling``."""
    return min(LIKELY_SHARE * ceiling, MOST_TOKENS_PER_S)


def usable_bytes(memory_gib: int) -> int:
    """What a GPU may use of a machine's memory by default."""
    share = _SMALL_SHARE if memory_gib <= _SMALL_GIB else _LARGE_SHARE
    return int(share * memory_gib * 2**30)


def smallest_that_fits(chip: Chip, num_bytes: int) -> int | None:
    """The smallest memory size of a chip, in GiB, that holds so many bytes; None if none does."""
    return next((size for size in chip.memory_gib if usable_bytes(size) >= num_bytes), None)
