"""Classifiers of torchvision and Hugging Face: which there are, building them, exporting them and comparing answers."""
