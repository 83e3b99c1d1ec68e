"""Look at leakage: where blood was measured, curves with their fit, maps."""

from __future__ import annotations

from dataclasses import replace

import matplotlib
import nibabel as nib
import numpy as np
from matplotlib.figure import Figure

from csvdprep.bids.tsv import read_tsv
from csvdprep.imaging.drawing import COLOURS, Layer, draw_mosaic
from csvdprep.imaging.images import load
from csvdprep.imaging.slices import Cut, as_volume, every, extent, load_volume, slice_axis, window

_MOST = 21
_STYLE = {'svg.hashsalt': 'csvdprep', 'svg.fonttype': 'path'}
#: Black to white, 1/min and mL/mL.
PS_RANGE, VP_RANGE = (-5e-4, 20e-4), (0.0, 0.03)
_SHOWN = {
    'nawm': ('normal-appearing white matter', '#56b4e9'),
    'wmh': ('hyperintensities', '#d55e00'),
    'dgm': ('deep grey matter', '#009e73'),
    'cgm': ('cortex', '#cc79a7'),
}
_REGIONS = {1: COLOURS['sky'], 2: COLOURS['red'], 3: COLOURS['green'], 4: COLOURS['yellow']}


def draw_place(*, out_file: str, dce_preproc: str, dce_vif_mask: str, dce_mask: str) -> None:
    """Outline where blood was measured, on the volume of the strongest enhancement there.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dce_preproc, dce_vif_mask, dce_mask : str
        Series, place and brain.

    """
    series = load(dce_preproc)
    place = load_volume(dce_vif_mask, order=0)
    where = place.data > 0
    data = np.asanyarray(series.dataobj, dtype=np.float32)
    known = np.asanyarray(load(dce_vif_mask).dataobj) > 0
    frame = int(data[known].mean(axis=0).argmax()) if known.any() else data.shape[3] - 1
    image = as_volume(nib.Nifti1Image(data[..., frame], series.affine))
    mask = load_volume(dce_mask, image, order=0).data > 0
    shown = where if where.any() else mask
    middle = int(np.median(np.nonzero(shown)[0]))
    cuts = [Cut(0, middle)]
    slices = np.unique(np.nonzero(shown)[2])
    picked = slices[np.unique(np.linspace(0, len(slices) - 1, 5).round().astype(int))]
    cuts += [Cut(2, int(k)) for k in picked]
    draw_mosaic(
        out_file,
        [
            Layer(
                image,
                (0.0, float(np.quantile(image.data[mask], 0.99)) * 2.0),
                outlines=[(where, COLOURS['orange'])],
                stroke=1.2,
            )
        ],
        cuts,
        box=extent(mask | where, image.zooms, 15.0),
        columns=5,
        legend={'Blood of the input function': COLOURS['orange']},
        note=f'Volume {frame + 1}; {int(where.sum())} voxels.'
        if where.any()
        else 'No input function was found.',
    )


def draw_curves(*, out_file: str, dce_curves: str) -> None:
    """Draw the input function, and curves of regions with what Patlak fitted.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dce_curves : str
        Table of curves.

    """
    rows = read_tsv(dce_curves).rows

    def column(name):
        return np.array([float(r[name]) if r[name] != 'n/a' else np.nan for r in rows])

    time, fitted = column('time_s') / 60, column('fitted') > 0
    figure = Figure((12, 3.6), layout='constrained')
    left, *panels = figure.subplots(1, 3)
    plasma = column('plasma')
    left.plot(time, plasma, 'o-', color='#000000', ms=3, lw=1.2)
    left.set(title='Plasma, mmol/L', xlabel='time, min')
    for axes, names in zip(panels, (('nawm', 'wmh'), ('dgm', 'cgm')), strict=True):
        for name in names:
            words, colour = _SHOWN[name]
            values = column(name)
            if not np.isfinite(values).any():
                continue
            axes.plot(time[fitted], values[fitted], 'o', color=colour, ms=3.5, label=words)
            axes.plot(time[~fitted], values[~fitted], 'o', color='0.75', ms=3)
            fit = column(f'{name}_patlak')
            axes.plot(time[fitted], fit[fitted], color=colour, lw=1.4)
        axes.set(title='Tissue, mmol/L', xlabel='time, min')
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            axes.legend(handles, labels, frameon=False, fontsize=8)
    for axes in figure.axes:
        axes.axhline(0, color='0.8', lw=0.8, zorder=0)
        axes.spines[['top', 'right']].set_visible(False)
    if not np.isfinite(plasma).any():
        left.text(0.5, 0.5, 'no input function', ha='center', transform=left.transAxes)
    with matplotlib.rc_context(_STYLE):
        figure.savefig(out_file, format='svg', metadata={'Date': None})


def draw_permeability(
    *, out_file: str, dce_ps: str, dce_baseline: str, dce_mask: str, dce_regions: str
) -> None:
    """Draw PS of each voxel; under the pointer, the regions.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dce_ps, dce_baseline, dce_mask, dce_regions : str
        PS (1/min), mean before the contrast agent, brain, regions.

    """
    image = load_volume(dce_baseline)
    mask = load_volume(dce_mask, image, order=0).data > 0
    labels = load_volume(dce_regions, image, order=0).data.astype(int)
    cuts, step = every(mask, slice_axis(image), _MOST)
    names = [words for words, _ in _SHOWN.values()]
    draw_mosaic(
        out_file,
        [
            Layer(_inside(dce_ps, image, mask, PS_RANGE[0]), PS_RANGE, name='PS'),
            Layer(
                image,
                window(image, mask),
                labels=labels,
                colours=_REGIONS,
                opacity=0.5,
                name='Regions',
            ),
        ],
        cuts,
        box=extent(mask, image.zooms, 8.0),
        columns=7,
        legend=dict(zip(names, _REGIONS.values(), strict=True)),
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart; '
        f'{1e4 * PS_RANGE[0]:g} to {1e4 * PS_RANGE[1]:g} 1e-4/min.',
    )


def draw_plasma(*, out_file: str, dce_vp: str, dce_baseline: str, dce_mask: str) -> None:
    """Draw the volume of plasma of each voxel.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dce_vp, dce_baseline, dce_mask : str
        Volume of plasma (mL/mL), mean before the contrast agent, brain.

    """
    image = load_volume(dce_baseline)
    mask = load_volume(dce_mask, image, order=0).data > 0
    cuts, step = every(mask, slice_axis(image), _MOST)
    draw_mosaic(
        out_file,
        [
            Layer(_inside(dce_vp, image, mask, VP_RANGE[0]), VP_RANGE, name='Volume of plasma'),
            Layer(image, window(image, mask), name='Before the contrast agent'),
        ],
        cuts,
        box=extent(mask, image.zooms, 8.0),
        columns=7,
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart; '
        f'{100 * VP_RANGE[0]:g} to {100 * VP_RANGE[1]:g} mL/100 mL.',
    )


def _inside(path: str, image, mask, low: float):
    """Load a map; black outside of the brain."""
    found = load_volume(path, image)
    return replace(found, data=np.where(mask, found.data, low))
