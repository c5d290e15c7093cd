"""How many kernels a graph will launch: what the host's part of a decode step depends on."""

import io
import re

import mlx.core as mx

# These only look at their input's memory in another way.
_VIEWS = frozenset(
    (
        "AsStrided", "Broadcast", "BroadcastAxes", "ExpandDims", "Flatten", "Reshape", "Slice",
        "Split", "Squeeze", "StopGradient", "Transpose", "Unflatten", "View",
    )
)  # fmt: skip
_LABEL = re.compile(r'label ="([^"]+)", shape=rectangle')


def num_operations(*outputs: mx.array) -> int:
    """Operations that have to run for some arrays, views left out; MLX may add copies."""
    text = io.StringIO()
    mx.export_to_dot(text, *outputs)
    return sum(label not in _VIEWS for label in _LABEL.findall(text.getvalue()))
