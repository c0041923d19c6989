"""Normalization statistics: what each source holds, how its framework applies it, what is wrong, who agrees with whom."""
