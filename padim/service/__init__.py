"""Inspection on the line: watched folders, the REST service, and machines that are told the results."""
