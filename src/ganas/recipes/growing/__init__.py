"""The tables and figures of DGGAN."""
