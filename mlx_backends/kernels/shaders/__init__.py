"""Metal kernel functions of the caller's own, checked and run on Metal, CUDA or a CPU."""

from mlx_backends.kernels.shaders.decorator import shader
from mlx_backends.kernels.shaders.shader import Shader, compile_shader, launch

__all__ = ["Shader", "compile_shader", "launch", "shader"]
