"""Measures the bundled models on what their training never saw.

`rows` says what is asked, `grading` what a right answer is, `chat_model` answers, `held_out` checks
that no name, family or page of the evaluation can occur in training, and `docs_questions` goes from
this project's pages to cited answers. Needs MLX, mlx-lm and numpy; no framework.
"""
