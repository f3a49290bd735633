"""The modality audio."""
