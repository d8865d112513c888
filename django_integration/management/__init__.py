"""Management commands of the adapter."""
