"""How architectures are found: search strategies and derivation."""
