"""Recorded data through reference and candidates as policies: raw observations in, physical actions out."""
