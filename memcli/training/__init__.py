"""Training a network: the recipe, the loop, the choice of how to retrain."""
