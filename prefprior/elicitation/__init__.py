"""Elicitation: questions to a user, what their answers say of their taste, and what to ask next."""
