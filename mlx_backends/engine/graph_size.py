"""What a graph has MLX compute, and how many kernels it will launch."""

import io
import re
from collections import Counter

import mlx.core as mx

# These only look at their input's memory in another way.
_VIEWS = frozenset(
    (
        "AsStrided", "Broadcast", "BroadcastAxes", "ExpandDims", "Flatten", "Reshape", "Slice",
        "Split", "Squeeze", "StopGradient", "Transpose", "Unflatten", "View",
    )
)  # fmt: skip
_LABEL = re.compile(r'label ="([^"]+)", shape=rectangle')


def operations_of(*arrays: mx.array) -> Counter[str]:
    """Operations that some arrays still wait for, by name."""
    if not arrays:
        return Counter()
    text = io.StringIO()
    mx.export_to_dot(text, *arrays)
    return Counter(_LABEL.findall(text.getvalue()))


def num_operations(*outputs: mx.array) -> int:
    """Operations that have to run for some arrays, views left out; MLX may add copies."""
    return sum(n for name, n in operations_of(*outputs).items() if name not in _VIEWS)
