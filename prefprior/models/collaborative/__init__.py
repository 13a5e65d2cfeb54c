"""The collaborative head: what the same users like together, whatever it looks like."""
