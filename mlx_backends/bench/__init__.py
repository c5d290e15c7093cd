"""Benchmarks that anyone can run: this engine against named peers, in one run, on the same weights.

``python -m mlx_backends.bench engine`` needs MLX and mlx-lm only, and downloads nothing.
"""
