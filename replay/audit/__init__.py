"""The parts of `replay.verify`: each collects findings about one side of a log."""
