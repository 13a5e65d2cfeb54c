"""Where ratings and pictures come from: one module for each published layout."""
