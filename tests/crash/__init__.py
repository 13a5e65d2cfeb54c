"""Every command is stopped at each of its file operations in turn, and run again: what it leaves must not differ."""
