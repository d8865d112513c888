"""What a child process does with its life: load and fork (template), or serve (worker)."""
