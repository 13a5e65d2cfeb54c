"""Galleries: the pictures made for a person, with all that is needed to make them again."""
