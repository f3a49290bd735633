"""From features to the outcome, one file each; the file's name is the outcome's name."""
