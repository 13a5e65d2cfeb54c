"""Who is evaluated, on what, under which controls, and with what uncertainty."""
