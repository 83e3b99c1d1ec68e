"""Covariates as columns: numbers, splines of numbers, groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from csvdprep.core.errors import InputError

#: Quantiles at which the knots of a spline lie (Harrell 2015, four knots).
KNOTS = (0.05, 0.35, 0.65, 0.95)


@dataclass(frozen=True)
class Term:
    """One covariate, as it was where the model was fitted.

    Parameters
    ----------
    name : str
        Of the covariate.
    levels : tuple of str
        Groups, the first being that which others are compared with; none of a number.
    middle, spread : float
        Mean and standard deviation of a number.
    low, high : float
        Range of a number.
    knots : tuple of float
        Knots of a spline, in units of the number; none where it is linear.
    """

    name: str
    levels: tuple[str, ...] = ()
    middle: float = 0.0
    spread: float = 1.0
    low: float = 0.0
    high: float = 0.0
    knots: tuple[float, ...] = ()

    @classmethod
    def of(cls, name: str, values: Sequence, *, spline: bool = False) -> Term:
        """Describe a covariate by its values.

        Raises
        ------
        InputError
            If a value is missing, or all are the same.
        """
        values = np.asarray(values)
        if values.dtype.kind in 'OUS':
            levels = tuple(sorted({str(value) for value in values}))
            if len(levels) < 2:
                raise _constant(name)
            return cls(name, levels=levels)
        values = values.astype(float)
        _check_given(name, values)
        if np.ptp(values) == 0:
            raise _constant(name)
        knots: tuple[float, ...] = ()
        if spline:
            knots = tuple(float(k) for k in np.quantile(values, KNOTS))
            if len(set(knots)) < len(knots):
                raise InputError(
                    f'{name} has too few different values for a curve.',
                    field=name,
                    remedy='Take it as linear.',
                )
        return cls(
            name,
            middle=float(values.mean()),
            spread=float(values.std()),
            low=float(values.min()),
            high=float(values.max()),
            knots=knots,
        )

    def columns(self, values: Sequence) -> np.ndarray:
        """Return its columns of the design.

        Parameters
        ----------
        values : sequence, length n
            Numbers, or names of groups.

        Returns
        -------
        ndarray, shape (n, k)
            One column of a number, one of each group but the first, or the restricted cubic
            spline of a number, linear beyond the outer knots (Harrell 2015,
            doi:10.1007/978-3-319-19425-7).

        Raises
        ------
        InputError
            If a value is missing, or a group was not there where the model was fitted.

        Examples
        --------
        >>> Term.of('sex', ['F', 'M', 'F']).columns(['M', 'F'])
        array([[1.],
               [0.]])
        >>> ages = np.arange(50.0, 90.0)
        >>> Term.of('age', ages, spline=True).columns(ages).shape
        (40, 3)
        """
        if self.levels:
            values = np.asarray(values).astype(str)
            if strange := sorted(set(values) - set(self.levels)):
                raise InputError(
                    f'"{strange[0]}" is no {self.name} that the model knows.',
                    field=self.name,
                    remedy=f'It knows {", ".join(self.levels)}: correct the table, or fit anew.',
                )
            return np.stack([values == level for level in self.levels[1:]], axis=1).astype(float)
        values = np.asarray(values, float)
        _check_given(self.name, values)
        x = (values - self.middle) / self.spread
        if not self.knots:
            return x[:, None]
        *inner, before, last = (np.array(self.knots) - self.middle) / self.spread
        cube = lambda knot: np.clip(x - knot, 0, None) ** 3  # noqa: E731
        width = (last - inner[0]) ** 2
        bends = [
            (
                cube(k)
                - cube(before) * (last - k) / (last - before)
                + cube(last) * (before - k) / (last - before)
            )
            / width
            for k in inner
        ]
        return np.stack([x, *bends], axis=1)


def make_terms(covariates: Mapping[str, Sequence], splines: Iterable[str] = ()) -> list[Term]:
    """Describe covariates; see :class:`Term`."""
    return [Term.of(n, values, spline=n in set(splines)) for n, values in covariates.items()]


def make_columns(
    terms: Iterable[Term], covariates: Mapping[str, Sequence], count: int
) -> np.ndarray:
    """Return the columns of all covariates.

    Parameters
    ----------
    terms : iterable of Term
        From :func:`make_terms`.
    covariates : mapping of str to sequence
        Values by name; there may be others.
    count : int
        Number of rows.

    Returns
    -------
    ndarray, shape (count, k)

    Raises
    ------
    InputError
        If a covariate is not given.
    """
    parts = [np.zeros((count, 0))]
    for term in terms:
        if term.name not in covariates:
            raise InputError(f'The model needs {term.name}, which is not given.', field=term.name)
        parts.append(term.columns(covariates[term.name]))
    return np.concatenate(parts, axis=1)


def check_separable(columns: np.ndarray, sites: np.ndarray, names: Sequence[str]) -> None:
    """Refuse covariates that cannot be told from the sites, or from each other.

    Parameters
    ----------
    columns : ndarray, shape (n, k)
        Of the covariates.
    sites : ndarray of str, shape (n,)
        Site of each row.
    names : sequence of str
        Covariates, for the message.

    Raises
    ------
    InputError
        If site and covariates are collinear.

    Examples
    --------
    >>> sites, age = np.array(['A', 'A', 'B', 'B']), np.array([[60.0], [60], [70], [70]])
    >>> check_separable(age, sites, ['age'])
    Traceback (most recent call last):
    ...
    csvdprep.core.errors.InputError: Sites and covariates (age) cannot be told apart: ...
    """
    dummies = np.stack([sites == name for name in sorted(set(sites))], axis=1).astype(float)
    design = np.concatenate([dummies, columns], axis=1)
    if np.linalg.matrix_rank(design, tol=1e-7 * np.sqrt(len(design))) < design.shape[1]:
        raise InputError(
            f'Sites and covariates ({", ".join(names)}) cannot be told apart: within the sites '
            'one follows from the others.',
            field='covariates',
            remedy='Leave a covariate out, or a site that has one kind of participants only.',
        )


def without_overlap(name: str, values: Sequence[float], sites: np.ndarray) -> list[str]:
    """Tell which sites have ranges of a covariate that do not meet.

    Parameters
    ----------
    name : str
        Covariate.
    values : sequence of float, length n
        Its numbers.
    sites : ndarray of str, shape (n,)
        Site of each.

    Returns
    -------
    list of str
        A sentence for each site whose range does not meet that of any other.

    Examples
    --------
    >>> without_overlap('age', [60, 70, 40, 50, 65], np.array(['A', 'A', 'B', 'B', 'C']))
    ['age at B (40 to 50) does not meet that of any other site: what is due to B cannot be told from what is due to age.']
    """  # noqa: E501
    values = np.asarray(values, float)
    ranges = {s: (values[sites == s].min(), values[sites == s].max()) for s in sorted(set(sites))}
    return [
        f'{name} at {site} ({low:g} to {high:g}) does not meet that of any other site: what is '
        f'due to {site} cannot be told from what is due to {name}.'
        for site, (low, high) in ranges.items()
        if all(other == site or high < a or low > b for other, (a, b) in ranges.items())
    ]


def _constant(name: str) -> InputError:
    return InputError(
        f'{name} is the same for all.', field=name, remedy='Leave it out of the covariates.'
    )


def _check_given(name: str, values: np.ndarray) -> None:
    if missing := int((~np.isfinite(values)).sum()):
        raise InputError(
            f'{name} is missing for {missing} of {len(values)}.',
            field=name,
            remedy='Give it, leave these visits out, or leave it out of the covariates.',
        )
