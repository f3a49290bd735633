"""The modality graph."""
