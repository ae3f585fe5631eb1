"""The search for a memory: recipes, the loop over outer steps, tuning."""
