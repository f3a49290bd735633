"""Networks of pictures as stages; they stand in `modalities/_pictures.py`, as spectrograms need them too."""

from headstart.modalities._pictures import DEFAULT, PictureBackbone, reference, stage

__all__ = ["DEFAULT", "PictureBackbone", "reference", "stage"]
