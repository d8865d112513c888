"""Reports of requests that took too long: what is in them, how they read, where they go. Knows no process."""
