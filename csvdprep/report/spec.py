"""The report is the rooms that ran, each with the figures it declared."""

from __future__ import annotations

from typing import Any

import yaml

from csvdprep.bids.names import fill
from csvdprep.core.plan import Plan


def report_spec(plan: Plan, *, template: str = '') -> dict[str, Any]:
    """Write a nireports bootstrap for the rooms of a plan.

    Parameters
    ----------
    plan : Plan
        Its rooms declare the figures.
    template : str
        Path of the page's template; that of nireports if empty.

    Returns
    -------
    dict
        Title and one section for every room with figures, in the order of the plan.

    """

    def text(value: str) -> str:
        # nireports formats captions with the entities of the file; no room asks for that.
        return fill(value, plan.context.hub).replace('{', '{{').replace('}', '}}')

    return {
        'package': 'csvdprep',
        'title': f'csvdprep: {plan.visit.label}',
        **({'template_path': template} if template else {}),
        'sections': [
            {
                'name': fill(step.room.title, plan.context.hub),
                'reportlets': [
                    {
                        'bids': {
                            'datatype': 'figures',
                            'desc': figure.desc,
                            'suffix': fill(figure.suffix, plan.context.hub),
                            'extension': [figure.extension],
                        },
                        'name': f'figure-{figure.desc}',
                        'subtitle': fill(figure.title, plan.context.hub),
                        'caption': text(figure.caption),
                        # An object, not an image: only so does a flicker follow the pointer.
                        'static': figure.extension != '.svg',
                    }
                    for figure in step.room.figures
                ],
            }
            for step in plan.steps
            if step.room.figures
        ],
    }


def bootstrap_text(spec: dict[str, Any]) -> str:
    """Write a spec as YAML in which nireports finds no placeholder to fill.

    Examples
    --------
    >>> bootstrap_text({'title': 'of {subject}'})
    '"title": "of \\\\x7Bsubject}"\\n'

    """
    # Every text is quoted, so that a brace can be written by its code.
    text = yaml.safe_dump(
        spec, default_style='"', default_flow_style=False, sort_keys=False, width=10**9
    )
    return text.replace('{', '\\x7B')
