"""As in ais_bench."""
