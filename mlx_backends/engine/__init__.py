"""The generation engine: requests in, streams of tokens out."""
