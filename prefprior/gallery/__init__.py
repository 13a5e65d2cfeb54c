"""Galleries: the pictures made for a user, with all that is needed to make them again."""
