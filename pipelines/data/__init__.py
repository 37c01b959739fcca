"""The training and test data: sets by name, patches on the fly, test images."""
