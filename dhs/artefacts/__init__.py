"""What one step writes and another reads, as models: writers, figures, the numbers of pages and sign-off share them.

A model names the keys that others rely on, and lets every other key through. `report.Report` reads and writes a file.
"""
