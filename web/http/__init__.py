"""HTTP manners: limits, bodies, problems, streams. Of jobs, only errors and who may see one are known here."""
