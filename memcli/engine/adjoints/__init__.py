"""Ways to differentiate through a training: each gives the same gradient, at another cost."""
