"""Where weights come from, one file a URI scheme."""
