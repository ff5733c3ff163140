"""The older service's file API, over real HTTP, on each stack."""
