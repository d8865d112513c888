"""The log: where it goes, the start-up lines, and the facts and form of request lines."""
