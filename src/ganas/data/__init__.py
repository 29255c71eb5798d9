"""What a GAN sees: images in folders and zips, unpaired batches, and small built-in datasets."""
