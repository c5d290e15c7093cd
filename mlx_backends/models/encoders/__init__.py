"""Encoder architectures: token ids in, one vector for each token out."""
