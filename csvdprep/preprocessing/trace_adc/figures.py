"""Look at trace image and ADC, on their own grid."""

from __future__ import annotations

import numpy as np

from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.slices import brought, every, extent, load_volume, slice_axis, window
from csvdprep.imaging.transforms import read_linear

_MOST = 21


def draw_maps(
    *,
    out_file: str,
    trace_preproc: str,
    adc_preproc: str,
    trace_mask: str,
    trace_to_anat: str,
    brain_mask: str,
) -> None:
    """Flicker between trace image and ADC.

    Parameters
    ----------
    out_file : str
        SVG to write.
    trace_preproc, adc_preproc, trace_mask : str
        Trace image, ADC (mm²/s), and the brain.
    trace_to_anat : str
        Transform (ITK) that resamples the trace image onto the reference.
    brain_mask : str
        Brain of the reference.

    """
    image = load_volume(trace_preproc)
    adc = load_volume(adc_preproc, image)
    mask = load_volume(trace_mask, image, order=0).data > 0
    back = np.linalg.inv(read_linear(trace_to_anat))
    there = brought(load_volume(brain_mask), back, image, order=0).data > 0
    cuts, step = every(mask, slice_axis(image), _MOST)
    outlines = [(there, COLOURS['sky'])]
    draw_mosaic(
        out_file,
        [
            Layer(image, window(image, mask), outlines=outlines, name='Trace image', stroke=1.0),
            Layer(adc, (0.0, 2e-3), outlines=outlines, name='ADC', stroke=1.0),
        ],
        cuts,
        box=extent(mask, image.zooms, 10.0),
        columns=7,
        legend={'Brain of the anatomy': COLOURS['sky']},
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart.',
    )
