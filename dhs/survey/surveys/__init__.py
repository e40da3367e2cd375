"""Surveys, one record a module; the contract is `dhs.survey.survey.Survey`."""
