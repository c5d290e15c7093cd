"""Base frequencies of rotary positions, from the two forms that ``config.json`` has them in."""

from collections.abc import Mapping
from typing import Any

from mlx_backends.models.encoders.config_values import mapping, require_choice, require_positive


def rope_base(
    config: Mapping[str, Any], layer_type: str | None, old_name: str, default: float
) -> float:
    """Base of a kind of layer.

    Args:
        config: A ``config.json``.
        layer_type: Its name under ``rope_parameters``, the form of transformers 5; None if the
            object is not divided by kinds.
        old_name: Where the base was before.
        default: What a file that says nothing means.

    Raises:
        ModelLoadError: It is no number above 0.
        UnsupportedModelError: Positions are scaled.
    """
    parameters = mapping(config, "rope_parameters")
    if layer_type is not None:
        parameters = mapping(parameters, layer_type)
    require_choice("rope_type", parameters.get("rope_type", "default"), ("default",))
    require_choice("rope_scaling", config.get("rope_scaling"), (None,))
    base = parameters.get("rope_theta", config.get(old_name))
    base = default if base is None else base
    require_positive("rope_theta", base)
    return float(base)
