"""Checks, one a file: the file's name is the check's registered name; a leading underscore is no check."""
