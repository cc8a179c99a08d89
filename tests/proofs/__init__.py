"""What takes long to prove: ``make proofs``, and at the sizes that we promise ``make proofs FULL=1``."""
