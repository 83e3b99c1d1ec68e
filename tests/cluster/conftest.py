"""A real Slurm of one node, without systemd and without a database, for the length of a test."""

import os
import shutil
import socket
import subprocess
import time

import psutil
import pytest

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=0
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ReturnToService=2
MinJobAge=900
KillWait=5
MaxArraySize=3
JobRequeue=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=16821 CPUs={cpus} RealMemory={memory}
PartitionName=main Nodes=n1 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


@pytest.fixture(scope='session')
def slurm(tmp_path_factory):
    """Start Slurm, with arrays of two tasks at most; yields the folder of its logs."""
    if os.geteuid() != 0:
        pytest.skip('Slurm is installed and started by root only')
    if not all(shutil.which(name) for name in ('slurmctld', 'slurmd', 'munged')):
        if not shutil.which('apt-get'):
            pytest.skip('Slurm is not installed')
        for command in (
            ['update', '-qq'],
            ['install', '-y', '--no-install-recommends', 'slurm-wlm', 'munge'],
        ):
            if subprocess.run(
                ['apt-get', '-o', 'DPkg::Lock::Timeout=600', *command],
                check=False,
                stdout=subprocess.DEVNULL,
                env={**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'},
            ).returncode:
                pytest.skip('Slurm cannot be installed here')
    folder = tmp_path_factory.mktemp('slurm')
    # munged refuses a key below a folder that others may write; sockets below one they may not
    # enter cannot be reached.
    for name in ('state', 'spool', 'munge'):
        (folder / name).mkdir(mode=0o755 if name != 'munge' else 0o700)
    key = folder / 'munge' / 'key'
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    memory = int(psutil.virtual_memory().total / 2**20 * 0.9)
    configuration = folder / 'slurm.conf'
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname().split('.')[0],
            folder=folder,
            cpus=max(2, os.cpu_count()),
            memory=memory,
        )
    )
    os.environ['SLURM_CONF'] = str(configuration)
    started = [
        [
            'munged',
            '--force',
            f'--key-file={key}',
            f'--socket={folder}/munge.sock',
            f'--pid-file={folder}/munged.pid',
            f'--seed-file={folder}/munge/seed',
            f'--log-file={folder}/munge/log',
        ],
        ['slurmctld', '-f', str(configuration)],
        ['slurmd', '-N', 'n1', '-f', str(configuration)],
    ]
    try:
        for command in started:
            subprocess.run(command, check=True, timeout=60)
        for _ in range(300):
            state = subprocess.run(
                ['sinfo', '-h', '-o', '%T'], capture_output=True, text=True, check=False
            ).stdout.strip()
            if state == 'idle':
                break
            time.sleep(0.1)
        else:
            pytest.fail(f'Slurm did not start: {(folder / "slurmctld.log").read_text()[-2000:]}')
        yield folder
    finally:
        subprocess.run(['scancel', '-u', 'root'], check=False, capture_output=True)
        for name in ('slurmd', 'slurmctld', 'munged'):
            try:
                process = psutil.Process(int((folder / f'{name}.pid').read_text()))
                process.terminate()
                process.wait(20)
            except (OSError, ValueError, psutil.Error):
                continue
        os.environ.pop('SLURM_CONF', None)
