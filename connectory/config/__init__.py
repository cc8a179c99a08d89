"""What the configuration says, and what is wrong with it."""
