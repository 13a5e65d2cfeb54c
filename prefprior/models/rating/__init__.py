"""The rating head: how a user would rate an item, beside how probable it is that they come to it."""
