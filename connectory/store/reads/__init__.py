"""What is read of the store: one snapshot for an operation, records, filters and orders as SQL."""
