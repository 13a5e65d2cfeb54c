"""The studio over HTTP: pages for people, an API for platforms."""
