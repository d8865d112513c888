"""Loop engines: what a core is, and who polls the reactor. All run the same `Worker.serve`."""
