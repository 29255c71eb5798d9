"""DGGAN: a GAN that is grown layer by layer while it trains, its growing actions found by a search."""
