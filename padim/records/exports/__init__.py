"""Inspections on record written to files: tables, evidence, and labelled images."""
