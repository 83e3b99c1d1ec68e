"""Rebuild ``data/models/deepbet`` from the deepbet wheel: TorchScript to half-precision ONNX.

The weights are those of deepbet 1.0.2 (MIT licence, https://github.com/wwu-mmll/deepbet).
PyTorch is needed here only, never at run time::

    python -m venv export && . export/bin/activate
    python -m pip install torch onnx onnxruntime
    python -m pip install --no-deps deepbet==1.0.2
    python scripts/export_deepbet.py data/models/deepbet
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import torch

VERSION = '1.0.2'
#: name here -> (file in the wheel, its SHA-256, edge of the cubic input)
NETWORKS = {
    'locate': (
        'data/models/bbox_model.pt',
        '39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa',
        128,
    ),
    'segment': (
        'data/models/model.pt',
        'de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd',
        256,
    ),
}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store every float32 weight as float16 and cast it back where it is used.

    Only storage is halved: the arithmetic stays in float32, because CPU
    kernels of onnxruntime are neither faster nor exact in half precision.
    """
    graph = model.graph
    casts = []
    for tensor in list(graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        if values.size < 16:
            continue
        half = onnx.numpy_helper.from_array(values.astype(np.float16), tensor.name + '_half')
        graph.initializer.remove(tensor)
        graph.initializer.append(half)
        casts.append(
            onnx.helper.make_node(
                'Cast', [half.name], [tensor.name], to=onnx.TensorProto.FLOAT, name=tensor.name
            )
        )
    for position, node in enumerate(casts):
        graph.node.insert(position, node)
    return model


def export(source: Path, target: Path, edge: int) -> None:
    """Trace the TorchScript network to ONNX, keeping the foreground channel only."""
    network = torch.jit.load(str(source), map_location='cpu').eval()

    class Foreground(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.network(image)[:, 1:2]

    example = torch.zeros(1, 1, edge, edge, edge)
    scripted = torch.jit.trace(Foreground(), example, check_trace=False)
    torch.onnx.export(
        scripted,
        (example,),
        str(target),
        input_names=['image'],
        output_names=['brain'],
        opset_version=17,
        dynamo=False,
    )
    model = to_half(onnx.load(str(target)))
    model.producer_name, model.producer_version, model.doc_string = 'csvdprep', '', ''
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString(deterministic=True))


def main() -> int:
    """Export both networks and print the checksums that the README states."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('target', type=Path, help='folder to write, e.g. data/models/deepbet')
    target = parser.parse_args().target
    distribution = importlib.metadata.distribution('deepbet')
    if distribution.version != VERSION:
        print(f'deepbet {VERSION} is needed, found {distribution.version}', file=sys.stderr)
        return 1
    target.mkdir(parents=True, exist_ok=True)
    for name, (inside, digest, edge) in NETWORKS.items():
        source = Path(distribution.locate_file(inside))
        if sha256(source) != digest:
            print(f'{source}: checksum differs from the one recorded', file=sys.stderr)
            return 1
        path = target / f'{name}.onnx'
        export(source, path, edge)
        print(f'{sha256(path)}  {path.name}  {path.stat().st_size} bytes')
    licence = next(
        Path(distribution.locate_file(entry))
        for entry in distribution.files
        if entry.name == 'LICENSE'
    )
    shutil.copyfile(licence, target / 'LICENSE')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
