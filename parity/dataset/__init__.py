"""Recorded episodes: what a dataset holds, whether its files are what its index says, and its frames, streamed."""
