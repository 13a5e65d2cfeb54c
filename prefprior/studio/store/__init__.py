"""What the studio keeps, in SQLite or PostgreSQL: people, questions, answers, what was made, API tokens."""
