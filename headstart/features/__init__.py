"""The feature store: rows by content, in LMDB."""
