"""What processes share: memory that is mapped before they part."""
