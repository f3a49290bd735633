"""Predicting with a pack."""
