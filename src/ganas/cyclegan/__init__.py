"""CycleGANAS: differentiable search of both generators and both discriminators of a CycleGAN."""
