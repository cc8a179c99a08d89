"""Two engines over one store, whose sources and transactions a test holds back and lets go at will."""
