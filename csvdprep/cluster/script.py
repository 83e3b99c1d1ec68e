"""The scripts of an array job: plain shell, to be read before they are submitted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from csvdprep.cluster.size import Size

#: Seconds before the time limit at which a task is told to end in good order.
NOTICE_S = 300
#: Seconds for which the clients of a network file system keep what they know of a folder (NFS:
#: acdirmax is 60 s by default).
LATE_S = 65
#: Times that a task which ran out of time is put back into the queue.
RESTARTS = 3
#: How an image is run by each engine; paths are the same inside and outside.
ENGINES = {
    'apptainer': 'apptainer run --cleanenv --containall --no-home {env} {binds} {image}',
    'singularity': 'singularity run --cleanenv --containall --no-home {env} {binds} {image}',
    'podman': 'podman run --rm --read-only --network none {env} {binds} {image}',
    'docker': 'docker run --rm --read-only --network none -u "$(id -u):$(id -g)" {env} {binds} '
    '{image}',
}
#: What the app reads of the scheduler's environment.
PASSED = ('SLURM_CPUS_PER_TASK', 'SLURM_MEM_PER_NODE')


#: Shell lines that make a folder of the node's own, which is removed afterwards. Nothing is run,
#: and nothing is removed, unless mktemp has made it.
SCRATCH = """\
scratch=${SLURM_TMPDIR:-${TMPDIR:-/tmp}}
work=$(mktemp -d "$scratch/csvdprep-XXXXXXXX") || work=
if [ -z "$work" ] || [ ! -d "$work" ]; then
  echo "csvdprep: No working directory can be made in '$scratch' on $(hostname)." \\
    "Remedy: let SLURM_TMPDIR or TMPDIR name a folder that is there and may be written," \\
    "or write the scripts with -w." >&2
  exit 3
fi
trap 'rm -rf -- "${work:?}"' EXIT"""


def program(
    command: Sequence[str],
    image: str = '',
    engine: str = 'apptainer',
    *,
    folders: Sequence[str] = (),
    container_command: Sequence[str] = (),
) -> str:
    """Write how the app is started, as shell words.

    Parameters
    ----------
    command : sequence of str
        The app on this machine: interpreter and module.
    image : str, optional
        Container image to be used instead.
    engine : str, optional
        One of :data:`ENGINES`.
    folders : sequence of str, optional
        Folders that the container has to see, besides the working directory.
    container_command : sequence of str, optional
        How the engine is started, if not by its name alone.

    Examples
    --------
    >>> program(['/opt/bin/python', '-m', 'csvdprep'])
    '/opt/bin/python -m csvdprep'
    >>> print(program([], 'csvdprep.sif', folders=['/data']))
    apptainer run --cleanenv --containall --no-home --env SLURM_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-}",SLURM_MEM_PER_NODE="${SLURM_MEM_PER_NODE:-}" -B /data -B "$work" csvdprep.sif

    """  # noqa: E501
    if not image:
        return shlex.join(command)
    single = engine in ('apptainer', 'singularity')
    values = [f'{name}="${{{name}:-}}"' for name in PASSED]
    env = f'--env {",".join(values)}' if single else ' '.join(f'-e {v}' for v in values)
    if single:
        binds = [f'-B {shlex.quote(folder)}' for folder in folders] + ['-B "$work"']
    else:
        binds = [f'-v {shlex.quote(f"{folder}:{folder}")}' for folder in folders]
        binds += ['-v "$work:$work"']
    line = ENGINES[engine].format(env=env, binds=' '.join(binds), image=shlex.quote(image))
    if container_command:
        line = shlex.join(container_command) + line[line.index(' ') :]
    return line


def task_script(
    *,
    start: str,
    bids_dir: str,
    output_dir: str,
    options: Sequence[str],
    folder: Path,
    size: Size,
    work_dir: str = '',
    directives: Sequence[str] = (),
    chdir: str = '.',
) -> str:
    """Write the script of one task: it computes the visit on line offset + task of the list.

    Parameters
    ----------
    start : str
        From :func:`program`.
    bids_dir, output_dir : str
        Absolute paths.
    options : sequence of str
        Options of the app.
    folder : Path
        Folder of the array job.
    size : Size
        What a task asks for.
    work_dir : str, optional
        Working directory; a folder of the node's own that is removed afterwards, if empty.
    directives : sequence of str, optional
        Further options of sbatch.
    chdir : str, optional
        Folder in which the app is started.

    Returns
    -------
    str
        A script for sbatch. A task that comes near its time limit stops in good order and goes
        back into the queue; what it had finished is kept.
    """
    head = _head('csvdprep', folder, size, directives, chdir, '%A_%a')
    # The notice has to come well within the time that there is.
    notice = min(NOTICE_S, size.minutes * 60 // 3)
    work = _given(work_dir) if work_dir else SCRATCH
    app = (
        f'{start} {shlex.quote(bids_dir)} {shlex.quote(output_dir)} participant '
        f'--visit "$visit" -w "$work" {shlex.join(options)}'
    ).rstrip()
    return f"""{head}
#SBATCH --requeue
#SBATCH --signal=B:USR1@{notice}
set -euo pipefail
visit=$(sed -n "$(( ${{1:-0}} + SLURM_ARRAY_TASK_ID ))p" {shlex.quote(str(folder / 'visits.txt'))})
[ -n "$visit" ] || {{ echo "There is no visit for task $SLURM_ARRAY_TASK_ID." >&2; exit 2; }}
{work}
echo "csvdprep: $visit on $(hostname), restart ${{SLURM_RESTART_COUNT:-0}}"
late=
app=
trap 'late=1; [ -z "$app" ] || kill -TERM "$app" 2>/dev/null || :' USR1
trap '[ -z "$app" ] || kill -TERM "$app" 2>/dev/null || :' TERM INT
{app} &
app=$!
# A trap ends the first wait; the app may need a while to close its visit.
code=0; wait "$app" || code=$?
while kill -0 "$app" 2>/dev/null; do code=0; wait "$app" || code=$?; done
echo "csvdprep: $visit ended with status $code"
if [ -n "$late" ] && [ "$code" -ne 0 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {RESTARTS} ]; then
  echo "csvdprep: $visit ran out of time and goes back into the queue"
  scontrol requeue "$SLURM_JOB_ID" && sleep 60
fi
exit "$code"
"""


def group_script(
    *,
    start: str,
    bids_dir: str,
    output_dir: str,
    folder: Path,
    options: Sequence[str] = (),
    directives: Sequence[str] = (),
    chdir: str = '.',
) -> str:
    """Write the script of the job that follows when all tasks have ended.

    It compares the visits of participants, then makes the group tables; what fails of the first
    does not keep the second.
    """
    head = _head('csvdprep-group', folder, Size(1, 2.0, 60), directives, chdir, '%j')
    more = f' {shlex.join(options)}' if options else ''
    return f"""{head}
set -euo pipefail
{SCRATCH}
# A network disk may show a minute late what the last task wrote on another node.
sleep {LATE_S}
code=0
{start} {shlex.quote(bids_dir)} {shlex.quote(output_dir)} longitudinal -w "$work"{more} || code=$?
[ "$code" = 70 ] && code=0  # nobody has several visits
{start} {shlex.quote(bids_dir)} {shlex.quote(output_dir)} group -w "$work"{more}
exit "$code"
"""


def submit_script(
    *, folder: Path, count: int, array_limit: int = 0, most: int = 1000, group: bool = True
) -> str:
    """Write the script that submits the arrays, as many as the cluster's limit asks for.

    Parameters
    ----------
    folder : Path
        Folder of the array job.
    count : int
        Number of visits.
    array_limit : int, optional
        Most tasks at once; 0 sets no limit.
    most : int, optional
        Most tasks that one array may have.
    group : bool, optional
        Submit the group job, to run when all tasks have ended, however they ended.
    """
    limit = f'%{array_limit}' if array_limit else ''
    lines = [
        '#!/bin/bash',
        'set -euo pipefail',
        f'cd {shlex.quote(str(folder))}',
        'ids=',
        'submit() {  # first visit, number of visits',
        '  local id',
        f'  id=$(sbatch --parsable --array="1-$2{limit}" task.sh "$1")',
        '  id=${id%%;*}',
        '  echo "$id $1 $2" >> jobs.txt',
        '  ids="$ids:$id"',
        '}',
    ]
    lines += [f'submit {first} {min(most, count - first)}' for first in range(0, count, most)]
    if group:
        lines += [
            'group=$(sbatch --parsable --dependency="afterany$ids" group.sh)',
            'echo "${group%%;*} group" >> jobs.txt',
        ]
    lines.append('cat jobs.txt')
    return '\n'.join(lines) + '\n'


def _given(work_dir: str) -> str:
    """Write shell lines that make sure of a working directory that is left as it is."""
    return (
        f'work={shlex.quote(work_dir)}\n'
        'mkdir -p -- "$work" || { echo "csvdprep: The working directory \'$work\' cannot be '
        'made on $(hostname)." >&2; exit 3; }'
    )


def _head(name, folder, size, directives, chdir, number) -> str:
    lines = [
        f'--job-name={name}',
        f'--cpus-per-task={size.cpus}',
        f'--mem={round(size.mem_gb * 1000)}M',
        f'--time={size.minutes}',
        f'--chdir={_word(chdir)}',
        '--open-mode=append',
        f'--output={_word(f"{folder}/log/{name}_{number}.out")}',
        *directives,
    ]
    return '\n'.join(['#!/bin/bash', *(f'#SBATCH {line}' for line in lines)])


def _word(text: str) -> str:
    """Quote what sbatch would take for several words."""
    return f'"{text}"' if ' ' in str(text) else str(text)
