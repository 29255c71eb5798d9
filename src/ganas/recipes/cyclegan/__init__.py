"""The experiments of CycleGANAS, figure by figure, and fronts."""
