"""Conformance: what goes over the wire, as cases in data files, against real servers of every shape."""
