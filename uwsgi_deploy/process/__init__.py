"""Processes as the operating system sees them: signals, identity, names, pid files. No policy, no
knowledge of workers."""
