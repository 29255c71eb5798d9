"""ganas: GAN architecture search. Find, train and use the GAN that fits your images."""

__version__ = "0.1.0"
