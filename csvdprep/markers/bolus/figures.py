"""Look at bolus tracking: where blood was measured, curves, maps, the distribution of times."""

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
#: Black to white: relative to NAWM, and s.
RATIO, TTP, TMAX, MTT = (0.0, 4.0), (0.0, 8.0), (0.0, 8.0), (0.0, 15.0)
_SHOWN = {
    'nawm': ('normal-appearing white matter', '#56b4e9'),
    'wmh': ('hyperintensities', '#d55e00'),
    'dgm': ('deep grey matter', '#009e73'),
    'cgm': ('cortex', '#cc79a7'),
}
_REGIONS = {1: COLOURS['sky'], 2: COLOURS['red'], 3: COLOURS['green'], 4: COLOURS['yellow']}
_TIMED = {
    'brain': ('brain', '0.6'),
    'wm': ('white matter', '#009e73'),
    'nawm': ('normal-appearing white matter', '#56b4e9'),
    'wmh': ('hyperintensities', '#d55e00'),
}


def _columns(path: str, names) -> dict[str, np.ndarray]:
    rows = read_tsv(path).rows
    return {
        name: np.array([float(r[name]) if r[name] != 'n/a' else np.nan for r in rows])
        for name in names
    }


def draw_vessels(
    *, out_file: str, dsc_preproc: str, dsc_vessels: str, dsc_mask: str, dsc_curves: str
) -> None:
    """Outline where blood was measured, on the volume in which the artery is darkest.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dsc_preproc, dsc_vessels, dsc_mask, dsc_curves : str
        Series, places of artery and sinus, brain, curves.

    """
    series = load(dsc_preproc)
    data = np.asanyarray(series.dataobj, dtype=np.float32)
    places = load_volume(dsc_vessels, order=0)
    artery, sinus = places.data == 1, places.data == 2
    curve = _columns(dsc_curves, ('artery',))['artery']
    frame = int(np.nanargmax(curve)) if np.isfinite(curve).any() else data.shape[3] // 2
    image = as_volume(nib.Nifti1Image(data[..., frame], series.affine))
    first = as_volume(nib.Nifti1Image(data[..., 0], series.affine))
    mask = load_volume(dsc_mask, image, order=0).data > 0
    there = [found for found in (artery, sinus) if found.any()]
    cuts = [Cut(0, int(np.median(np.nonzero(found)[0]))) for found in there]
    for found in there:
        rest = np.unique(np.nonzero(found)[2])
        picked = np.unique(np.linspace(0, len(rest) - 1, 3).round().astype(int))
        cuts += [Cut(2, int(rest[k])) for k in picked]
    cuts = list(dict.fromkeys(cuts)) or [Cut(2, image.data.shape[2] // 2)]
    high = float(np.quantile(first.data[mask], 0.995))
    outlines = [(artery, COLOURS['orange']), (sinus, COLOURS['sky'])]
    draw_mosaic(
        out_file,
        [
            Layer(image, (0.0, high), outlines=outlines, name='Artery darkest', stroke=1.6),
            Layer(first, (0.0, high), name='First volume'),
        ],
        cuts,
        box=extent(mask | artery | sinus, image.zooms, 12.0),
        columns=4,
        legend={'Artery': COLOURS['orange'], 'Superior sagittal sinus': COLOURS['sky']},
        note=f'Volume {frame + 1}; {int(artery.sum())} voxels of an artery, {int(sinus.sum())} of '
        'the sinus.',
    )


def draw_curves(*, out_file: str, dsc_curves: str) -> None:
    """Draw curves of artery and sinus, and those of regions.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dsc_curves : str
        Table of curves.

    """
    found = _columns(dsc_curves, ('time_s', 'artery', 'sinus', *_SHOWN))
    figure = Figure((12, 3.4), layout='constrained')
    left, right = figure.subplots(1, 2)
    for name, colour in (('artery', '#d55e00'), ('sinus', '#0072b2')):
        if np.isfinite(found[name]).any():
            left.plot(found['time_s'], found[name], 'o-', ms=3, lw=1.2, color=colour, label=name)
    for name, (words, colour) in _SHOWN.items():
        if np.isfinite(found[name]).any():
            right.plot(found['time_s'], found[name], 'o-', ms=3, lw=1.2, color=colour, label=words)
    for axes, title in ((left, 'Blood'), (right, 'Tissue')):
        axes.axhline(0, color='0.8', lw=0.8, zorder=0)
        axes.set(title=f'{title}: change of R2*, 1/s', xlabel='time, s')
        axes.spines[['top', 'right']].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
        else:
            axes.text(0.5, 0.5, 'not found', ha='center', transform=axes.transAxes)
    _save(figure, out_file)


def draw_maps(
    *,
    out_file: str,
    dsc_cbv: str,
    dsc_cbf: str,
    dsc_baseline: str,
    dsc_mask: str,
    dsc_regions: str,
) -> None:
    """Draw relative blood volume; under the pointer, blood flow and the regions.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dsc_cbv, dsc_cbf, dsc_baseline, dsc_mask, dsc_regions : str
        Maps relative to NAWM, mean before the contrast agent, brain, regions.

    """
    image = load_volume(dsc_baseline)
    labels = load_volume(dsc_regions, image, order=0).data.astype(int)
    regions = Layer(
        image,
        window(image, load_volume(dsc_mask, image, order=0).data > 0),
        labels=labels,
        colours=_REGIONS,
        opacity=0.5,
        name='Regions',
    )
    names = [words for words, _ in _SHOWN.values()]
    _draw(
        out_file,
        ((dsc_cbv, RATIO, 'Blood volume'), (dsc_cbf, RATIO, 'Blood flow')),
        image,
        dsc_mask,
        f'{RATIO[0]:g} to {RATIO[1]:g} times NAWM',
        [regions],
        dict(zip(('NAWM', *names[1:]), _REGIONS.values(), strict=True)),
    )


def draw_times(
    *, out_file: str, dsc_ttp: str, dsc_tmax: str, dsc_mtt: str, dsc_baseline: str, dsc_mask: str
) -> None:
    """Draw the time to peak; under the pointer, Tmax and mean transit time.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dsc_ttp, dsc_tmax, dsc_mtt, dsc_baseline, dsc_mask : str
        Maps (s), mean before the contrast agent, brain.

    """
    _draw(
        out_file,
        ((dsc_ttp, TTP, 'Time to peak'), (dsc_tmax, TMAX, 'Tmax'), (dsc_mtt, MTT, 'MTT')),
        load_volume(dsc_baseline),
        dsc_mask,
        f'time to peak {TTP[0]:g} to {TTP[1]:g} s',
    )


def draw_distribution(*, out_file: str, dsc_times: str) -> None:
    """Draw how times to peak are distributed over regions.

    Parameters
    ----------
    out_file : str
        SVG to write.
    dsc_times : str
        Table of the distribution.

    """
    found = _columns(dsc_times, ('time_s', *_TIMED))
    time = found['time_s']
    figure = Figure((9, 3.4), layout='constrained')
    axes = figure.subplots()
    shown = 0
    for name, (words, colour) in _TIMED.items():
        share = found[name]
        if not np.isfinite(share).any():
            continue
        axes.step(time, share, where='mid', color=colour, lw=1.6, label=words)
        total = np.cumsum(share) / max(share.sum(), 1e-9)
        marks = [float(np.interp(part, total, time)) for part in (0.1, 0.5, 0.9)]
        shown += 1
        axes.plot(marks, [-0.03 * shown] * 3, 'o-', color=colour, ms=4, lw=1)
    axes.axhline(0, color='0.8', lw=0.8, zorder=0)
    axes.axvline(0, color='0.8', lw=0.8, zorder=0)
    axes.set(xlabel='time to peak after the artery, s', title='Share of voxels, 1/s')
    axes.spines[['top', 'right']].set_visible(False)
    if shown:
        axes.legend(frameon=False, fontsize=8)
    else:
        axes.text(0.5, 0.5, 'no times to peak', ha='center', transform=axes.transAxes)
    _save(figure, out_file)


def _draw(out_file, maps, image, dsc_mask, what, more=(), legend=None) -> None:
    mask = load_volume(dsc_mask, image, order=0).data > 0
    cuts, step = every(mask, slice_axis(image), _MOST)
    layers = []
    for path, limits, name in maps:
        found = load_volume(path, image)
        shown = replace(found, data=np.where(mask, found.data, limits[0]))
        layers.append(Layer(shown, limits, name=name))
    draw_mosaic(
        out_file,
        [*layers, *more],
        cuts,
        box=extent(mask, image.zooms, 8.0),
        columns=7,
        legend=legend or {},
        note=f'Slices {step * image.zooms[slice_axis(image)]:.1f} mm apart; {what}.',
    )


def _save(figure: Figure, out_file: str) -> None:
    with matplotlib.rc_context(_STYLE):
        figure.savefig(out_file, format='svg', metadata={'Date': None})
