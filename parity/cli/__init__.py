"""The command line: one file per command, each a screen long."""
