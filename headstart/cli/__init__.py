"""The command line, one file a verb, loaded by name."""
