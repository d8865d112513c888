"""The supervisor: observes processes, decides with pure policies, acts in one executor. Never imports
the application."""
