"""A simulated Feldera. The adapter knows nothing of it, and it knows nothing of the adapter."""
