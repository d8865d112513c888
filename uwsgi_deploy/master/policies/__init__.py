"""Rules of the master: pure functions from the fleet and an instant to actions. They change nothing themselves."""
