"""Feature values, histories and model inputs as of a point in time, from one state for batch and stream."""
