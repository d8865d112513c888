"""Ways in for what the master is told, beside signals: each turns what it reads into requests, and decides nothing."""
