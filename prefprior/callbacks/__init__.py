"""What watches a training run: each callback does one thing and is chosen in conf/callbacks."""
