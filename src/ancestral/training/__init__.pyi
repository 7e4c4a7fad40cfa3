"""Public names of `ancestral.training`."""

from ancestral.training.log import LogLine as LogLine
