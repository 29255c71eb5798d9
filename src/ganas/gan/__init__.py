"""What a GAN learns: losses as pure functions, and the four networks of a CycleGAN."""
