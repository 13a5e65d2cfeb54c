"""The rating head: how a user would rate an item, as opposed to how probable an interaction is."""
