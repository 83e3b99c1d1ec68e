"""Multi-echo gradient echoes for SWI and susceptibility mapping."""
