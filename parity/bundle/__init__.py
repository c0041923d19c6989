"""Off to a device without parity and back: cases and one script in a zip, and the verified way home.

`docs/formats.md` describes both zips.
"""
