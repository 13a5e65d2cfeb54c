"""The scoreboard for readers: tables, plots and one HTML page."""
