"""Dataset, splits without leakage, the seal on the test split, quality."""
