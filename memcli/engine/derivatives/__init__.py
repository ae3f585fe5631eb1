"""Ways to differentiate one training step."""
