"""Look at blood flow and arrival times, on the grid of the series."""

from __future__ import annotations

from csvdprep.imaging.drawing import Layer, draw_mosaic
from csvdprep.imaging.slices import every, extent, load_volume, slice_axis, window

_MOST = 21
#: Grey from black to white, mL/100 g/min and s.
FLOW, ARRIVAL_S = (0.0, 100.0), (0.0, 2.5)


def draw_flow(*, out_file: str, cbf: str, asl_ref: str, asl_mask: str) -> None:
    """Flicker between blood flow and the mean of the control volumes.

    Parameters
    ----------
    out_file : str
        SVG to write.
    cbf, asl_ref, asl_mask : str
        Blood flow (mL/100 g/min), mean control, brain.

    """
    image = load_volume(asl_ref)
    mask = load_volume(asl_mask, image, order=0).data > 0
    layers = [
        Layer(load_volume(cbf, image), FLOW, name='Blood flow'),
        Layer(image, window(image, mask), name='Control'),
    ]
    _draw(out_file, image, mask, layers, f'{FLOW[0]:g} to {FLOW[1]:g} mL/100 g/min.')


def draw_arrival(*, out_file: str, att: str, cbf: str, asl_mask: str) -> None:
    """Flicker between arrival time and blood flow.

    Parameters
    ----------
    out_file : str
        SVG to write.
    att, cbf, asl_mask : str
        Arrival time (s), blood flow (mL/100 g/min), brain.

    """
    image = load_volume(cbf)
    mask = load_volume(asl_mask, image, order=0).data > 0
    times = load_volume(att, image)
    layers = [Layer(image, FLOW, name='Blood flow')]
    note = 'One delay: the arrival time is not known.'
    if times.data.any():
        layers = [Layer(times, ARRIVAL_S, name='Arrival time'), *layers]
        note = f'{ARRIVAL_S[0]:g} to {ARRIVAL_S[1]:g} s.'
    _draw(out_file, image, mask, layers, note)


def _draw(out_file, image, mask, layers, note) -> None:
    cuts, step = every(mask, slice_axis(image), _MOST)
    apart = f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart'
    draw_mosaic(
        out_file,
        layers,
        cuts,
        box=extent(mask, image.zooms, 10.0),
        columns=7,
        note=f'{apart}; {note}',
    )
