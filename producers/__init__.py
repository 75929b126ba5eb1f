"""Cameras: from a source of pictures to the frames topic."""
