"""Recipes: the experiments of CycleGANAS, figure by figure."""
