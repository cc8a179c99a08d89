"""What is beyond its limits, and how it is removed."""
