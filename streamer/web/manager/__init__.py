"""The pages over the store of models."""
