"""Pixels without a network: image files, color, resizing, scores, drawn rain."""
