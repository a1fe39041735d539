"""Positions of fields in the records that the compiled simulator keeps in one array of integers."""
