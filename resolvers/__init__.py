"""How the schema's questions are answered: reads the store, batches, pages."""
