"""What the engine knows of a system without asking its store: by it the next answer is compared and judged."""
