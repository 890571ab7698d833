"""Tests of the emulated services: they must be the vendor's equal before they may stand in for it."""
