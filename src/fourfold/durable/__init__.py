"""How bytes reach the disk and stay there: shared by the log, the stores, the exports and the model registry."""
