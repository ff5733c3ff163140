"""The engine on pairs of adapters, without HTTP."""
