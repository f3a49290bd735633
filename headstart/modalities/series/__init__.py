"""The modality series."""
