"""Sections of evaluation.json, registered by name; the contract is `dhs.validation.evaluation.sections.base`."""
