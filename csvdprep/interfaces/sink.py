"""Leave files, and their sidecars, where BIDS Derivatives says they belong."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

from nipype.interfaces.base import DynamicTraitedSpec, File, SimpleInterface, TraitedSpec, traits
from nipype.interfaces.io import add_traits

from csvdprep.bids.checkpoints import json_text, write_checkpoint
from csvdprep.bids.files import atomic_write


class _SaveDerivativeInputSpec(TraitedSpec):
    in_file = File(exists=True, mandatory=True, desc='file to be kept')
    out_path = traits.Str(mandatory=True, desc='absolute destination')
    sidecar = traits.Dict(desc='metadata of the JSON sidecar; none is written if empty')
    table = traits.Str(desc='text of the look-up table that goes with a dseg')


class _SaveDerivativeOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='the file, in the derivatives dataset')


class SaveDerivative(SimpleInterface):
    """Copy ``in_file`` to ``out_path`` and write its sidecar, each by atomic rename."""

    input_spec = _SaveDerivativeInputSpec
    output_spec = _SaveDerivativeOutputSpec
    _always_run = True

    def _run_interface(self, runtime):
        out_path = Path(self.inputs.out_path)
        out_path.parent.mkdir(parents=True, exist_ok=True)
        # An untouched file keeps its time stamp, and what was computed from it stays valid.
        if not (out_path.exists() and filecmp.cmp(self.inputs.in_file, out_path, shallow=False)):
            partial = out_path.with_name(f'.{os.getpid()}.{out_path.name}')
            try:
                shutil.copyfile(self.inputs.in_file, partial)
                partial.replace(out_path)
            finally:
                partial.unlink(missing_ok=True)
        stem = out_path.name.split('.', 1)[0]
        if self.inputs.sidecar:
            atomic_write(out_path.with_name(stem + '.json'), json_text(self.inputs.sidecar))
        if self.inputs.table:
            atomic_write(out_path.with_name(stem + '.tsv'), self.inputs.table)
        self._results['out_file'] = str(out_path)
        return runtime


class _CheckpointInputSpec(DynamicTraitedSpec):
    folder = traits.Str(mandatory=True, desc='folder of checkpoints')
    root = traits.Str(mandatory=True, desc='root of the derivatives')
    name = traits.Str(mandatory=True, desc='what has been finished')
    key = traits.Str(mandatory=True, desc='key of the inputs, options and version')


class Checkpoint(SimpleInterface):
    """Note that something is finished, so that a later run finds it."""

    input_spec = _CheckpointInputSpec
    output_spec = TraitedSpec
    _always_run = True

    def __init__(self, names, **inputs):
        super().__init__(**inputs)
        self._names = list(names)
        add_traits(self.inputs, self._names)

    def _run_interface(self, runtime):
        files = {name: getattr(self.inputs, name) for name in self._names}
        write_checkpoint(
            Path(self.inputs.folder),
            self.inputs.name,
            key=self.inputs.key,
            root=Path(self.inputs.root),
            files=files,
        )
        return runtime


class _DrawInputSpec(DynamicTraitedSpec):
    function = traits.Str(mandatory=True, desc='dotted path of the drawing function')
    extension = traits.Str('.svg', usedefault=True, desc='kind of picture')


class _DrawOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='the picture')


class DrawFigure(SimpleInterface):
    """Draw one declared figure from files."""

    input_spec = _DrawInputSpec
    output_spec = _DrawOutputSpec

    def __init__(self, names, **inputs):
        super().__init__(**inputs)
        self._names = list(names)
        add_traits(self.inputs, self._names)

    def _run_interface(self, runtime):
        from nipype.interfaces.base import isdefined

        from csvdprep.core.room import load

        out_file = Path(runtime.cwd) / f'figure{self.inputs.extension}'
        files = {name: getattr(self.inputs, name) for name in self._names}
        load(self.inputs.function)(
            out_file=str(out_file),
            **{name: file if isdefined(file) else None for name, file in files.items()},
        )
        self._results['out_file'] = str(out_file)
        return runtime
