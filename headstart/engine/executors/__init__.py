"""What may run a frozen trunk, one file each; the file's name is the executor's name."""
