"""How samples become tensors and which networks read them, one folder each."""
