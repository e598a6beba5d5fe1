"""Ground-truth labels, and the adapters and heads that learn from them."""
