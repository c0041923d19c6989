"""A bounded, deterministic search for the input on which two runners differ most: the profile `worst`."""

from parity.search.search import SearchResult, search

__all__ = ["SearchResult", "search"]
