"""The rounding of the file that ships, applied to a model in training."""

from torch import Tensor, nn

from mlx_backends.bundled.training import common
from mlx_backends.bundled.training.lm.model import LanguageModel
from mlx_backends.bundled.training.shapes import EMBEDDING_BITS, LINEAR_BITS


class Rounding:
    """A model's matrices, which can be rounded as MLX will round them, and put back.

    The forward pass sees rounded weights and the step moves the exact ones (the straight-through
    estimator of Bengio et al. 2013, arXiv:1308.3432).
    """

    def __init__(self, model: LanguageModel) -> None:
        embedding = [model.embed_tokens.weight]
        linear = [p for p in model.parameters() if p.dim() == 2 and p is not embedding[0]]
        self._parts: list[tuple[int, list[nn.Parameter]]] = [
            (EMBEDDING_BITS, embedding),
            (LINEAR_BITS, linear),
        ]
        self._exact: list[list[Tensor]] = []

    def apply(self) -> None:
        """Round every matrix."""
        self._exact = [common.fake_quantize(matrices, bits) for bits, matrices in self._parts]

    def undo(self) -> None:
        """Put the exact weights back, if they were rounded."""
        for (_, matrices), exact in zip(self._parts, self._exact, strict=False):
            common.restore(matrices, exact)
        self._exact = []
