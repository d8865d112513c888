"""Random, broken and lying input for every codec: `python -m tests.fuzz --help`."""
