"""Rules that hold for the sources as a whole."""
