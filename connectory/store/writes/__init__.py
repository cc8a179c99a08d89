"""What is written of a system, within the transaction of the caller."""
