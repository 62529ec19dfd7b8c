"""Timelines, graphs and curves as SVG."""
