"""The modality text."""
