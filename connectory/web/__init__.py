"""HTTP: the application, its server, and what it takes from whom."""
