"""The modality table."""
