"""Build the image and run it with what Debian has: buildah, podman, runc; no service, no registry.

All that is made lies in one folder, and `Engine.close` ends, unmounts and removes it.
"""

from __future__ import annotations

import ast
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

REPO = Path(__file__).resolve().parents[2]
#: Programs that are called, each in the Debian package of its name.
TOOLS = ('buildah', 'podman', 'runc', 'debootstrap')
#: What every container is run with: nothing may be written, no power, no network, no user.
CONFINED = (
    '--rm',
    '--read-only',
    '--network',
    'none',
    '--user',
    '12345:12345',
    '--passwd=false',
    '--cap-drop',
    'ALL',
    '--security-opt',
    'no-new-privileges',
)
#: Options of pip that say where packages come from.
_SOURCES = (
    'index-url',
    'extra-index-url',
    'find-links',
    'trusted-host',
    'proxy',
    'timeout',
    'default-timeout',
)


class Unusable(Exception):  # noqa: N818
    """A tool is missing, or has failed."""


class Engine:
    """A store of images of its own, and the commands on it.

    Parameters
    ----------
    folder : Path
        Folder for images and settings; made if need be.
    keep : bool
        Leave the folder, so that the next session need not build again.

    Raises
    ------
    Unusable
        If a tool is missing and cannot be installed.
    """

    def __init__(self, folder: Path, *, keep: bool = False):
        install_tools()
        self.folder, self.keep = Path(folder), keep
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **os.environ,
            'CONTAINERS_STORAGE_CONF': str(self.folder / 'storage.conf'),
            'CONTAINERS_CONF': str(self.folder / 'containers.conf'),
        }
        (self.folder / 'storage.conf').write_text(
            '[storage]\ndriver = "overlay"\n'
            f'graphroot = "{self.folder}/images"\nrunroot = "{self.folder}/run"\n'
        )
        # A virtual machine without systemd may lack the right to raise limits, and may have
        # both generations of cgroups: then only runc, with the limits of this process, starts.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        tasks = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        tasks = 32768 if tasks == resource.RLIM_INFINITY else min(tasks, 32768)
        (self.folder / 'containers.conf').write_text(
            '[containers]\n'
            f'default_ulimits = ["nofile={files}:{files}", "nproc={tasks}:{tasks}"]\n'
            'netns = "none"\nlog_driver = "k8s-file"\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'lock_type = "file"\ntmp_dir = "{self.folder}/tmp"\n'
        )

    def call(self, *command: str, timeout: float = 1800, check: bool = True):
        """Run a command on this store; its output is text."""
        # When a limit of memory is hit, podman's monitor leaves a file where it was started.
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=self.folder,
        )
        if check and done.returncode:
            raise Unusable(f'{" ".join(command[:3])}: {done.stderr.strip()[-2000:]}')
        return done

    def prepare(self):
        """Pull the image that the Dockerfile starts from, or make one under its name.

        Raises
        ------
        Unusable
            If neither can be done.
        """
        base = base_name(REPO / 'Dockerfile')
        if self.call('buildah', 'pull', '-q', base, timeout=600, check=False).returncode:
            self._make_base(base)

    def build(self, tag: str, *, version: str) -> float:
        """Build the Dockerfile of the checkout, and return the seconds that it took.

        Parameters
        ----------
        tag : str
            Name of the image.
        version : str
            Goes into its labels.
        """
        home = self._home_of_pip()
        start = time.monotonic()
        # HOME is the one place where pip looks that every image has: a file mounted elsewhere
        # would leave an empty one behind.
        self.call(
            'buildah',
            'bud',
            '--isolation',
            'chroot',
            '--network',
            'host',
            '--pull-never',
            '--layers' if self.keep else '--no-cache',
            '--volume',
            f'{home}:/root:ro',
            '--build-arg',
            f'VERSION={version}',
            '--build-arg',
            f'TAG={tag}',
            '--tag',
            f'localhost/{tag}',
            str(REPO),
        )
        return time.monotonic() - start

    def inspect(self, tag: str) -> dict:
        """Return what podman knows of an image."""
        return json.loads(self.call('podman', 'image', 'inspect', f'localhost/{tag}').stdout)[0]

    def command(
        self,
        tag: str,
        *arguments: object,
        mounts: Mapping[str, str | Path] | None = None,
        options: Sequence[str] = (),
    ) -> list[str]:
        """Return the command line that runs an image as nobody in particular.

        Parameters
        ----------
        tag : str
            Name of the image.
        *arguments
            For its entry point.
        mounts : mapping of str to path-like
            Folder of this machine by its place in the container, e.g. '/data:ro'.
        options : sequence of str
            Further options of ``podman run``.
        """
        volumes = [f'--volume={folder}:{place}' for place, folder in (mounts or {}).items()]
        return [
            'podman',
            'run',
            *CONFINED,
            *volumes,
            *options,
            f'localhost/{tag}',
            *map(str, arguments),
        ]

    def start(self, command: Sequence[str]) -> subprocess.Popen:
        """Start a command of `command`; its two streams are text."""
        return subprocess.Popen(
            command,
            env=self.environment,
            text=True,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def close(self):
        """End what runs; unmount and remove what was made."""
        self.call('podman', 'rm', '--all', '--force', '--time', '0', check=False)
        mounts = [line.split()[1] for line in Path('/proc/mounts').read_text().splitlines()]
        for place in sorted((m for m in mounts if m.startswith(f'{self.folder}/')), reverse=True):
            subprocess.run(['umount', place], check=False, capture_output=True)
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _home_of_pip(self) -> Path:
        """Make the HOME of the build: where pip finds packages from here, and whom it trusts."""
        home = self.folder / 'home'
        (home / '.config' / 'pip').mkdir(parents=True, exist_ok=True)
        found = pip_settings()
        lines = [f'{name} = {value}' for name, value in found.items() if name != 'cert']
        if found.get('cert'):
            shutil.copyfile(found['cert'], home / 'authorities.crt')
            lines.append('cert = ~/authorities.crt')
        (home / '.config' / 'pip' / 'pip.conf').write_text('\n'.join(['[global]', *lines, '']))
        return home

    def _make_base(self, name: str):
        """Make an image like the one that cannot be pulled: Debian with its own Python."""
        if self.call('buildah', 'inspect', '--type', 'image', name, check=False).returncode == 0:
            return
        suite = name.rsplit('-', 1)[-1]
        root = self.folder / 'base'
        shutil.rmtree(root, ignore_errors=True)
        self.call(
            'debootstrap',
            '--variant=minbase',
            '--include=ca-certificates,python3,python3-venv,python3-pip',
            suite,
            str(root),
            debian_mirror(),
        )
        for path in [
            *root.glob('var/cache/apt/archives/*.deb'),
            *root.glob('var/log/*.log'),
            *root.glob('usr/lib/python3*/EXTERNALLY-MANAGED'),
            root / 'etc/resolv.conf',
            root / 'etc/hostname',
        ]:
            path.unlink(missing_ok=True)
        shutil.rmtree(root / 'var/lib/apt/lists')
        (root / 'etc/apt/sources.list').write_text('')
        (root / 'usr/bin/python').symlink_to('python3')
        made = self.call('buildah', 'from', 'scratch').stdout.strip()
        self.call('buildah', 'add', '--quiet', made, str(root), '/')
        path = ':'.join(
            f'{top}/{name}' for name in ('sbin', 'bin') for top in ('/usr/local', '/usr', '')
        )
        self.call(
            'buildah',
            'config',
            '--env',
            'LANG=C.UTF-8',
            '--env',
            f'PATH={path}',
            '--cmd',
            'python3',
            made,
        )
        self.call('buildah', 'commit', '--quiet', '--rm', made, name)
        shutil.rmtree(root)


def install_tools():
    """Install with apt-get what is missing of the tools.

    Raises
    ------
    Unusable
        If that cannot be done.
    """
    if os.geteuid() != 0:
        raise Unusable('images are built by root only')
    if all(map(shutil.which, TOOLS)):
        return
    if not shutil.which('apt-get'):
        raise Unusable(f'one of {", ".join(TOOLS)} is missing, and there is no apt-get')
    quiet = {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'}
    for command in (['update'], ['install', '-y', '--no-install-recommends', *TOOLS]):
        done = subprocess.run(
            ['apt-get', '-qq', '-o', 'DPkg::Lock::Timeout=600', *command],
            env=quiet,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode or not all(map(shutil.which, TOOLS)):
        raise Unusable(f'{", ".join(TOOLS)} cannot be installed: {done.stderr.strip()[-500:]}')


def base_name(dockerfile: Path) -> str:
    """Return the full name of the image that a Dockerfile starts from.

    Examples
    --------
    >>> base_name(REPO / 'Dockerfile').startswith('docker.io/library/python:3')
    True

    """
    name = re.search(r'^FROM (\S+)', dockerfile.read_text(), re.MULTILINE).group(1)
    return name if '/' in name else f'docker.io/library/{name}'


def debian_mirror() -> str:
    """Return where this machine's apt gets Debian from."""
    sites = subprocess.run(
        ['apt-get', 'indextargets', '--format', '$(SITE)', 'Created-By: Packages'],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    found = [site for site in sites if 'security' not in site]
    if not found:
        raise Unusable('apt has no source of packages')
    return found[0]


def pip_settings() -> dict[str, str]:
    """Return where this machine's pip gets packages from, without folders, and its ``cert``."""
    listed = subprocess.run(
        [sys.executable, '-m', 'pip', 'config', 'list'],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition('=')
        name = name.rsplit('.', 1)[-1]
        words = ast.literal_eval(value).split()
        if name in _SOURCES:
            words = [word for word in words if not word.startswith(('/', 'file:'))]
        elif name != 'cert':
            continue
        if words:
            found[name] = ' '.join(words)
    system = Path('/etc/ssl/certs/ca-certificates.crt')
    if 'cert' not in found and system.is_file():
        found['cert'] = str(system)
    return found


def hosts_of_this_machine() -> set[str]:
    """Return the names of the hosts that packages came from; no image may tell them."""
    places = ' '.join(v for k, v in pip_settings().items() if k != 'cert').split()
    hosts = {urlsplit(place).hostname for place in (*places, debian_mirror())}
    public = ('pypi.org', 'debian.org', 'pythonhosted.org')
    return {host for host in hosts if host and not host.endswith(public)}
