"""Where a visit's images and its truth go: names, sidecars, tables. Streams to disk."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from csvdprep.bids.names import compose
from csvdprep.bids.tsv import write_tsv

#: Decimals with which numbers are written in tables: significant digits.
DIGITS = 6


class Recorder:
    """Writes what is made of one visit as it comes.

    Parameters
    ----------
    out_dir : Path
        Root of the raw dataset; the truth lies in its ``derivatives/truth``.
    subject : str
        Label of the participant.
    session : str or None
        Label of the visit, if the dataset has sessions.
    length : float
        What the scanner reports for a length of 1: positions and voxels are written so.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> record = Recorder(folder, '01', '1')
    >>> uri = record.raw(np.zeros((2, 2, 2), np.int16), np.eye(4), 'anat', 'T1w', {'EchoTime': 1})
    >>> uri
    'bids:raw:sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz'
    >>> record.measure('wmh_total_ml', 4.2, 'mL', 'Volume of the hyperintensities')
    >>> record.close()['wmh_total_ml']
    4.2
    >>> sorted(path.name for path in folder.rglob('*.tsv'))
    ['sub-01_ses-1_desc-csvd_measures.tsv']
    """

    def __init__(
        self, out_dir: Path, subject: str, session: str | None = None, length: float = 1.0
    ):
        self.out_dir = Path(out_dir)
        self.truth_dir = self.out_dir / 'derivatives' / 'truth'
        self.entities = {'sub': subject, 'ses': session}
        self.length = length
        self.measures: dict[str, tuple[Any, str, str]] = {}

    @property
    def folder(self) -> Path:
        """Folder of the visit relative to the root of a dataset."""
        parts = [f'{key}-{value}' for key, value in self.entities.items() if value]
        return Path(*parts)

    def raw(
        self,
        data: np.ndarray,
        affine: np.ndarray,
        datatype: str,
        suffix: str,
        fields: Mapping[str, Any],
        *,
        entities: Mapping[str, str] | None = None,
        texts: Mapping[str, str] | None = None,
        step_s: float | None = None,
    ) -> str:
        """Write an image of the raw dataset with its sidecar.

        Parameters
        ----------
        data : ndarray
            Voxels, in the type in which they are stored.
        affine : ndarray, shape (4, 4)
            From indices to mm of the scanner.
        datatype, suffix : str
            'anat', 'dwi', 'perf', 'fmap'; 'T1w', ...
        fields : mapping
            The sidecar.
        entities : mapping, optional
            Besides sub and ses.
        texts : mapping of str to str, optional
            More files of the same name, by extension: ``{'.bval': '0 1000'}``.
        step_s : float, optional
            Time between volumes, s.

        Returns
        -------
        str
            BIDS URI of the image, for ``Sources`` and ``SpatialReference``.
        """
        named = {**self.entities, **(entities or {})}
        path = self.folder / datatype / compose(named, suffix, '.nii.gz')
        save(nifti(data, self._reported(affine), step_s), self.out_dir / path)
        stem = path.name.removesuffix('.nii.gz')
        write_json(self.out_dir / path.with_name(stem + '.json'), fields)
        for extension, text in (texts or {}).items():
            write_text(self.out_dir / path.with_name(stem + extension), text)
        return f'bids:raw:{path.as_posix()}'

    def truth(
        self,
        data: np.ndarray,
        affine: np.ndarray,
        datatype: str,
        suffix: str,
        source: str,
        fields: Mapping[str, Any] | None = None,
        **entities: str,
    ) -> None:
        """Write an image of the truth, on the grid of a raw one.

        Parameters
        ----------
        data, affine, datatype, suffix
            As in :meth:`raw`; single precision is rounded to four significant digits.
        source : str
            BIDS URI of the raw image on whose grid it is.
        fields : mapping, optional
            More of the sidecar: ``Type``, ``Units``, ``Description``.
        **entities : str
            ``space`` (the suffix of the raw image), ``label``, ``desc``, ...
        """
        named = {**self.entities, **entities}
        path = self.truth_dir / self.folder / datatype / compose(named, suffix, '.nii.gz')
        save(nifti(shorten(data), self._reported(affine)), path)
        write_json(
            path.with_name(path.name.removesuffix('.nii.gz') + '.json'),
            {**(fields or {}), 'Sources': [source], 'SpatialReference': source},
        )

    def table(
        self,
        rows: Sequence[Mapping[str, Any]],
        columns: Mapping[str, str],
        datatype: str,
        suffix: str,
        fields: Mapping[str, Any] | None = None,
        **entities: str,
    ) -> None:
        """Write a table of the truth with the meaning of its columns.

        Parameters
        ----------
        rows : sequence of mapping
            Values by column; None stands for n/a.
        columns : mapping of str to str
            What each column means, in their order.
        datatype, suffix, **entities
            As in :meth:`truth`. With the suffix 'dseg' it is the table of labels of a
            segmentation that was written before.
        fields : mapping, optional
            More of the sidecar.
        """
        named = {**self.entities, **entities}
        path = self.truth_dir / self.folder / datatype / compose(named, suffix, '.tsv')
        cells = [[self._cell(row, name) for name in columns] for row in rows]
        write_table(path, cells, list(columns))
        described = {name: {'Description': text} for name, text in columns.items()}
        sidecar = path.with_suffix('.json')
        # A segmentation shares its sidecar with the table of its labels.
        known = json.loads(sidecar.read_text(encoding='utf-8')) if suffix == 'dseg' else {}
        write_json(sidecar, {**known, **described, **(fields or {})})

    def _reported(self, affine: np.ndarray) -> np.ndarray:
        return np.diag([self.length] * 3 + [1.0]) @ affine

    def _cell(self, row: Mapping[str, Any], name: str) -> Any:
        value = row.get(name)
        return value * self.length if name in ('x', 'y', 'z') and value is not None else value

    def measure(self, name: str, value: Any, units: str, meaning: str) -> None:
        """Note the true value of a measure of this visit.

        Parameters
        ----------
        name : str
            Column in the application's table of measures.
        value : float, int, str or None
            None stands for n/a.
        units : str
            '' for none.
        meaning : str
            What exactly is true.
        """
        self.measures[name] = (value, units, meaning)

    def empty(self) -> Recorder:
        """Return a recorder of the same visit that has noted nothing yet."""
        return Recorder(self.out_dir, self.entities['sub'], self.entities['ses'], self.length)

    def close(self) -> dict[str, Any]:
        """Write the table of measures and return its row."""
        named = {'participant_id': f'sub-{self.entities["sub"]}'}
        if self.entities['ses']:
            named['session_id'] = f'ses-{self.entities["ses"]}'
        row = named | {name: value for name, (value, *_) in self.measures.items()}
        stem = compose({**self.entities, 'desc': 'csvd'}, 'measures', '.tsv')
        path = self.truth_dir / self.folder / stem
        write_table(path, [list(row.values())], list(row))
        write_json(
            path.with_suffix('.json'),
            {
                name: {'Description': text, **({'Units': units} if units else {})}
                for name, (_, units, text) in self.measures.items()
            },
        )
        return row


def nifti(data: np.ndarray, affine: np.ndarray, step_s: float | None = None) -> nib.Nifti1Image:
    """Make a NIfTI image with complete header: mm, s, qform and sform of the scanner."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units('mm', 'sec')
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    if step_s is not None and data.ndim == 4:
        image.header['pixdim'][4] = step_s
    return image


def shorten(data: np.ndarray) -> np.ndarray:
    """Round single-precision numbers to 13 binary digits, so that they compress.

    Examples
    --------
    >>> float(shorten(np.array([np.pi], np.float32))[0])
    3.1416015625
    """
    if data.dtype != np.float32:
        return data
    bits = data.view(np.uint32)
    return ((bits + np.uint32(1 << 10)) & np.uint32(0xFFFFF800)).view(np.float32)


def save(image: nib.Nifti1Image, path: Path) -> None:
    """Write a compressed NIfTI image whose bytes depend on nothing but the image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), 1, mtime=0))


def write_json(path: Path, fields: Mapping[str, Any]) -> None:
    """Write a JSON file, indented."""
    write_text(path, json.dumps(fields, indent=2) + '\n')


def write_table(path: Path, rows: Sequence[Sequence[Any]], header: Sequence[str]) -> None:
    """Write a TSV file; None becomes n/a."""
    write_tsv(path, [header, *rows], digits=DIGITS)


def write_text(path: Path, text: str) -> None:
    """Write a text file, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')
