"""Sockets: addresses, listeners, the reactor and its connections. No policy, no application."""
