"""Tasks: the fictional encyclopedia, the lookup tool and a user's own data."""
