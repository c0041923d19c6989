"""A double of ais_bench. IT IS NOT HARDWARE: it computes what `acl_double` plays, by the files beside the OM."""

STAND_IN = "ais_bench double, no hardware"
