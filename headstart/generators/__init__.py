"""Pictures drawn by formula: labelled data for pre-training that owes nothing to any photograph.

`ink` turns points into pictures, `strokes`, `contours` and `fractals` hold classes of shapes,
`textures` the grounds, `scenes` puts them together. All is seeded: a `torch.Generator` in the same
state draws the same pictures.
"""
