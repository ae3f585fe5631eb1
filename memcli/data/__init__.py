"""Images: what a data set is, where it comes from, how it is augmented and whitened."""
