"""The modality image."""
