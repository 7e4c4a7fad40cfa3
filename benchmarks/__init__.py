"""Speed of the package beside plain PyTorch, other packages and the limit of the arithmetic: `make bench`."""
