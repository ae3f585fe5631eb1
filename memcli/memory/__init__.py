"""The memory: its size, its tensors, how it starts, how its numbers are stored."""
