"""State, its registry, its journal and its injection: knows no notebook, engine or server."""
