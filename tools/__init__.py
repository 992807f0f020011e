"""Scripts for those who work on drift: the wheel, the pictures of the documentation."""
