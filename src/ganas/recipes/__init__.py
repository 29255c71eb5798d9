"""Recipes: the experiments of both papers, figure by figure and table by table."""
