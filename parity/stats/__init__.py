"""Normalization statistics: what each source holds, how it is applied, what is wrong with it, who agrees with whom."""
