"""The studio: people answer questions in a browser or through an HTTP API, and see what is made for them."""
