"""Runs and packs: what a run leaves and what is shipped."""
