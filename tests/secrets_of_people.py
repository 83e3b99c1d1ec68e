"""What no result may carry: sidecars, headers and tables of a raw dataset that tell who it is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

#: As scanners and converters write them.
FIELDS = {
    'PatientName': 'Roe^Jane',
    'PatientID': 'PID-0815',
    'PatientBirthDate': '19500302',
    'PatientAddress': '7 Elm Street',
    'AccessionNumber': 'ACC-12345',
    'AcquisitionDate': '20190517',
    'AcquisitionTime': '10:15:30.250000',
    'AcquisitionDateTime': '2019-05-17T10:15:30.250000',
    'SeriesInstanceUID': '1.2.840.4711.1',
    'StudyInstanceUID': '1.2.840.4711',
    'DeviceSerialNumber': 'SERIAL-4711',
    'StationName': 'MRC-STATION-9',
    'InstitutionName': 'General Hospital',
    'InstitutionAddress': '1 Hospital Road',
    'InstitutionalDepartmentName': 'Neuroradiology East',
    'ReferringPhysicianName': 'Dr^Who',
    'OperatorsName': 'Smith^Tom',
    'ProtocolName': 'BRAIN-ROE',
    'ProcedureStepDescription': 'HEAD ROE',
    'ImageComments': 'known to the chief',
}
#: Texts of the header of an image: offset, length, and what a converter writes there.
HEADER = {14: (18, 'DB-ROE'), 148: (80, 'TE=3.1;Time=101530.250'), 228: (24, 'roe_jane.dcm')}
TABLES = {'full_name': 'Jane Roe', 'date_of_birth': '1950-03-02', 'hospital_id': 'HID-777'}
SCANNED = '2019-05-17T10:15:30'

WORDS = (*FIELDS.values(), *(text for _, text in HEADER.values()), *TABLES.values(), SCANNED)


def put_secrets(raw: Path) -> None:
    """Write into sidecars, headers and tables of a dataset who the participants are."""
    for path in raw.glob('sub-*/**/*.nii.gz'):
        data = bytearray(gzip.decompress(path.read_bytes()))
        for start, (length, text) in HEADER.items():
            data[start : start + length] = text.encode().ljust(length, b'\0')
        path.write_bytes(gzip.compress(bytes(data), mtime=0))
        sidecar = path.with_name(path.name.replace('.nii.gz', '.json'))
        facts = json.loads(sidecar.read_text()) if sidecar.exists() else {}
        sidecar.write_text(json.dumps(facts | FIELDS))
    table = raw / 'participants.tsv'
    if table.exists():
        head, *rows = table.read_text().splitlines()
        lines = ['\t'.join([head, *TABLES]), *('\t'.join([row, *TABLES.values()]) for row in rows)]
        table.write_text('\n'.join(lines) + '\n')
    for path in raw.glob('sub-*/sub-*_sessions.tsv'):
        head, *rows = path.read_text().splitlines()
        lines = [f'{head}\tacq_time', *(f'{row}\t{SCANNED}' for row in rows)]
        path.write_text('\n'.join(lines) + '\n')


def told(folder: Path, words=WORDS) -> list[str]:
    """Return where a folder tells such a thing: file and word."""
    found = []
    for path in sorted(Path(folder).rglob('*')):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if data[:2] == b'\x1f\x8b':
            data = gzip.decompress(data)
        found += [f'{path.name}: {word}' for word in words if word.encode() in data]
        found += [f'{path.name} is named {word}' for word in words if word in path.name]
    return found
