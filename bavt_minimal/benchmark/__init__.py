"""What only a benchmark or a test may use: parts that see the gold answers."""
