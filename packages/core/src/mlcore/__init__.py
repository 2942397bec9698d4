"""The core that all layers share."""
