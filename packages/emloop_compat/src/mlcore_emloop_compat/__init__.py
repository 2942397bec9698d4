"""The main loop of emloop on the mlcore core."""
