"""The studies of this package, by name."""

STUDIES = ("tour", "uva2018", "uva2020", "tue2024", "csds600", "families", "truth")
