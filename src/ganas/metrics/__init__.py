"""How good a GAN is: feature networks, their statistics, and distances between them."""
