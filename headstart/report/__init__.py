"""A finished run as one self-contained page that a domain expert can read."""
