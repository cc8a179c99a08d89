"""The configuration: one file, the environment and the command line, checked as a whole."""
