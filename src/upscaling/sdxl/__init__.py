"""SDXL over enlarged frames at low noise."""
