"""The search for the best split of a parameter budget."""
