"""A Metal kernel function of your own: element-wise addition, on Metal, on CUDA or on any CPU."""

import mlx.core as mx
import numpy as np

from mlx_backends.kernels import compile_shader, launch, shader

SHADER = """
#include <metal_stdlib>
using namespace metal;
kernel void add_arrays(device const float *in1 [[buffer(0)]],
                       device const float *in2 [[buffer(1)]],
                       device float *out [[buffer(2)]],
                       uint id [[thread_position_in_grid]]) {
    out[id] = in1[id] + in2[id];
}
"""


def custom_metal_shader(x: mx.array, y: mx.array) -> mx.array:
    """Element-wise addition by a shader."""
    kernel = compile_shader(SHADER, "add_arrays")
    [out] = launch(kernel, x.shape, [x, y], [x.shape], [x.dtype])
    return out


@shader(SHADER, debug=True)
def add_arrays(x: mx.array, y: mx.array) -> mx.array:
    """What the shader computes; compared with it at the first call, because of ``debug``."""
    return x + y


def main() -> tuple[mx.array, mx.array]:
    random = np.random.default_rng(0)
    x = mx.array(random.random(1024, np.float32))
    y = mx.array(random.random(1024, np.float32))
    result = custom_metal_shader(x, y)
    print(result)
    return result, add_arrays(x, y)


if __name__ == "__main__":
    main()
