"""What stored features give without training: clusters, and the nearest rows."""
