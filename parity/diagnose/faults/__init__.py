"""One file per family of structural faults. Each fits its parameters to stored outputs and says what it found."""
