"""Where candidates are trained."""
