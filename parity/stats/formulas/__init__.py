"""Normalization formulas, one file per framework. They are listed in `parity.stats.formula`."""
