"""A Ray cluster that is there already, and one that is left: nothing of Vitro stays behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from atlases_made import tables
from vitro.atlases.cells import AtlasError
from vitro.atlases.on_ray import ray_workers
from vitro.atlases.work import Bench, Job, Work
from vitro.options import Machine, Options, Spread
from vitro.tasks import days

pytest.importorskip("ray", reason="Ray is not installed (make test installs it)")
WORK = Work(("clean",), Options(samples=8), Machine(), threads=1)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
