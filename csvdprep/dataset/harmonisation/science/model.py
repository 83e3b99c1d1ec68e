"""What a fit leaves: enough to harmonise others, as plain numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from csvdprep.core.errors import InputError
from csvdprep.science.covariate_design import Term

#: Raised when the meaning of the numbers changes.
FORMAT = 2


@dataclass(frozen=True)
class Model:
    """A fitted ComBat.

    Parameters
    ----------
    features : tuple of str
        The p measures.
    sites : tuple of str
        The s sites.
    terms : tuple of Term
        Covariates that are kept.
    alpha, sigma : ndarray, shape (p,)
        Grand mean at the middle of the covariates, and standard deviation that remains.
    beta : ndarray, shape (k, p)
        Effects of the covariates.
    shift, scale : ndarray, shape (s, p)
        Location (in units of sigma) and variance (of sigma squared) that are removed; NaN where a
        site does not have the measure.
    raw_shift, raw_scale : ndarray, shape (s, p)
        The same before empirical Bayes.
    count : ndarray, shape (s, p)
        Values that the fit had.
    ratio : ndarray, shape (p,)
        Variance between participants over that within them; 0 where visits are independent.
    offset : ndarray, shape (p,)
        What is added before the logarithm is taken; NaN where none is taken.
    reference : str
        Site that stays as it is; empty for the mean of all.
    eb, parametric, mean_only : bool
        As asked.
    axes : ndarray, shape (q, p)
        CovBat: components whose scores were harmonised; q is 0 otherwise.
    centre : ndarray, shape (p,)
        CovBat: mean of the standardised values.
    score_alpha, score_sigma : ndarray, shape (q,)
        CovBat: mean and standard deviation of the scores.
    score_shift, score_scale : ndarray, shape (s, q)
        CovBat: what is removed from them.
    cover : ndarray, shape (p, p)
        CovBat: covariance of the standardised values, where some were missing; else empty.
    means : ndarray, shape (k,)
        Means of the columns of the covariates in the fit.
    left_out : mapping of str to str
        Measures that could not be fitted, with the reason.

    Examples
    --------
    >>> from csvdprep.dataset.harmonisation.science import fit
    >>> rng = np.random.default_rng(0)
    >>> model, _ = fit(rng.normal(size=(40, 4)), ['A'] * 20 + ['B'] * 20)
    >>> again = Model.read(model.text())
    >>> again.sites, bool((again.shift == model.shift).all())
    (('A', 'B'), True)
    """

    features: tuple[str, ...]
    sites: tuple[str, ...]
    terms: tuple[Term, ...]
    alpha: np.ndarray
    sigma: np.ndarray
    beta: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    raw_shift: np.ndarray
    raw_scale: np.ndarray
    count: np.ndarray
    ratio: np.ndarray
    offset: np.ndarray
    reference: str = ''
    eb: bool = True
    parametric: bool = True
    mean_only: bool = False
    axes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    centre: np.ndarray = field(default_factory=lambda: np.zeros(0))
    score_alpha: np.ndarray = field(default_factory=lambda: np.zeros(0))
    score_sigma: np.ndarray = field(default_factory=lambda: np.zeros(0))
    score_shift: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    score_scale: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    cover: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    means: np.ndarray = field(default_factory=lambda: np.zeros(0))
    left_out: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Write the model as JSON; numbers as they are, NaN as null."""
        facts: dict[str, Any] = {'format': FORMAT}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value = {'shape': list(value.shape), 'values': _plain(value)}
            elif item.name == 'terms':
                value = [vars(term) for term in value]
            facts[item.name] = value
        return json.dumps(facts, indent=1, allow_nan=False) + '\n'

    @classmethod
    def read(cls, text: str) -> Model:
        """Read what :meth:`text` wrote.

        Raises
        ------
        InputError
            If it is no such thing.
        """
        try:
            facts = json.loads(text)
            if facts.pop('format') not in (1, FORMAT):
                raise ValueError('another format')
            made = {}
            for name, value in facts.items():
                if isinstance(value, dict) and value.keys() == {'shape', 'values'}:
                    numbers = [np.nan if v is None else float(v) for v in value['values']]
                    value = np.array(numbers).reshape(value['shape'])
                elif name == 'terms':
                    value = tuple(
                        Term(**{k: tuple(v) if isinstance(v, list) else v for k, v in t.items()})
                        for t in value
                    )
                elif isinstance(value, list):
                    value = tuple(map(str, value))
                made[name] = value
            return cls(**made)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(
                'This is no model of harmonisation that can be read.',
                remedy='Take group_harmonisation_model.json of a run of this version.',
            ) from error


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values.ravel()]
