"""What is measured of replayed actions, one file each."""
