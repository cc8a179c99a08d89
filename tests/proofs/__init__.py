"""The same proofs as elsewhere at sizes that take their time."""
