"""Tests of filters: their spellings, their errors, and what they match."""
